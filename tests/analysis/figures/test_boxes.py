"""Boxes: every trial is a point."""

from __future__ import annotations

import itertools

import numpy as np
from made_up import sample

from aes_lipi.analysis.figures.boxes import MOST_ROWS, plot_final_values
from aes_lipi.analysis.figures.style import _figure_bytes


def test_every_trial_is_a_point_and_the_box_spans_the_quartiles() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 100.0])
    figure = plot_final_values([("loss", [sample("a", values), sample("b", values + 1)])])
    [axes] = figure.axes
    assert axes.get_xlabel() == "loss"
    assert [text.get_text() for text in axes.get_yticklabels()] == ["a", "b"]
    box = axes.patches[0].get_path().get_extents()
    assert (box.x0, box.x1) == (2, 4)
    points = [line for line in axes.lines if line.get_marker() in ("o", "s")]
    assert np.asarray(points[0].get_xdata()).tolist() == values.tolist()
    across = np.asarray(points[0].get_ydata())
    assert len(set(across)) == 5
    assert (np.abs(across) < 0.3).all()


def test_the_first_variant_is_at_the_top() -> None:
    figure = plot_final_values([("loss", [sample("a", [1.0]), sample("b", [2.0])])])
    low, high = figure.axes[0].get_ylim()
    assert low > high


def test_of_many_variants_the_lowest_are_drawn_in_their_order() -> None:
    samples = [sample(f"v{k}", [float(-k), -k + 0.5]) for k in range(MOST_ROWS + 5)]
    figure = plot_final_values([("loss", samples)])
    names = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert names == [f"v{k}" for k in range(5, MOST_ROWS + 5)]


def test_long_names_of_many_variants_do_not_cover_each_other() -> None:
    name = "magnitude, exponential, prune_probability=0.25, prune_amount=0.05, radius={}"
    figure = plot_final_values([("size", [sample(name.format(k), [2e3, 3e3]) for k in range(30)])])
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert all(above.y0 > below.y1 for above, below in itertools.pairwise(boxes))
    assert "2,000" in [text.get_text() for text in figure.axes[0].get_xticklabels()]


def test_columns_share_the_variants_and_letters_stand_beside_the_first() -> None:
    samples = [sample("a", [1.0, 2.0]), sample("b", []), sample("c", [3.0])]
    figure = plot_final_values([("loss", samples), ("capacity", samples)], {"a": "ab", "c": "b"})
    assert [axes.get_xlabel() for axes in figure.axes] == ["loss", "capacity"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["ab", "b"]
    assert not figure.axes[1].texts
    assert _figure_bytes(figure, "pdf").startswith(b"%PDF")
