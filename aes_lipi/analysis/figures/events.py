"""When pruning struck which cell, and how likely its schedule made that."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from aes_lipi.analysis.figures.layout import settled, whole_ticks, wrapped
from aes_lipi.analysis.figures.rasters import block_means, cells_over_generations
from aes_lipi.analysis.figures.style import COLUMN, GONE, INK, PAGE, styled
from aes_lipi.analysis.history import Courses, History
from aes_lipi.arrays import Float64

_CHANCES = 0.55  # height of the upper part of a panel, in inches
_BINS = 40  # of the generations, for the share that was pruned
_PER_BIN = 40  # cells in a bin, at least: a share of fewer says little


def prune_events(rows: Courses) -> Figure | None:
    """A raster of prune events over generations and cells, the schedule above it.

    Args:
        rows: labels of variants, and one trial of each. Those that are never pruned are left out.

    Returns:
        two panels per variant: the schedule's probability with the share of cells that were pruned,
        over bins of generations; and the events. None if nothing is ever pruned.
    """
    pruned = [(label, history) for label, history in rows if _chances(history).any()]
    return _drawn(pruned) if pruned else None


def _chances(history: History) -> Float64:
    """The schedule's probability, shape (generations,); it is the same for all cells."""
    return np.nan_to_num(history.measures["prune_probability"][:, 0])


@styled
def _drawn(rows: Courses) -> Figure:
    n_columns = min(len(rows), 2)
    n_rows = math.ceil(len(rows) / n_columns)
    raster = min(0.1 + 0.1 * max(history.n_cells for _, history in rows), 0.65)
    height = (_CHANCES + raster + 0.35) * n_rows + 0.5
    figure = Figure(figsize=(PAGE if n_columns > 1 else COLUMN * 1.35, height))
    grid = figure.subplots(
        2 * n_rows, n_columns, squeeze=False, height_ratios=[_CHANCES, raster] * n_rows
    )
    last = max(history.n_generations for _, history in rows) - 0.5
    for place in range(n_rows * n_columns):
        row, column = divmod(place, n_columns)
        above, below = grid[2 * row : 2 * row + 2, column]
        if place >= len(rows):
            above.set_axis_off()
            below.set_axis_off()
            continue
        label, history = rows[place]
        above.set_title(wrapped(label, figure.get_figwidth() / n_columns - 0.4))
        _schedule(above, history)
        _events(below, history)
        above.set_xlim(-0.5, last)
        below.set_xlim(-0.5, last)
        bottom = place + n_columns >= len(rows)
        above.tick_params(labelbottom=False)
        below.tick_params(labelbottom=bottom)
        below.set_xlabel("generation" if bottom else "")
        above.set_ylabel("pruned" if column == 0 else "")
        below.set_ylabel("cell" if column == 0 else "")
    figure.legend(handles=_handles(), loc="outside lower center", ncols=3)
    return settled(figure)


def _schedule(axes: Axes, history: History) -> None:
    shares, edges = binned_shares(history.prune_event)
    axes.stairs(shares, edges - 0.5, color=GONE, fill=True, alpha=0.35, linewidth=0)
    each = np.arange(history.n_generations + 1) - 0.5
    axes.stairs(_chances(history), each, baseline=None, color=INK, linewidth=1.1)
    axes.set_ylim(0, 1.02)
    whole_ticks(axes.xaxis, 5)
    axes.set_yticks([0, 0.5, 1], ["0", "", "1"])


def _events(axes: Axes, history: History) -> None:
    """A pixel is the darker, the more of its cells and generations were pruned."""
    extent = cells_over_generations(axes, history.prune_event.shape)
    shares = block_means(history.prune_event.T)
    image = np.empty((*shares.shape, 4))
    image[..., :3] = to_rgb(GONE)
    image[..., 3] = shares
    axes.imshow(image, extent=extent, origin="lower", aspect="auto", interpolation="none")


def binned_shares(events: npt.NDArray[np.bool_]) -> tuple[Float64, npt.NDArray[np.int64]]:
    """The share of cells that were pruned, in bins of generations.

    Args:
        events: shape (generations, cells).

    Returns:
        the shares, shape (bins,); and the bins' edges, shape (bins + 1,).
    """
    n_generations, n_cells = events.shape
    n_bins = max(1, min(_BINS, n_generations * n_cells // _PER_BIN, n_generations))
    edges = np.linspace(0, n_generations, n_bins + 1).astype(np.int64)
    sums = np.add.reduceat(events.sum(axis=1), edges[:-1])
    return sums / (np.diff(edges) * n_cells), edges


def _handles() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=INK, linewidth=1.1, label="probability of the schedule"),
        Patch(color=GONE, alpha=0.35, linewidth=0, label="share of cells pruned"),
        Patch(color=GONE, linewidth=0, label="prune event"),
    ]
