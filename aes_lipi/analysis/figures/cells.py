"""Cells over generations: images of as many pixels as there are, prune events, learning rates."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LogNorm, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from aes_lipi.analysis.figures.style import (
    COLUMN,
    GONE,
    INK,
    PAGE,
    ShownFigure,
    laid_out,
    log_ticks,
    looks,
    styled,
    whole_ticks,
    wrapped,
)
from aes_lipi.analysis.history import Courses, History
from aes_lipi.arrays import Float64, Int64

_MOST_PIXELS = (160, 640)
"""Rows and columns of an image: 200 to an inch, in a panel as wide as half a page."""

_KINDS = 20  # how many times higher losses of another kind are, at least


def block_means(values: npt.ArrayLike, most: tuple[int, int] = _MOST_PIXELS) -> Float64:
    """The values, or their means over blocks where there are too many.

    Args:
        values: float, shape (rows, columns); NaN is left out of a mean.
        most: rows and columns to have at most.

    Returns:
        float64, shape (at most rows, at most columns); NaN where a block has nothing else.
    """
    known = np.asarray(values, dtype=np.float64)
    present = ~np.isnan(known)
    sums = _block_sums(np.where(present, known, 0.0), most)
    counts = _block_sums(present.astype(np.float64), most)
    means = np.full(sums.shape, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means


def block_middles(values: Int64, most: tuple[int, int] = _MOST_PIXELS) -> Int64:
    """The values, or those in the middle of blocks where there are too many.

    Args:
        values: numbers of cells, which have no mean; int64, shape (rows, columns).
        most: rows and columns to have at most.
    """
    edges = [block_edges(length, bound) for length, bound in zip(values.shape, most, strict=True)]
    rows, columns = ((edge[:-1] + edge[1:]) // 2 for edge in edges)
    picked: Int64 = values[np.ix_(rows, columns)]
    return picked


def _block_sums(values: Float64, most: tuple[int, int]) -> Float64:
    for axis in (0, 1):
        edges = block_edges(values.shape[axis], most[axis])
        values = np.add.reduceat(values, edges[:-1], axis=axis)
    return values


def block_edges(length: int, most: int) -> Int64:
    """Where blocks of equal length, but for one, begin and end, shape (blocks + 1,)."""
    return np.linspace(0, length, min(length, most) + 1).astype(np.int64)


def cells_over_generations(axes: Axes, shape: tuple[int, int]) -> tuple[float, float, float, float]:
    """Lay out axes for an image of generations (across) and cells (up).

    Args:
        axes: to lay out.
        shape: numbers of generations and cells.

    Returns:
        the image's place, as matplotlib's `extent`; its first row is cell 0, at the bottom.
    """
    n_generations, n_cells = shape
    axes.set_ylim(-0.5, n_cells - 0.5)
    whole_ticks(axes.yaxis, min(5, n_cells))
    whole_ticks(axes.xaxis, 5)
    return (-0.5, n_generations - 0.5, -0.5, n_cells - 0.5)


def loss_scale(losses: npt.ArrayLike, robust: tuple[float, float] = (0, 100)) -> Normalize:
    """A scale of colours for losses.

    It is logarithmic where losses are of several kinds, such as L1 and a negative ELBO.

    Args:
        losses: of any shape; what is not finite does not count.
        robust: percentiles that the scale reaches from and to.
    """
    values = np.asarray(losses, dtype=np.float64)
    known = values[np.isfinite(values)]
    low, high = np.percentile(known, robust) if len(known) else (0.0, 1.0)
    return LogNorm(low, high) if 0 < low * _KINDS < high else Normalize(low, high)


def cell_name(rows: Courses) -> str:
    """What each of the trials' cells is called: a pair in `all_vs_all`."""
    names = {"pair" if history.is_of_pairs else "cell" for _, history in rows}
    return " or ".join(sorted(names))


_CHANCES = 0.55  # height of the upper part of a panel, in inches
_BINS = 40  # of the generations, for the share that was pruned
_PER_BIN = 40  # cells in a bin, at least: a share of fewer says little


def plot_prune_events(rows: Courses) -> Figure | None:
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
    figure = ShownFigure(figsize=(PAGE if n_columns > 1 else COLUMN * 1.35, height))
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
        own_name = cell_name([(label, history)])
        below.set_ylabel(own_name if column == 0 or own_name != cell_name(rows) else "")
    figure.legend(handles=_handles(cell_name(rows)), loc="outside lower center", ncols=3)
    return laid_out(figure)


def _schedule(axes: Axes, history: History) -> None:
    shares, edges = _binned_shares(history.prune_event)
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


def _binned_shares(events: npt.NDArray[np.bool_]) -> tuple[Float64, npt.NDArray[np.int64]]:
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


def _handles(cell: str) -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=INK, linewidth=1.1, label="probability of the schedule"),
        Patch(color=GONE, alpha=0.35, linewidth=0, label=f"share of {_several(cell)} pruned"),
        Patch(color=GONE, linewidth=0, label="prune event"),
    ]


def _several(cell: str) -> str:
    return " or ".join(f"{name}s" for name in cell.split(" or "))


_RATES_HEIGHT = 1.35  # of a panel, in inches
_CELLS = 20  # lines of a panel, at most
_POINTS = 200  # of a line, at most
_LONG = 30  # letters of a title that leaves no room for three panels in a row
_BELOW = 5  # how many times smaller than the lowest median a rate may be to be shown


def plot_learning_rates(rows: Courses) -> Figure | None:
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
    return _rates_drawn(_panels(rows), cell_name(rows)) if rows else None


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
def _rates_drawn(panels: Sequence[tuple[str, Float64]], cell: str) -> Figure:
    longest = max(len(title) for title, _ in panels)
    n_columns = min(len(panels), 3 if longest <= _LONG else 2)
    n_rows = math.ceil(len(panels) / n_columns)
    width = COLUMN if n_columns == 1 else PAGE
    figure = ShownFigure(figsize=(width, _RATES_HEIGHT * n_rows + 0.45))
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
    low, high = _limits([rates for _, rates in panels])
    grid[0, 0].set(yscale="log", ylim=(low, high))
    log_ticks(grid[0, 0].yaxis, low, high)
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
    figure.legend(handles=_rate_handles(cell), loc="outside lower center", ncols=2)
    return laid_out(figure)


def _limits(walks: Sequence[Float64]) -> tuple[float, float]:
    """Of the axis: all that is high, and what is not far below all medians that are not zero."""
    medians = np.concatenate([np.median(rates, axis=1) for rates in walks])
    highest = max(float(rates.max()) for rates in walks)
    lowest = float(medians[medians > 0].min(initial=highest))
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
    return looks([""])[""].colour


def _rate_handles(cell: str) -> list[Line2D]:
    return [
        Line2D([], [], color=_colour(), linewidth=0.6, alpha=0.85, label=f"a {cell}"),
        Line2D([], [], color=INK, label=f"median over {_several(cell)}"),
    ]


def _evenly(length: int, most: int) -> Int64:
    """At most so many of the indices 0 to length - 1, first and last among them."""
    return np.unique(np.linspace(0, length - 1, min(length, most)).round().astype(np.int64))
