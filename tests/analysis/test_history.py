"""The course of a trial, from its file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from histories import made_up_history
from made_up import made_up_study

from aes_lipi.analysis.history import BEGINNING, History, _neighbours_near, read_history
from aes_lipi.coevolution.topology import neighbourhoods, ring
from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError
from aes_lipi.results.schema import settings_row
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialId, trial_files

STUDY = made_up_study(["random"], 1, population_size=3)
NUMBER = 0
STAYS = [[(0, -1)] * 3, [(0, 0)] * 3]
"""Two generations of three cells, each its own parent: winner's place, generation read."""


def one_row(t: int, cell: int, place: int, read: int) -> dict[str, Any]:
    """A cell's generation on a ring of three, whose members are i, i + 1 and i - 1."""
    members = [cell, (cell + 1) % 3, (cell + 2) % 3]
    return {
        **{"generation": t, "cell": cell, "winner": place, "winner_cell": members[place]},
        **{"read_generations": [read] * 3, "learning_rate": 0.1 * t + cell},
        **{"min_selection_loss": 0.5, "min_replacement_loss": 0.5, "prune_probability": 0.5},
        **{"capacity": 1.0, "prune_event": t == cell, "diverged": False},
        "selection_losses": [float(cell)] * 9 if t == 0 else None,
    }


def committed(location: Path, rows: list[dict[str, Any]], study: Study = STUDY) -> History:
    [variant] = study.variants
    where = TrialId(variant.id, NUMBER)
    row = {**settings_row(variant), "study": study.name, "trial": NUMBER}
    store = ResultStore(location)
    with store.locked():
        store.open(study)
        store.commit(where, trial_files(row, rows, model=b"none"))
    return read_history(location, variant.id, NUMBER)


def course(parents: list[list[tuple[int, int]]]) -> list[dict[str, Any]]:
    """By generation and cell: the place of the parent, and its generation."""
    return [
        one_row(t, cell, place, read)
        for t, row in enumerate(parents)
        for cell, (place, read) in enumerate(row)
    ]


def test_a_trial_is_read_as_it_was(tmp_path: Path) -> None:
    rows = course([[(0, -1), (2, 0), (1, 0)], [(1, 0), (0, 0), (2, 0)]])
    history = committed(tmp_path, rows[::-1])
    assert (history.n_generations, history.n_cells) == (2, 3)
    assert history.parent_cell.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert history.parent_generation.tolist() == [[-1, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(
        history.measures["learning_rate"], [[0.0, 1.0, 2.0], [0.1, 1.1, 2.1]]
    )
    assert np.isnan(history.measures["test_loss"]).all()
    assert history.prune_event.tolist() == [[True, False, False], [False, True, False]]
    assert list(history.selection_losses) == [0]
    assert history.selection_losses[0][2].tolist() == [[2.0] * 3] * 3
    assert history.members == ((0, 1, 2), (1, 2, 0), (2, 0, 1))
    assert history.ancestors().tolist() == [[0, 0, 0], [0, 0, 0]]
    assert history.ancestors(1).tolist() == [[1, 1, 1]]
    assert history.ancestors(0, 1).tolist() == [[0, 0, 0]]
    assert history.line_of(2) == [(1, 2), (0, 1), (0, 0), (BEGINNING, 0)]


CIRCLE = [[(1, 0), (1, 0), (1, 0)], STAYS[1]]
OWN_PARENT = [STAYS[0], [(0, 1), (1, 0), (2, 0)]]
FROM_THE_END = [[(0, 2), (1, -1), (2, -1)], STAYS[1]]
TOO_OLD = [[(0, -2), (1, -1), (2, -1)], STAYS[1]]


@pytest.mark.parametrize("parents", [CIRCLE, OWN_PARENT, FROM_THE_END, TOO_OLD])
def test_impossible_descent_is_refused(
    tmp_path: Path, parents: list[list[tuple[int, int]]]
) -> None:
    with pytest.raises(UserError, match=r"trial 0 of variant \w+ are damaged"):
        committed(tmp_path, course(parents))


def test_asynchronous_cells_may_descend_from_a_later_generation(tmp_path: Path) -> None:
    """Cell 0 reads what its neighbour has a generation ahead, at the start."""
    parents = [[(1, 1), (0, -1), (0, -1)], [(0, 0), (0, 0), (0, 0)]]
    history = committed(tmp_path, course(parents))
    assert history.ancestors().tolist() == [[1, 1, 2], [1, 1, 2]]
    assert history.ancestors(0, 1).tolist() == [[1, 1, 2]]
    assert history.line_of(0) == [(1, 0), (0, 0), (1, 1), (0, 1), (BEGINNING, 1)]


@pytest.mark.parametrize("cell", [3, -1])
def test_parents_of_other_trials_are_refused(tmp_path: Path, cell: int) -> None:
    rows = course(STAYS)
    rows[4]["winner_cell"] = cell
    with pytest.raises(UserError, match="are damaged"):
        committed(tmp_path, rows)


def test_a_course_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="are damaged"):
        committed(tmp_path, course(STAYS)[:-1])


def test_a_trial_that_is_not_there_is_said(tmp_path: Path) -> None:
    committed(tmp_path, course(STAYS))
    with pytest.raises(UserError, match="no committed trial 7 of variant"):
        read_history(tmp_path, STUDY.variants[0].id, 7)


def test_neighbourhoods_are_told_only_where_they_are_known(tmp_path: Path) -> None:
    another = made_up_study(["random"], 1, population_size=4)
    assert committed(tmp_path / "a", course(STAYS), another).members == ()
    assert committed(tmp_path / "b", course(STAYS)).members
    (tmp_path / "b" / "study.json").write_text("{}")
    assert read_history(tmp_path / "b", STUDY.variants[0].id, NUMBER).members == ()


def test_cells_of_a_graph_are_put_beside_their_neighbours() -> None:
    """A path whose cells are numbered anyhow: its own course, and the course along the path."""
    path = [3, 0, 4, 1, 2]
    graph = [[path[k + d] for d in (-1, 1) if 0 <= k + d < 5] for k in map(path.index, range(5))]
    variant = Variant(population_size=5, graph=graph)
    order = _neighbours_near(neighbourhoods(variant))
    assert order in (tuple(path), tuple(reversed(path)))
    assert _neighbours_near(ring(9, 1)) == ()
    walk = np.random.default_rng(0).integers(-1, 2, (6, 5)) + np.arange(5)
    along = made_up_history(np.clip(walk, 0, 4), mean_L1=np.arange(5.0))
    given = np.array(path)[along.parent_cell][:, np.argsort(path)]
    numbered = made_up_history(given, members=neighbourhoods(variant), mean_L1=np.argsort(path))
    found = replace(numbered, order=tuple(path)).in_order()
    assert found.members == ((0, 1), (1, 0, 2), (2, 1, 3), (3, 2, 4), (4, 3))
    np.testing.assert_array_equal(found.parent_cell, along.parent_cell)
    np.testing.assert_array_equal(found.measures["mean_L1"], along.measures["mean_L1"])
    assert along.in_order() is along
