"""Who descends from whom, in windows that end when one pair has taken over."""

from __future__ import annotations

import numpy as np
import pytest
from histories import drifting, made_up_history

from aes_lipi.analysis.figures.ring import descents, line_on_ring

NAN = float("nan")
SPREADING = [[0, 1, 2], [0, 0, 2], [0, 1, 1], [0, 1, 2], [1, 1, 2], [0, 1, 2]]
"""Cell 0 takes cell 1 in generation 1 and cell 2 in generation 2; cell 1 takes cell 0 in 4."""


def test_a_window_ends_when_all_descend_from_one_centre() -> None:
    told = descents(made_up_history(SPREADING), most=6)
    assert told.starts == (0, 3)
    assert told.founders.tolist() == [
        [0, 1, 2],
        [0, 0, 2],
        [0, 0, 0],
        [0, 1, 2],
        [1, 1, 2],
        [1, 1, 2],
    ]


def test_windows_are_no_shorter_than_a_figure_can_show() -> None:
    assert descents(made_up_history(SPREADING), most=1).starts == (0,)
    assert descents(made_up_history(SPREADING), most=2).starts == (0, 3)
    always = made_up_history([[0, 0]] * 40)
    assert descents(always, most=4).starts == (0, 10, 20, 30)
    assert (descents(always, most=4).founders == 0).all()


def test_a_cell_sees_centres_of_its_own_generation_where_it_did() -> None:
    told = descents(made_up_history([[0, 0, 1]], reads=[[-1, 0, 0]]))
    assert told.founders.tolist() == [[0, 0, 0]]


def test_a_takeover_after_several_spans_is_found() -> None:
    stays = [list(range(9))] * 20
    taken = [[max(0, cell - 1) for cell in range(9)]] * 8
    assert descents(made_up_history(stays + taken + stays), most=48).starts == (0, 28)


def test_nothing_may_take_over_and_a_single_cell_always_does() -> None:
    assert descents(made_up_history([[0, 1]] * 9), most=9).starts == (0,)
    assert descents(made_up_history([[0]] * 3), most=3).starts == (0, 1, 2)


@pytest.mark.parametrize("seed", range(5))
def test_founders_are_the_ancestors_at_the_window_s_start(seed: int) -> None:
    history = drifting(7, 150, seed)
    told = descents(history)
    ends = [*told.starts[1:], history.n_generations]
    assert len(told.starts) > 2
    for start, end in zip(told.starts, ends, strict=True):
        ancestors = history.ancestors(start)[: end - start]
        np.testing.assert_array_equal(told.founders[start:end], ancestors)
        np.testing.assert_array_equal(history.ancestors(start, end), ancestors)
        assert end == history.n_generations or len(set(ancestors[-1])) == 1


def test_the_final_cell_has_the_lowest_loss_on_test_rows() -> None:
    last = np.array([[3.0, 3.0, 3.0], [2.0, 1.0, 1.0]])
    stays = [[0, 1, 2]] * 2
    assert made_up_history(stays, test_L1=last, mean_L1=last[:, ::-1]).final_cell == 1
    assert made_up_history(stays, test_loss=[[9], [NAN]], mean_L1=-last).final_cell == 0
    assert made_up_history(stays, test_L1=[[0, 0, 0], [NAN, 5, 4]]).final_cell == 2
    assert made_up_history(stays).final_cell == 0


def test_a_line_of_descent_goes_round_the_end() -> None:
    history = made_up_history([[4, 1, 2, 3, 4], [0, 0, 2, 3, 4]])
    generations, cells, jumps = line_on_ring(history, 1)
    assert generations.tolist() == [0, 1]
    assert cells.tolist() == [0, 1]
    assert jumps == ()
    generations, cells, jumps = line_on_ring(made_up_history([[0, 1, 2, 3, 4], [4, 0, 2, 3, 4]]), 0)
    assert cells.tolist() == [4, 0]
    assert jumps == (1,)
