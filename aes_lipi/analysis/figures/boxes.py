"""Trials as points in boxes, a row per variant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.style import (
    INK,
    PAGE,
    Look,
    ShownFigure,
    looks,
    styled,
    thousands,
    wrapped,
)
from aes_lipi.analysis.tables import Sample

_ROW, _LOW_ROW = 0.3, 0.2  # height of a variant, and of one among many, in inches
_LINE = 0.13  # height of a line of a name, in inches
_MANY = 20  # variants
MOST_ROWS = 40
"""Variants that are drawn, of more those of the lowest medians."""

_LONGEST = 100  # letters of a name
_SPREAD = 0.24  # of the points, across


@styled
def plot_final_values(
    columns: Sequence[tuple[str, Sequence[Sample]]], notes: Mapping[str, str] | None = None
) -> Figure:
    """Boxes of one or more measures side by side, a row per variant.

    The box spans the quartiles, its line is the median, whiskers reach to the last point within one
    and a half box lengths; every trial is a point.

    Args:
        columns: what a measure's axis is called, and its samples (of `generation_samples` or
            `trial_samples`), the same variants in all; of more than `MOST_ROWS`, those are drawn
            whose medians of the first measure are lowest.
        notes: by variant id, what is written behind its values in the first column, such as the
            letters of a comparison.
    """
    places = _drawn_rows(columns[0][1])
    samples = [columns[0][1][k] for k in places]
    styles = looks([sample.label for sample in samples])
    is_many = len(samples) > _MANY
    names = [wrapped(each.label[:_LONGEST], PAGE / (3 if is_many else 4)) for each in samples]
    lines = max((1 + name.count("\n") for name in names), default=1)
    height = max(_LOW_ROW if is_many else _ROW, _LINE * lines)
    figure = ShownFigure(figsize=(PAGE, 0.75 + height * len(samples)))
    figure.set_layout_engine("constrained", wspace=0.08)
    grid = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (title, found) in zip(grid, columns, strict=True):
        axes.set_xlabel(wrapped(title, 0.7 * PAGE / len(columns)))
        axes.grid(axis="x")
        thousands(axes.xaxis, max((value for k in places for value in found[k].values), default=0))
        for row, k in enumerate(places):
            _box(axes, row, found[k], styles[found[k].label])
    first = grid[0]
    first.set_yticks(range(len(samples)), names)
    first.set_ylim(len(samples) - 0.5, -0.5)
    for place, sample in enumerate(samples):
        if notes and notes.get(sample.variant):
            first.annotate(
                notes[sample.variant],
                (1.01, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=7,
                annotation_clip=False,
            )
    return figure


def _drawn_rows(samples: Sequence[Sample]) -> list[int]:
    """Which variants are drawn, by their places, in their order."""
    medians = [float(np.median(each.values)) if len(each.values) else np.inf for each in samples]
    return sorted(np.argsort(medians, kind="stable")[:MOST_ROWS].tolist())


def _box(axes: Axes, place: int, sample: Sample, look: Look) -> None:
    if not len(sample.values):
        return
    axes.boxplot(
        sample.values,
        positions=[place],
        orientation="horizontal",
        widths=0.62,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": look.colour, "alpha": 0.25, "edgecolor": look.colour},
        medianprops={"color": INK, "linewidth": 1.4},
        whiskerprops={"color": look.colour, "linewidth": 0.8},
        capprops={"color": look.colour, "linewidth": 0.8},
    )
    across = place + _scattered(len(sample.values))
    axes.plot(
        sample.values, across, look.marker, color=look.colour, markersize=2.4, alpha=0.75, mew=0
    )


def _scattered(n: int) -> np.ndarray:
    """Places across the box that keep points apart: the golden ratio's, the same every time."""
    golden = (np.sqrt(5) - 1) / 2
    shares: np.ndarray = (np.arange(1, n + 1) * golden) % 1
    return (shares - 0.5) * 2 * _SPREAD if n > 1 else np.zeros(n)
