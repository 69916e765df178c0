"""Prune events: the raster, the schedule, and the share that was pruned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from histories import made_up_history
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch

from aes_lipi.analysis.figures.cells import (
    _binned_shares,
    plot_learning_rates,
    plot_prune_events,
)
from aes_lipi.analysis.figures.style import GONE, INK, _figure_bytes
from aes_lipi.analysis.history import History


def pruned(events: object, probability: object = 0.5) -> History:
    flags = np.asarray(events, dtype=bool)
    parents = np.broadcast_to(np.arange(flags.shape[1]), flags.shape)
    return made_up_history(parents, events=flags, prune_probability=probability)


def drawn(*rows: tuple[str, History]) -> Figure:
    figure = plot_prune_events(rows)
    assert figure is not None
    return figure


def test_events_are_a_raster_in_the_colour_of_what_is_gone() -> None:
    above, below = drawn(("ours", pruned([[1, 0], [0, 0], [0, 1]]))).axes
    assert above.get_title(loc="left") == "ours"
    [image] = below.images
    array = np.asarray(image.get_array())
    assert array[..., 3].tolist() == [[1, 0, 0], [0, 0, 1]]  # a row per cell
    np.testing.assert_allclose(array[0, 0, :3], to_rgb(GONE))
    assert list(image.get_extent()) == [-0.5, 2.5, -0.5, 1.5]
    assert below.get_ylabel() == "cell"
    assert below.get_xlabel() == "generation"


def test_the_schedule_stands_above_with_the_share_that_was_pruned() -> None:
    probability = np.linspace(0, 1, 100)[:, np.newaxis]
    events = np.arange(100)[:, np.newaxis] >= np.array([50, 50, 100, 100])
    above = drawn(("ours", pruned(events, probability))).axes[0]
    shares, schedule = (patch for patch in above.patches if isinstance(patch, StepPatch))
    assert schedule.get_edgecolor()[:3] == pytest.approx(to_rgb(INK))
    np.testing.assert_allclose(np.asarray(schedule.get_data()[0]), probability[:, 0])
    np.testing.assert_allclose(np.asarray(schedule.get_data()[1]), np.arange(101) - 0.5)
    values, edges, _ = shares.get_data()
    np.testing.assert_allclose(values, np.where(np.asarray(edges)[:-1] >= 49.5, 0.5, 0))
    assert (edges[0], edges[-1]) == (-0.5, 99.5)


def test_a_bin_has_enough_cells_to_speak_of_a_share() -> None:
    shares, edges = _binned_shares(np.ones((400, 1), dtype=bool))
    assert len(shares) == 10
    assert edges.tolist() == list(range(0, 401, 40))
    assert len(_binned_shares(np.ones((400, 10), dtype=bool))[0]) == 40
    assert _binned_shares(np.array([[True, False]]))[0].tolist() == [0.5]


def test_variants_that_are_never_pruned_are_left_out() -> None:
    never = pruned([[0, 0]] * 3, 0)
    unlucky = pruned([[0, 0]] * 3, 0.1)
    assert plot_prune_events([("never", never)]) is None
    assert plot_prune_events([]) is None
    figure = drawn(("never", never), ("unlucky", unlucky))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["unlucky", ""]


def test_two_variants_stand_side_by_side_on_the_same_generations() -> None:
    rows = [
        (name, pruned(np.ones((length, 3)))) for name, length in zip("abc", (5, 9, 7), strict=True)
    ]
    figure = drawn(*rows)
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 6
    assert {axes.get_xlim() for axes in shown} == {(-0.5, 8.5)}
    left = {axes.get_position().x0 for axes in shown}
    assert len(left) == 2
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        "probability of the schedule",
        "share of cells pruned",
        "prune event",
    ]


def test_pairs_are_called_so() -> None:
    rows = pruned([[True, False]] * 3)
    pairs = replace(rows, is_of_pairs=True)
    figure = drawn(("all", pairs))
    assert figure.axes[1].get_ylabel() == "pair"
    assert figure.legends[0].get_texts()[1].get_text() == "share of pairs pruned"
    figure = drawn(("ring", rows), ("all", pairs))
    assert [axes.get_ylabel() for axes in figure.axes[2:]] == ["cell", "pair"]
    assert figure.legends[0].get_texts()[1].get_text() == "share of cells or pairs pruned"
    rates = replace(pairs, measures={**pairs.measures, "learning_rate": np.ones((3, 2))})
    walks = plot_learning_rates([("all", rates)])
    assert walks is not None
    assert [text.get_text() for text in walks.legends[0].get_texts()] == [
        *("a pair", "median over pairs"),
    ]


def test_many_cells_are_an_image_of_few_pixels_with_their_share() -> None:
    events = np.zeros((1280, 320), dtype=bool)
    events[::2, ::2] = True
    below = drawn(("large", pruned(events))).axes[1]
    array = np.asarray(below.images[0].get_array())
    assert array.shape == (160, 640, 4)
    assert (array[..., 3] == 0.25).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (10, 400)])
def test_every_raster_can_be_written(shape: tuple[int, int]) -> None:
    events = np.random.default_rng(1).random(shape[::-1]) < 0.3
    assert _figure_bytes(drawn(("a long label, and a longer one " * 3, pruned(events))), "svg")
