"""What trials came to: boxes, with every trial as a point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.layout import wrapped
from aes_lipi.analysis.figures.style import INK, PAGE, Look, looks, styled
from aes_lipi.analysis.samples import Sample

_ROW = 0.3  # height of a variant, in inches
_LONGEST = 100  # letters of a name
_SPREAD = 0.24  # of the points, across


@styled
def final_values(
    columns: Sequence[tuple[str, Sequence[Sample]]], notes: dict[str, str] | None = None
) -> Figure:
    """Boxes of one or more measures side by side, a row per variant.

    The box spans the quartiles, its line is the median, whiskers reach to the last point within one
    and a half box lengths; every trial is a point.

    Args:
        columns: what a measure's axis is called, and its samples, the same variants in all.
        notes: by variant id, what is written behind its values in the first column, such as the
            letters of a comparison.
    """
    samples = columns[0][1]
    styles = looks([sample.label for sample in samples])
    height = 0.75 + _ROW * len(samples)
    figure = Figure(figsize=(PAGE, height))
    figure.set_layout_engine("constrained", wspace=0.08)
    grid = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (title, found) in zip(grid, columns, strict=True):
        axes.set_xlabel(title)
        axes.grid(axis="x")
        for place, sample in enumerate(found):
            _box(axes, place, sample, styles[sample.label])
    first = grid[0]
    first.set_yticks(
        range(len(samples)), [wrapped(sample.label[:_LONGEST], PAGE / 4) for sample in samples]
    )
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
