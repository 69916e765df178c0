"""The walks of the cells' learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from aes_lipi.analysis.figures.layout import power, settled, whole_ticks, wrapped
from aes_lipi.analysis.figures.style import COLUMN, INK, PAGE, looks, styled
from aes_lipi.analysis.history import Courses
from aes_lipi.arrays import Float64, Int64

_HEIGHT = 1.35  # of a panel, in inches
_CELLS = 20  # lines of a panel, at most
_POINTS = 200  # of a line, at most
_LONG = 30  # letters of a title that leaves no room for three panels in a row
_BELOW = 5  # how many times smaller than the lowest median a rate may be to be shown


def learning_rates(rows: Courses) -> Figure | None:
    """Every cell's learning rate over generations, and the median over cells.

    Trials of the same number share their draws, so that variants often have the same walks: those
    share a panel. A walk that is reflected near zero jumps over decades there; the axis ends a
    little below the lowest median, and lines leave it for such moments.

    Args:
        rows: labels of variants, and one trial of each; of many cells, some evenly chosen ones are
            drawn, and the median is that of all.

    Returns:
        a panel per kind of walk, all with the same logarithmic axis; None if there are no rows.
    """
    return _drawn(_panels(rows)) if rows else None


def _panels(rows: Courses) -> list[tuple[str, Float64]]:
    """Titles and rates, those together that are the same."""
    panels: list[tuple[list[str], Float64]] = []
    for label, history in rows:
        rates = history.measures["learning_rate"]
        alike = [labels for labels, known in panels if np.array_equal(known, rates)]
        if alike:
            alike[0].append(label)
        else:
            panels.append(([label], rates))
    if len(panels) == 1 and len(rows) > 1:
        return [("the same in all variants", panels[0][1])]
    return [(_title(labels), rates) for labels, rates in panels]


def _title(labels: Sequence[str]) -> str:
    whole = "; ".join(labels)
    if len(labels) == 1 or len(whole) <= _LONG:
        return whole
    return f"{labels[0]} and {len(labels) - 1} more"


@styled
def _drawn(panels: Sequence[tuple[str, Float64]]) -> Figure:
    longest = max(len(title) for title, _ in panels)
    n_columns = min(len(panels), 3 if longest <= _LONG else 2)
    n_rows = math.ceil(len(panels) / n_columns)
    width = COLUMN if n_columns == 1 else PAGE
    figure = Figure(figsize=(width, _HEIGHT * n_rows + 0.45))
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    grid[0, 0].set_yscale("log")
    grid[0, 0].yaxis.set_major_formatter(FuncFormatter(power))
    grid[0, 0].set_ylim(*_limits([rates for _, rates in panels]))
    for place, axes in enumerate(grid.flat):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        title, rates = panels[place]
        axes.set_title(wrapped(title, width / n_columns - 0.3))
        _walks(axes, rates)
        bottom = place + n_columns >= len(panels)
        axes.tick_params(labelbottom=bottom)
        axes.set_xlabel("generation" if bottom else "")
        axes.set_ylabel("learning rate" if place % n_columns == 0 else "")
    figure.legend(handles=_handles(), loc="outside lower center", ncols=2)
    return settled(figure)


def _limits(walks: Sequence[Float64]) -> tuple[float, float]:
    """Of the axis: all that is high, and what is not far below all medians."""
    lowest = min(float(np.median(rates, axis=1).min()) for rates in walks)
    highest = max(float(rates.max()) for rates in walks)
    return lowest / _BELOW, highest * 1.5


def _walks(axes: Axes, rates: Float64) -> None:
    generations = _evenly(len(rates), _POINTS)
    cells = _evenly(rates.shape[1], _CELLS)
    lines = [np.column_stack([generations, rates[generations, cell]]) for cell in cells]
    axes.grid(axis="y")
    axes.add_collection(
        LineCollection(lines, colors=_colour(), linewidths=0.6, alpha=0.85), autolim=False
    )
    axes.plot(
        generations,
        np.median(rates[generations], axis=1),
        color=INK,
        marker="" if len(rates) > 1 else ".",
    )
    whole_ticks(axes.xaxis, 5)


def _colour() -> str:
    return looks(["a cell"])["a cell"].colour


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color=_colour(), linewidth=0.6, alpha=0.85, label="a cell"),
        Line2D([], [], color=INK, label="median over cells"),
    ]


def _evenly(length: int, most: int) -> Int64:
    """At most so many of the indices 0 to length - 1, first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.int64))
