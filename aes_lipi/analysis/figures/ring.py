"""The ring as a space-time diagram: how losses fall, and how a good pair spreads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FuncFormatter
from matplotlib.transforms import ScaledTranslation

from aes_lipi.analysis.figures.cells import (
    block_means,
    block_middles,
    cells_over_generations,
    loss_scale,
)
from aes_lipi.analysis.figures.style import (
    INK,
    LOSS_COLOURS,
    PAGE,
    PAPER,
    ShownFigure,
    laid_out,
    log_ticks,
    styled,
    wrapped,
)
from aes_lipi.analysis.history import BEGINNING, Courses, History
from aes_lipi.arrays import Float64, Int64

RING_MEASURE = "min_replacement_loss"
"""What the losses are: of the pair on one batch, after training and before it is pruned."""

_ROUND = (
    *("#c6e6d8", "#eed4af", "#f0ba7e", "#cca04e", "#918924", "#527003", "#245906", "#23451a"),
    *("#3c3633", "#5b2c55", "#762f7f", "#8350ad", "#787fd5", "#58aef2", "#4fd3fd", "#87e6f4"),
)
LOSS_NAMES = {
    "min_replacement_loss": "loss on a training batch, after training",
    "test_loss": "loss on a test batch",
    "min_selection_loss": "lowest loss of the neighbourhood, at selection",
}
ROBUST = (2, 98)  # percentiles between which colours differ
FOLLOWED = 5  # cells, at least, for a line of descent: it would hide fewer
_LEGEND_BELOW = -32  # of the last panel, in points


def lineage_colours() -> Colormap:
    """A colour map that ends where it begins, as a ring does.

    It goes round in the plane of lightness and of blue to yellow, which no common colour blindness
    flattens: of ten cells, the two most alike differ by 16 or more (CIE76) for deuteranopic,
    protanopic and tritanopic readers (Machado et al., 2009), by 9 in `twilight`.
    """
    return LinearSegmentedColormap.from_list("ring", (*_ROUND, _ROUND[0]))


def plot_ring(rows: Courses, measure: str = RING_MEASURE) -> Figure | None:
    """Cells over generations, coloured by loss on the left and by lineage on the right.

    On the right, a centre has the colour of the cell from whose centre it descends since the last
    vertical line, where one pair's descendants had taken all cells (see `descents`); the line is
    the descent of the pair that is best in the end, broken where it goes round the ring's end.

    Args:
        rows: labels of variants, and one trial of each. Those of one cell are left out: nothing can
            spread.
        measure: of the history, the loss that is drawn, on a scale that all variants share.

    Returns:
        a row of panels per variant; None if there is none.
    """
    rings = [(label, history.in_order()) for label, history in rows if history.n_cells > 1]
    return _drawn(rings, measure) if rings else None


@styled
def _drawn(rows: Courses, measure: str) -> Figure:
    heights = [min(0.35 + 0.06 * history.n_cells, 0.85) for _, history in rows]
    figure = ShownFigure(figsize=(PAGE, sum(heights) + 0.22 * len(rows) + 0.7))
    grid = figure.subplots(len(rows), 2, squeeze=False, height_ratios=heights)
    values = [history.measures[measure].ravel() for _, history in rows]
    scale = loss_scale(np.concatenate(values), ROBUST)
    last = max(history.n_generations for _, history in rows) - 0.5
    for (label, history), (losses, lineage) in zip(rows, grid, strict=True):
        losses.set_title(wrapped(label, PAGE / 2 - 0.4))
        image = _losses(losses, history.measures[measure], scale)
        _lineage(lineage, history)
        _key(lineage, history.n_cells, last + 0.5)
        for axes in (losses, lineage):
            axes.set_xlim(-0.5, last)
            axes.tick_params(labelbottom=axes in grid[-1])
        if history.order:
            losses.yaxis.set_major_formatter(FuncFormatter(partial(_cell_at, history.order)))
    grid[0, 1].set_title("coloured by the cell it descends from")
    _finish(figure, grid, image, LOSS_NAMES.get(measure, measure))
    if any(history.n_cells >= FOLLOWED for _, history in rows):
        _legend(figure, grid[-1, 1])
    return laid_out(figure)


def _cell_at(order: Sequence[int], place: float, _: int | None = None) -> str:
    """The number of the cell that is drawn at a place."""
    k = round(place)
    return str(order[k]) if 0 <= k < len(order) else ""


def _losses(axes: Axes, values: Float64, scale: Normalize) -> AxesImage:
    place = cells_over_generations(axes, values.shape)
    return axes.imshow(
        block_means(values.T),
        cmap=LOSS_COLOURS,
        norm=scale,
        extent=place,
        origin="lower",
        aspect="auto",
        interpolation="none",
    )


def _key(axes: Axes, n_cells: int, width: float) -> None:
    """The colour of every cell, left of its row."""
    axes.imshow(
        np.arange(n_cells)[:, np.newaxis],
        cmap=lineage_colours(),
        norm=Normalize(0, n_cells),
        extent=(-0.5 - 0.03 * width, -0.5 - 0.012 * width, -0.5, n_cells - 0.5),
        origin="lower",
        aspect="auto",
        interpolation="none",
        clip_on=False,
    )
    axes.tick_params(left=False, labelleft=False)
    axes.spines["left"].set_visible(False)


def _lineage(axes: Axes, history: History) -> None:
    told = descents(history)
    place = cells_over_generations(axes, told.founders.shape)
    axes.imshow(
        block_middles(told.founders.T),
        cmap=lineage_colours(),
        norm=Normalize(0, history.n_cells),
        extent=place,
        origin="lower",
        aspect="auto",
        interpolation="none",
    )
    for start in told.starts[1:]:
        axes.axvline(start - 0.5, color=PAPER, linewidth=0.8)
    if history.n_cells >= FOLLOWED:
        _line_of_descent(axes, history)


def _line_of_descent(axes: Axes, history: History) -> None:
    generations, cells, jumps = line_on_ring(history, history.final_cell)
    axes.plot(
        np.insert(generations.astype(np.float64), jumps, np.nan),
        np.insert(cells.astype(np.float64), jumps, np.nan),
        color=INK,
        linewidth=0.7,
        solid_joinstyle="round",
        path_effects=[withStroke(linewidth=1.7, foreground=PAPER)],
    )


def _finish(figure: Figure, grid: npt.NDArray[np.object_], image: AxesImage, name: str) -> None:
    """Names of axes, and the scale of losses."""
    for column in (0, 1):
        grid[-1, column].set_xlabel("generation")
    for axes in grid[:, 0]:
        axes.set_ylabel("cell")
    bar = figure.colorbar(
        image,
        ax=list(grid[:, 0]),
        location="bottom",
        aspect=45,
        extend="both",
        label=name,
    )
    if isinstance(image.norm, LogNorm):
        log_ticks(bar.long_axis, *image.get_clim())


def _legend(figure: Figure, last: Axes) -> None:
    """What the line is, below the last panel."""
    below = ScaledTranslation(0, _LEGEND_BELOW / 72, figure.dpi_scale_trans)
    legend = last.legend(
        handles=[Line2D([], [], color=INK, linewidth=0.7, label="descent of the final best cell")],
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=last.transAxes + below,
        borderpad=0,
        borderaxespad=0,
    )
    legend.set_in_layout(False)  # it stands in the room beside the scale of losses


@dataclass(frozen=True)
class Descents:
    """From which cell every centre descends, told anew in every window of generations.

    Attributes:
        starts: the first generation of every window.
        founders: int64, shape (generations, cells): the cell, at the end of the generation before
            the window, from whose centre this one descends.
    """

    starts: tuple[int, ...]
    founders: Int64


def descents(history: History, most: int = 16) -> Descents:
    """Windows in which one pair takes over, and who descends from whom in them.

    A window ends with the generation in which all centres descend from one and the same of those
    at its start: what comes after would all look the same. Where that happens too often to be
    seen, a window goes on for an even share of the generations.

    Args:
        history: of a trial.
        most: windows that a figure has room for.
    """
    shortest = math.ceil(history.n_generations / most)
    starts, parts, start = [], [], 0
    while start < history.n_generations:
        part = _until_takeover(history, start, shortest)
        starts.append(start)
        parts.append(part)
        start += len(part)
    empty = np.empty((0, history.n_cells), dtype=np.int64)
    return Descents(tuple(starts), np.concatenate([empty, *parts]))


def _until_takeover(history: History, start: int, shortest: int) -> Int64:
    """The founders from a generation to the next takeover, shape (generations, cells)."""
    span = shortest
    while True:
        founders = history.ancestors(start, start + span)
        taken = (founders == founders[:, :1]).all(axis=1)
        taken[: shortest - 1] = False
        if taken.any():
            return founders[: int(taken.argmax()) + 1]
        if start + span >= history.n_generations:
            return founders
        span *= 2


def line_on_ring(history: History, cell: int) -> tuple[Int64, Int64, tuple[int, ...]]:
    """The line of descent of a cell's last centre, oldest first, and where it goes round the end.

    Cells in another order than that of their numbers are on no ring, which could be gone round.

    Returns:
        generations and cells, int64, shape (steps,) each; and the steps before which the line goes
        from the last cell to the first, or back.
    """
    line = np.array(history.line_of(cell)[::-1], dtype=np.int64)
    line = line[line[:, 0] > BEGINNING]
    generations, cells = line[:, 0], line[:, 1]
    jumps = np.abs(np.diff(cells)) * 2 > history.n_cells
    if history.order:
        jumps[:] = False
    return generations, cells, tuple(int(k) + 1 for k in np.flatnonzero(jumps))
