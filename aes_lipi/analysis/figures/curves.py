"""Measures over generations: a line per variant, with the interval of its median."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.layout import LEGEND_LINE, legend_handle, names_per_line
from aes_lipi.analysis.figures.panels import Panel
from aes_lipi.analysis.figures.style import COLUMN, INK, PAGE, Look, looks, styled

_HEIGHT = 2.3  # of a panel, in inches
_ACROSS = 3  # panels
_MARKED = 24  # points of a line that all have markers
_MARKERS = 6  # of a line of more points


@dataclass(frozen=True)
class Curves:
    """A measure over generations.

    Attributes:
        axis: what the measure's axis is called.
        table: of `describe_generations`, one measure of it.
        floor: a value to mark with a thin line, such as the noise in the data.
    """

    axis: str
    table: pd.DataFrame
    floor: float | None = None


@styled
def over_generations(curves: Sequence[Curves], panels: Sequence[Panel]) -> Figure:
    """Medians over generations and their bootstrap intervals.

    Args:
        curves: one measure, or several that are set side by side.
        panels: which variants are drawn together.

    Returns:
        a panel for each group and measure, the legend below them all.
    """
    places = [(curve, panel) for panel in panels for curve in curves]
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines.values()))
    styles = looks(names)
    across = len(curves) if len(curves) > 1 else min(len(panels), _ACROSS)
    down = math.ceil(len(places) / across)
    width = COLUMN * 1.35 if across == 1 else PAGE
    per_line = names_per_line(names, width)
    below = math.ceil(len(names) / per_line) * LEGEND_LINE + 0.1
    figure = Figure(figsize=(width, _HEIGHT * down + below))
    grid = figure.subplots(
        down, across, sharex=True, sharey=len(curves) == 1, squeeze=False
    ).ravel()
    for place, (axes, (curve, panel)) in enumerate(zip(grid, places, strict=False)):
        _draw(axes, curve, panel, styles)
        last = place + across >= len(places)
        axes.set_xlabel("generation" if last else "")
        axes.tick_params(labelbottom=last)
        axes.set_ylabel(curve.axis if place % across == 0 or len(curves) > 1 else "")
    for axes in grid[len(places) :]:
        axes.set_axis_off()
    handles = [legend_handle(name, look) for name, look in styles.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=per_line)
    return figure


def _draw(axes: Axes, curve: Curves, panel: Panel, styles: Mapping[str, Look]) -> None:
    axes.set_title(panel.title)
    axes.grid(axis="y")
    for variant, name in panel.lines.items():
        rows = curve.table[(curve.table["variant"] == variant) & (curve.table["n"] > 0)]
        if len(rows):
            _line(axes, rows, styles[name])
    if curve.floor is not None:
        axes.axhline(curve.floor, linewidth=0.7, linestyle=":", color=INK)


def _line(axes: Axes, rows: pd.DataFrame, look: Look) -> None:
    """A median and its interval; what was measured in few generations has its points marked."""
    generation = rows["generation"].to_numpy(dtype=np.int64)
    median, low, high = (rows[name].to_numpy() for name in ("median", "low", "high"))
    axes.fill_between(generation, low, high, color=look.colour, alpha=0.18, linewidth=0)
    every = max(1, len(rows) // _MARKERS) if len(rows) > _MARKED else 1
    axes.plot(
        generation,
        median,
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markevery=every,
    )
