"""Distances between cells over generations: does exchange keep a ring together?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from aes_lipi.analysis.distances import Distances
from aes_lipi.analysis.figures.style import (
    COLUMN,
    INK,
    PAGE,
    ShownFigure,
    laid_out,
    styled,
    wrapped,
)

_MOST_LINES = 6
_COLOURS = "viridis"
_FAINT = 0.12


def plot_distances(rows: Sequence[tuple[str, Distances]]) -> Figure | None:
    """How far cells lie apart over generations, by how far they are from each other on the ring.

    A line is the mean over the pairs of cells that are so many steps of exchange from each other;
    the band reaches from the nearest to the farthest pair of all.

    Args:
        rows: labels of variants, and one trial of each. Those of one cell are left out.

    Returns:
        a panel per variant, on one scale; None if there is none.
    """
    rings = [(label, found) for label, found in rows if len(found.steps) > 1]
    return _drawn(rings) if rings else None


@styled
def _drawn(rows: Sequence[tuple[str, Distances]]) -> Figure:
    n_columns = min(2, len(rows))
    n_rows = -(-len(rows) // n_columns)
    width = PAGE if n_columns == 2 else COLUMN * 1.35
    figure = ShownFigure(figsize=(width, 1.9 * n_rows + 0.75))
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for axes in panels.ravel()[len(rows) :]:
        axes.set_visible(False)
    colours = _colours([found for _, found in rows])
    for (label, found), axes in zip(rows, panels.ravel(), strict=False):
        axes.set_title(wrapped(label, width / n_columns - 0.4))
        _panel(axes, found, colours)
    for axes in panels[:, 0]:
        axes.set_ylabel("distance between cells")
    for axes in panels.ravel()[max(0, len(rows) - n_columns) : len(rows)]:
        axes.set_xlabel("generation")
        axes.tick_params(labelbottom=True)
    panels[0, 0].set_ylim(bottom=0)
    handles = [Line2D([], [], color=each, label=_name(n)) for n, each in colours.items()]
    band = Patch(color=INK, alpha=_FAINT, linewidth=0, label="nearest to farthest pair")
    figure.legend(handles=[*handles, band], loc="outside lower center", ncols=4)
    return laid_out(figure)


def _panel(axes: Axes, found: Distances, colours: Mapping[int, str]) -> None:
    axes.grid(axis="y")
    upper = np.triu_indices(len(found.steps), 1)
    pairs = found.apart[:, upper[0], upper[1]]
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    axes.fill_between(found.generations, low, high, color=INK, alpha=_FAINT, linewidth=0)
    for steps, values in found.by_steps().items():
        if steps in colours:
            axes.plot(found.generations, values, color=colours[steps], linewidth=0.9)


def _colours(rows: Iterable[Distances]) -> dict[int, str]:
    """By steps a colour, of as many as can be told apart, the first and the last among them."""
    known = sorted({steps for found in rows for steps in found.by_steps()})
    places = np.linspace(0, len(known) - 1, min(len(known), _MOST_LINES)).round().astype(np.int64)
    shades = mpl.colormaps[_COLOURS](np.linspace(0.05, 0.8, len(places)))
    return {known[k]: to_hex(shade) for k, shade in zip(places.tolist(), shades, strict=True)}


def _name(steps: int) -> str:
    if steps < 0:
        return "no exchange"
    return "neighbours" if steps == 1 else f"{steps} steps"
