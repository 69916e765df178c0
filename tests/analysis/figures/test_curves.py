"""Lines over generations: what is drawn where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from aes_lipi.analysis.figures.curves import Curves, _Panel, over_generations
from aes_lipi.analysis.figures.style import _figure_bytes

LABELS = {"va": "no pruning", "vb": "random, exponential"}


def table(generations: int = 5) -> pd.DataFrame:
    """Of `va` the median is 1 and of `vb` 2, with the interval one below and above."""
    rows = [
        {"variant": variant, "generation": t, "n": 3, "median": m, "low": m - 1, "high": m + 1}
        for m, variant in enumerate(LABELS, 1)
        for t in range(generations)
    ]
    return pd.DataFrame(rows)


def test_a_line_per_variant_with_its_interval() -> None:
    figure = over_generations([Curves("loss", table(), 0.05)], [_Panel("", LABELS)])
    [axes] = figure.axes
    first, second, floor = axes.lines
    assert np.asarray(first.get_ydata()).tolist() == [1] * 5
    assert np.asarray(second.get_ydata()).tolist() == [2] * 5
    assert np.asarray(second.get_xdata()).tolist() == [0, 1, 2, 3, 4]
    assert np.asarray(floor.get_ydata()).tolist() == [0.05, 0.05]
    bands = [each.get_paths()[0].get_extents() for each in axes.collections]
    assert [(band.y0, band.y1) for band in bands] == [(0, 2), (1, 3)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("generation", "loss")
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(LABELS.values())


def test_the_legend_lies_below_the_panels() -> None:
    figure = over_generations([Curves("loss", table())], [_Panel("", LABELS)])
    _figure_bytes(figure, "png")  # places everything
    [legend], [axes] = figure.legends, figure.axes
    assert legend.get_window_extent().y1 <= axes.xaxis.label.get_window_extent().y0


def test_the_same_name_looks_the_same_in_every_panel() -> None:
    panels = [_Panel("fixed", {"va": "random"}), _Panel("final_n", {"vb": "random", "va": "none"})]
    figure = over_generations([Curves("loss", table())], panels)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["fixed", "final_n"]
    first, second = (axes.lines[0] for axes in figure.axes)
    assert to_hex(str(first.get_color())) == to_hex(str(second.get_color()))
    assert len(figure.legends[0].get_texts()) == 2


def test_several_measures_stand_side_by_side_with_axes_of_their_own() -> None:
    large = table().assign(median=lambda rows: rows["median"] * 1000)
    curves = [Curves("loss", table()), Curves("size", large)]
    figure = over_generations(curves, [_Panel("", LABELS)])
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "size"]
    assert figure.axes[0].get_ylim()[1] < 10 < figure.axes[1].get_ylim()[1]


def test_a_variant_without_values_has_no_line_and_a_place_in_the_legend() -> None:
    empty = table().query("variant == 'va'")
    figure = over_generations([Curves("loss", empty)], [_Panel("", LABELS)])
    assert len(figure.axes[0].lines) == 1
    assert len(figure.legends[0].get_texts()) == 2


@pytest.mark.parametrize("n", [4, 7])
def test_panels_in_rows_leave_no_empty_axes(n: int) -> None:
    panels = [_Panel(f"panel {k}", LABELS) for k in range(n)]
    figure = over_generations([Curves("loss", table())], panels)
    assert sum(axes.axison for axes in figure.axes) == n


def test_long_lines_have_a_few_markers_only() -> None:
    figure = over_generations([Curves("loss", table(400))], [_Panel("", LABELS)])
    assert [line.get_markevery() for line in figure.axes[0].lines] == [66, 66]
