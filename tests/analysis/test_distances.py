"""Distances between cells, of centres that are given and of those that a study stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_study
from studies import run_study

from aes_lipi.analysis import Distances, read_distances
from aes_lipi.analysis.distances import _apart, _steps
from aes_lipi.analysis.figures.distances import plot_distances
from aes_lipi.coevolution.topology import grid, ring
from aes_lipi.errors import UserError
from aes_lipi.models import Place, load_recorded


def test_distances_are_roots_of_mean_squares() -> None:
    weights = np.array([[0, 0, 0, 0], [1, 1, 1, 1], [2, 0, 0, 0]], np.float32)
    assert _apart(weights) == pytest.approx(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]))
    near = np.float32(1) + np.array([[0.0], [1e-6]], np.float32)
    assert _apart(near)[0, 1] == pytest.approx(float(near[1, 0] - near[0, 0]), rel=1e-3)


def test_steps_are_exchanges_between_neighbours() -> None:
    assert _steps(ring(6, 1))[0].tolist() == [0, 1, 2, 3, 2, 1]
    assert _steps(ring(6, 2))[0].tolist() == [0, 1, 1, 2, 1, 1]
    assert _steps(ring(3, 0))[0].tolist() == [0, -1, -1]
    assert _steps(grid(3, 3, 1))[0].tolist() == [0, 1, 1, 1, 2, 2, 1, 2, 2]


def test_means_are_over_the_pairs_of_as_many_steps() -> None:
    apart = np.zeros((2, 4, 4))
    apart[1] = [[0, 1, 5, 3], [1, 0, 2, 7], [5, 2, 0, 6], [3, 7, 6, 0]]
    found = Distances(np.arange(2), apart, _steps(ring(4, 1))).by_steps()
    assert {n: each.tolist() for n, each in found.items()} == {1: [0, 3], 2: [0, 6]}


@pytest.mark.parametrize("graph", [((0,), (1, 0), (2, 1)), ((0, 1), (1, 2), (2,))])
def test_one_way_is_enough_for_a_step(graph: tuple[tuple[int, ...], ...]) -> None:
    """Whichever of the two has the lower number: cell 1 is between the others."""
    apart = np.array([[[0.0, 1.0, 5.0], [1.0, 0.0, 3.0], [5.0, 3.0, 0.0]]])
    found = Distances(np.arange(1), apart, _steps(graph)).by_steps()
    assert {n: each.tolist() for n, each in found.items()} == {1: [2.0], 2: [5.0]}


def test_what_a_study_stored_is_read_and_drawn(tmp_path: Path) -> None:
    study = tiny_study(trials=1, store_generations="all", record_interval=3, epochs=5)
    run_study(study, tmp_path)
    [variant] = [each.id for each in study.variants]
    found = read_distances(tmp_path, variant, 0)
    assert found.generations.tolist() == [0, 1, 2, 3, 4]
    [path] = (tmp_path / "models").rglob("*.safetensors")
    pairs = [load_recorded(path, Place(2, cell)).pair for cell in (0, 3)]
    one, other = (np.concatenate([p.encoder.genome, p.decoder.genome]) for p in pairs)
    assert found.apart[2, 0, 3] == pytest.approx(float(np.sqrt(((one - other) ** 2).mean())))
    figure = plot_distances([("ring", found), ("again", found)])
    assert figure is not None
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["ring", "again"]
    named = [text.get_text() for text in figure.legends[0].get_texts()]
    first, _ = figure.axes[0].lines
    assert named == ["neighbours", "2 steps", "nearest to farthest pair"]
    assert np.array_equal(first.get_ydata(), found.by_steps()[1])


def test_nothing_is_drawn_of_cells_that_are_alone() -> None:
    alone = Distances(np.arange(2), np.zeros((2, 1, 1)), np.zeros((1, 1), np.int64))
    assert plot_distances([("baseline", alone)]) is None


def test_centres_that_were_not_stored_are_said_to_be_missing(tmp_path: Path) -> None:
    study = tiny_study(trials=1, store_generations="recorded", record_interval=2)
    run_study(study, tmp_path)
    with pytest.raises(UserError, match="run the study with --store_generations all"):
        read_distances(tmp_path, study.variants[0].id, 0)
