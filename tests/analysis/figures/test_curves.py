"""Lines over generations: what is drawn where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.curves import _drawn, _Panel, sampling
from aes_lipi.analysis.figures.style import _figure_bytes

LABELS = {"va": "no pruning", "vb": "random, exponential"}
LOSS, SIZE = "mean_L1", "network_size"


def table(generations: int = 5, measure: str = LOSS) -> pd.DataFrame:
    """Of `va` the median is 1 and of `vb` 2, with the interval one below and above."""
    rows = [
        *(
            {"variant": variant, "generation": t, "n": 3, "median": m, "low": m - 1, "high": m + 1}
            for m, variant in enumerate(LABELS, 1)
            for t in range(generations)
        )
    ]
    return pd.DataFrame(rows).assign(measure=measure)


def drawn(rows: pd.DataFrame, *panels: _Panel, measures: Sequence[str] = (LOSS,)) -> Figure:
    return _drawn(measures, panels or [_Panel("", LABELS)], rows, 0.05)


def test_a_line_per_variant_with_its_interval() -> None:
    figure = drawn(table())
    [axes] = figure.axes
    first, second, floor = axes.lines
    assert np.asarray(first.get_ydata()).tolist() == [1] * 5
    assert np.asarray(second.get_ydata()).tolist() == [2] * 5
    assert np.asarray(second.get_xdata()).tolist() == [0, 1, 2, 3, 4]
    assert np.asarray(floor.get_ydata()).tolist() == [0.05, 0.05]
    bands = [each.get_paths()[0].get_extents() for each in axes.collections]
    assert [(band.y0, band.y1) for band in bands] == [(0, 2), (1, 3)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("generation", "L1, training rows")
    [legend] = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(LABELS.values())


def test_the_legend_lies_below_the_panels_where_a_narrow_page_shows_it() -> None:
    figure = drawn(table(), *(_Panel(name, LABELS) for name in "abc"))
    _figure_bytes(figure, "png")  # places everything
    [legend], [axes, *_] = figure.legends, figure.axes
    place = legend.get_window_extent()
    assert place.y1 <= axes.xaxis.label.get_window_extent().y0
    assert place.x1 <= 4 * figure.dpi  # of seven inches: what a telephone shows


def test_the_same_name_looks_the_same_in_every_panel_and_others_are_grey() -> None:
    figure = drawn(
        table(),
        _Panel("fixed", {"va": "random"}),
        _Panel("final_n", {"vb": "random", "va": "none"}),
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["fixed", "final_n"]
    (first, _), (second, *_) = (axes.lines for axes in figure.axes)
    [other] = figure.axes[0].collections[0].get_paths()
    assert to_hex(str(first.get_color())) == to_hex(str(second.get_color()))
    assert np.asarray(other.vertices)[:, 1].tolist() == [2] * 5
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["random", "none", "the others"]


def test_several_measures_stand_side_by_side_with_axes_of_their_own() -> None:
    large = table(measure=SIZE).assign(median=lambda rows: rows["median"] * 1000)
    figure = drawn(pd.concat([table(), large]), measures=[LOSS, SIZE])
    assert [axes.get_ylabel() for axes in figure.axes] == ["L1, training rows", "network size"]
    assert figure.axes[0].get_ylim()[1] < 10 < figure.axes[1].get_ylim()[1]
    assert [len(axes.lines) for axes in figure.axes] == [3, 2]  # a size has no floor


def test_a_variant_without_values_has_no_line_and_a_place_in_the_legend() -> None:
    figure = drawn(table().query("variant == 'va'"))
    assert len(figure.axes[0].lines) == 2
    assert len(figure.legends[0].get_texts()) == 2


@pytest.mark.parametrize("n", [4, 7])
def test_panels_in_rows_leave_no_empty_axes(n: int) -> None:
    figure = drawn(table(), *(_Panel(f"panel {k}", LABELS) for k in range(n)))
    assert sum(axes.axison for axes in figure.axes) == n


def test_long_lines_have_a_few_markers_only() -> None:
    lines = drawn(table(400)).axes[0].lines[:2]
    assert [line.get_markevery() for line in lines] == [66, 66]


@pytest.mark.parametrize(
    ("generations", "said"),
    [
        (range(40), ""),
        ([0, 1], ""),
        ([0], "recorded in 0 only"),
        ([0, 39], "recorded in 0 and 39 only"),
        ([0, 100, 149], "recorded in 0 and 100 and 149 only"),
        ([0, 100, 200, 300], "recorded every 100"),
        ([0, 100, 200, 300, 399], "recorded every 100 and in the last"),
        ([0, 1, 2, 50, 60], "recorded in 5 generations"),
    ],
)
def test_a_curve_says_how_often_it_was_recorded(generations: Sequence[int], said: str) -> None:
    assert sampling(generations) == said
    figure = drawn(table(400).query("generation in @generations"))
    label = " ".join(figure.axes[0].get_xlabel().split())
    assert label == (f"generation ({said})" if said else "generation")
