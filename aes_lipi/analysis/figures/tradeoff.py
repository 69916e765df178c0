"""Size against loss: all candidates, and the front of those that nothing else beats."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aes_lipi.analysis.figures.style import (
    COLUMN,
    INK,
    LEGEND_LINE,
    PAGE,
    PAPER,
    Look,
    ShownFigure,
    laid_out,
    log_ticks,
    looks,
    names_per_line,
    styled,
    wrapped,
)
from aes_lipi.analysis.pareto import Size, Tradeoff
from aes_lipi.arrays import Float64, Int64

FRONT = "Pareto front"

_HEIGHT = 2.5  # of a panel, in inches
_POINTS = 4000  # of all panels, about, the fronts' apart
_FINEST = 256  # places across, and up, that are told apart: two for a marker's width
_COARSER = 1.15  # how many times, from one grid to the next
_DENSE = 40  # members of a front from which their markers are small
_MOST_NAMED = 8  # variants
_OTHERS, _OTHER = "other variants", Look(INK, "-", "o")
_FAR = 5  # how many times the smallest value the largest one is where an axis is logarithmic

_SHARES: Mapping[Size, str] = {
    "capacity": "capacity: share of parameters that are not zero",
    "compact": "share of parameters left by compaction",
}
_COUNTS: Mapping[Size, str] = {
    "capacity": "parameters that are not zero",
    "compact": "parameters left by compaction",
}


def plot_tradeoff(tradeoffs: Sequence[Tradeoff]) -> Figure | None:
    """Every candidate's size and loss on validation rows, and the Pareto front.

    Sizes are shares of the parameters, or their numbers where networks of several sizes are
    compared. Where points would cover each other, one of them is drawn; those of the front all are.

    Args:
        tradeoffs: candidates; those of different data are not compared.

    Returns:
        a row of panels for each of them: by what is not zero, and by what compaction leaves, if
        that is another size for some of them. None if nothing is pruned.
    """
    pruned = [each for each in tradeoffs if each.is_pruned]
    return _drawn(pruned) if pruned else None


@styled
def _drawn(tradeoffs: Sequence[Tradeoff]) -> Figure:
    sizes: list[Size] = ["capacity"]
    if any(each.is_compacted for each in tradeoffs):
        sizes.append("compact")
    styles, names = _looks(tradeoffs, sizes)
    width = PAGE if len(sizes) > 1 else COLUMN * 1.35
    per_line = names_per_line([*names, FRONT], width)
    below = math.ceil((len(names) + 2) / per_line) * LEGEND_LINE + 0.1
    figure = ShownFigure(figsize=(width, _HEIGHT * len(tradeoffs) + below))
    grid = figure.subplots(len(tradeoffs), len(sizes), sharex=True, sharey="row", squeeze=False)
    _draw(grid, tradeoffs, sizes, styles)
    for axes, each in zip(grid[:, 0], tradeoffs, strict=True):
        axes.set_ylabel(f"{each.loss}, validation rows")
        if len(tradeoffs) > 1:
            axes.set_title(wrapped(each.data, width / len(sizes) - 0.4))
    handles = [*(_handle(name, styles[name]) for name in names), _front_handle()]
    if len(names) < len(styles):
        handles.append(_handle(_OTHERS, _OTHER))
    figure.legend(handles=handles, loc="outside lower center", ncols=per_line)
    return laid_out(figure)


def _looks(
    tradeoffs: Sequence[Tradeoff], sizes: Sequence[Size]
) -> tuple[dict[str, Look], list[str]]:
    """Looks of the variants, and who is named: of many those that are most on the fronts."""
    everything = (name for each in tradeoffs for name in each.candidates["label"].cat.categories)
    known = list(dict.fromkeys(map(str, everything)))
    there = [name for name in known if any(name in each.labels for each in tradeoffs)]
    if len(there) <= _MOST_NAMED:
        styles = looks(known)
        return {name: styles[name] for name in there}, there
    members = Counter(
        str(name)
        for each in tradeoffs
        for size in sizes
        for name in each.candidates["label"].iloc[each.front(size)]
    )
    most = {name for name, _ in members.most_common(_MOST_NAMED)}
    named = [name for name in there if name in most]
    return {**dict.fromkeys(there, _OTHER), **looks(named)}, named


def _draw(
    grid: npt.NDArray[np.object_],
    tradeoffs: Sequence[Tradeoff],
    sizes: Sequence[Size],
    styles: Mapping[str, Look],
) -> None:
    """Fill a row of panels for each of the data, a column for each measure of size."""
    of_one_size = all(each.is_of_one_size for each in tradeoffs)
    values = {
        (row, size): each.shares(size) if of_one_size else each.counts(size)
        for row, each in enumerate(tradeoffs)
        for size in sizes
    }
    every = np.concatenate(list(values.values()))
    for row, each in enumerate(tradeoffs):
        for axes, size in zip(grid[row], sizes, strict=True):
            x = values[row, size]
            _scale(axes, "x", every)
            _scale(axes, "y", each.losses)
            axes.grid()
            if each.floor is not None:
                axes.axhline(each.floor, linewidth=0.7, linestyle=":", color=INK)
            _points(axes, each, x, styles, _POINTS // grid.size)
            _front(axes, each, x, size, styles)
    for axes, size in zip(grid[-1], sizes, strict=True):
        axes.set_xlabel((_SHARES if of_one_size else _COUNTS)[size])


def _scale(axes: Axes, name: Literal["x", "y"], values: Float64) -> None:
    """Make an axis logarithmic where values are far apart, with round ones at its ticks."""
    low, high = values.min(), values.max()
    if not 0 < low * _FAR <= high:
        return
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    log_ticks(axis, low, high)


def _points(axes: Axes, each: Tradeoff, x: Float64, styles: Mapping[str, Look], most: int) -> None:
    places = axes.transScale.transform(np.column_stack([x, each.losses]))
    labels = each.candidates["label"]
    for name in each.labels:
        own = np.flatnonzero(labels == name)
        own = own[thinned(places[own], most // len(each.labels))]
        axes.plot(
            x[own],
            each.losses[own],
            styles[name].marker,
            color=styles[name].colour,
            markersize=2,
            alpha=0.15 if styles[name] is _OTHER else 0.4,
            mew=0,
        )


def _front(axes: Axes, each: Tradeoff, x: Float64, size: Size, styles: Mapping[str, Look]) -> None:
    """The front as steps: the loss that is to be had by each size, up to the largest."""
    front = each.front(size)
    y = each.losses[front]
    axes.plot(
        [*x[front], x.max()], [*y, y[-1]], drawstyle="steps-post", color=INK, linewidth=1, zorder=3
    )
    labels = each.candidates["label"].iloc[front].to_numpy()
    for name in dict.fromkeys(labels):
        own = front[labels == name]
        axes.plot(x[own], each.losses[own], **_marks(styles[name], len(front) >= _DENSE))


def _marks(look: Look, is_dense: bool) -> dict[str, Any]:
    """How members of a front look: as their variant does, with an edge of the front's colour."""
    return {
        "marker": look.marker,
        "markersize": 2.8 if is_dense else 4.5,
        "markerfacecolor": look.colour,
        "markeredgecolor": INK,
        "markeredgewidth": 0.4 if is_dense else 0.7,
        "linestyle": "none",
        "zorder": 4,
    }


def _handle(name: str, look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, linestyle="none", marker=look.marker, label=name)


def _front_handle() -> Line2D:
    return Line2D(
        [], [], color=INK, linewidth=1, marker="o", markerfacecolor=PAPER, mew=0.7, label=FRONT
    )


def thinned(places: Float64, most: int) -> Int64:
    """Some of many points, such that none is far from one of them.

    Args:
        places: shape (n, 2), in what the axes are linear in.
        most: points to keep.

    Returns:
        indices, in order: a point of every square of a grid that is as fine as can be.
    """
    low, high = places.min(axis=0), places.max(axis=0)
    unit = (places - low) / np.where(high > low, high - low, 1)
    kept, n = np.arange(len(unit)), float(_FINEST)
    while True:
        squares = (unit[kept] * n).astype(np.int64)
        ids = squares[:, 0] * (_FINEST + 1) + squares[:, 1]
        kept = kept[np.sort(np.unique(ids, return_index=True)[1])]
        if len(kept) <= most or n < 1:
            return kept
        n /= _COARSER
