"""Loss matrices of a neighbourhood."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from histories import made_up_history
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.losses import _MOST_TIMES, plot_neighbourhood
from aes_lipi.analysis.figures.style import _figure_bytes
from aes_lipi.analysis.history import History
from aes_lipi.coevolution.topology import Neighbourhoods, grid, ring

N_CELLS = 6
BEST = 4
RING = ring(N_CELLS, 1)


def measured(times: Any = (0, 5, 9), members: Neighbourhoods = RING, size: int = 3) -> History:
    """Six cells, the fifth is the best; its losses are t + 0.1 encoder + 0.01 decoder."""
    one = 0.1 * np.arange(size)[:, np.newaxis] + 0.01 * np.arange(size)
    own = (np.arange(N_CELLS) == BEST)[:, np.newaxis, np.newaxis]
    return made_up_history(
        np.broadcast_to(np.arange(N_CELLS), (max(times) + 1, N_CELLS)),
        test_L1=np.where(np.arange(N_CELLS) == BEST, 0.1, 0.2),
        losses={t: np.where(own, t + one, 77.0) for t in times},
        members=members,
    )


def drawn(*rows: tuple[str, History]) -> Figure:
    figure = plot_neighbourhood(rows)
    assert figure is not None
    return figure


def labels(texts: Any) -> list[str]:
    return [text.get_text() for text in texts]


def test_the_best_cell_s_matrices_stand_side_by_side() -> None:
    axes, scale = drawn(("ours", measured())).axes
    assert axes.get_title(loc="left") == "ours"
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("encoder of cell", "decoder of cell")
    assert scale.get_ylabel() == "loss at selection"
    for t, image in zip((0, 5, 9), axes.images, strict=True):
        array = np.asarray(image.get_array())
        assert array[2, 1] == pytest.approx(t + 0.21)
    named = labels(axes.texts)
    assert [name for name in named if "generation" in name] == [
        "generation 0",
        "generation 5",
        "generation 9",
    ]
    lefts = [image.get_extent()[0] for image in axes.images]
    assert lefts == sorted(lefts)
    rights = [image.get_extent()[1] for image in axes.images]
    assert all(right < left for right, left in zip(rights[:-1], lefts[1:], strict=True))


def test_members_have_the_numbers_of_their_cells() -> None:
    axes = drawn(("ours", measured())).axes[0]
    assert labels(axes.get_yticklabels()) == ["4", "5", "3"]
    assert labels(axes.get_xticklabels()) == ["4", "5", "3"] * 3
    plane = drawn(("ours", measured(members=grid(2, 3, 1), size=5))).axes[0]
    assert labels(plane.get_yticklabels()) == ["4", "1", "1", "5", "3"]
    unknown = drawn(("ours", measured(members=()))).axes[0]
    assert labels(unknown.get_yticklabels()) == ["0", "1", "2"]


def test_values_are_printed_in_their_squares_and_can_be_read() -> None:
    axes = drawn(("ours", measured(times=(1, 2)))).axes[0]
    values = {text.get_position(): text for text in axes.texts if "." in text.get_text()}
    assert len(values) == 18
    assert values[1, 2].get_text() == "1.21"
    assert axes.images[0].get_clim() == pytest.approx((2, 2.22))  # but for the first generation
    assert values[0, 0].get_color() == "#ffffff"
    [last] = [text for text in values.values() if text.get_text() == "2.22"]
    assert last.get_color() == "#000000"


def test_a_whole_population_s_losses_are_too_many_to_print() -> None:
    everyone = tuple((i, *(j for j in range(N_CELLS * 2) if j != i)) for i in range(N_CELLS))
    axes = drawn(("all", measured(members=everyone, size=N_CELLS * 2))).axes[0]
    assert all("generation" in name for name in labels(axes.texts))
    names = labels(axes.get_yticklabels())
    assert names[0] == "4"
    assert len(names) < 12


def test_at_most_six_generations_evenly_chosen() -> None:
    axes = drawn(("ours", measured(times=(*range(0, 400, 10), 399)))).axes[0]
    times = [int(name.split()[1]) for name in labels(axes.texts) if "generation" in name]
    assert len(times) == _MOST_TIMES
    assert times == [0, 80, 160, 240, 320, 399]


def test_generations_are_named_once_where_variants_have_the_same() -> None:
    rows = [("a", measured()), ("b", measured()), ("c", measured(times=(0, 9)))]
    named = [
        sum("generation" in name for name in labels(axes.texts)) for axes in drawn(*rows).axes[:3]
    ]
    assert named == [3, 0, 2]


def test_what_has_no_neighbours_or_no_losses_is_left_out() -> None:
    alone = made_up_history([[0]], losses={0: np.array([[[0.5]]])}, members=((0,),), test_L1=0.5)
    itself = made_up_history(
        [[0]], losses={0: np.full((1, 3, 3), 0.5)}, members=((0, 0, 0),), test_L1=0.5
    )
    before = made_up_history([[0, 1, 2]], test_L1=0.5)
    rows = [("alone", alone), ("itself", itself), ("before", before)]
    assert plot_neighbourhood(rows) is None
    figure = drawn(*rows, ("ours", measured()))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["ours", ""]


def test_losses_that_are_no_numbers_do_not_spoil_the_scale() -> None:
    history = measured(times=(0, 1))
    history.selection_losses[1][BEST][0] = [np.nan, np.inf, 1.5]
    figure = drawn(("diverged", history))
    assert figure.axes[0].images[0].get_clim()[1] == 1.5
    assert {"nan", "inf"} <= set(labels(figure.axes[0].texts))
    assert _figure_bytes(figure, "png")


def test_all_neighbourhoods_can_be_written() -> None:
    two = made_up_history(
        [[0, 1]], losses={0: np.full((2, 3, 3), 540.0)}, members=ring(2, 1), test_L1=0.5
    )
    rows = [("two", two), ("a long label, and a longer one " * 5, measured())]
    assert _figure_bytes(drawn(*rows), "svg")
