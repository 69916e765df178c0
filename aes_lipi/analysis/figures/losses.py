"""The losses of a neighbourhood: every encoder with every decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from aes_lipi.analysis.figures.cells import loss_scale
from aes_lipi.analysis.figures.style import (
    LOSS_COLOURS,
    PAGE,
    ShownFigure,
    laid_out,
    log_ticks,
    readable_on,
    styled,
    wrapped,
)
from aes_lipi.analysis.history import Courses, History
from aes_lipi.arrays import Float64

_MOST_TIMES = 6
"""Generations of a variant that are drawn."""

_SIDE = 0.88  # of a matrix, at most, in inches
_GAP = 0.12  # between matrices, in sides
_SCALE = 0.6  # width of the colour scale
_LETTER, _BETWEEN = 0.06, 0.04  # widths of a figure in a member's name, and between names
_PRINTED = 7  # members, at most, for losses to be printed in their squares


@dataclass(frozen=True)
class _Row:
    """One variant's neighbourhood.

    Attributes:
        label: of the variant.
        members: what its members are called.
        losses: by generation, float64, shape (members, members).
    """

    label: str
    members: tuple[str, ...]
    losses: dict[int, Float64]


def plot_neighbourhood(rows: Courses) -> Figure | None:
    """Loss matrices of the neighbourhood of the cell that is best in the end.

    Args:
        rows: labels of variants, and one trial of each. Neighbourhoods of one cell are left out,
            and trials that did not record these losses.

    Returns:
        a row of heat maps per variant, encoders down, decoders across, of generations evenly
        chosen; None if there is none.
    """
    found = [_row(label, history) for label, history in rows]
    shown = [row for row in found if row.losses and len(set(row.members)) > 1]
    return _drawn(shown) if shown else None


def _row(label: str, history: History) -> _Row:
    cell = history.final_cell
    known = sorted(history.selection_losses)
    places = np.linspace(0, len(known) - 1, min(len(known), _MOST_TIMES)).round().astype(int)
    losses = {known[k]: history.selection_losses[known[k]][cell] for k in np.unique(places)}
    size = len(next(iter(losses.values()), ()))
    cells = history.members[cell] if history.members else ()
    names = tuple(map(str, cells if len(cells) == size else range(size)))
    return _Row(label, names, losses)


@styled
def _drawn(rows: Sequence[_Row]) -> Figure:
    n_columns = max(len(row.losses) for row in rows)
    pitch = min((PAGE - _SCALE - 0.5) / n_columns, _SIDE * (1 + _GAP))
    height = (pitch / (1 + _GAP) + 0.3) * len(rows) + 0.45
    figure = ShownFigure(figsize=(pitch * n_columns + _SCALE + 0.5, height))
    grid = figure.subplots(len(rows), 1, squeeze=False)[:, 0]
    scale = _scale(rows)
    before: list[int] = []
    for axes, row in zip(grid, rows, strict=True):
        image = _matrices(axes, row, scale, n_columns)
        times = list(row.losses)
        axes.set_title(wrapped(row.label, pitch * n_columns), pad=4 if times == before else 13)
        if times != before:
            _name_times(axes, row)
        before = times
    grid[-1].set_xlabel("decoder of cell")
    beyond = any(losses.max() > scale.vmax for row in rows for losses in row.losses.values())
    bar = figure.colorbar(
        image,
        ax=list(grid),
        aspect=30,
        shrink=0.8,
        label="loss at selection",
        extend="max" if beyond else "neither",
    )
    if isinstance(image.norm, LogNorm):
        log_ticks(bar.long_axis, *image.get_clim())
    return laid_out(figure)


def _scale(rows: Sequence[_Row]) -> Normalize:
    """From the lowest to the highest loss, but for those in a row's first generation.

    What has not learned yet is of no interest, and would leave few colours to the rest.
    """
    later = [list(row.losses.values())[1:] or list(row.losses.values()) for row in rows]
    return loss_scale(np.concatenate([losses.ravel() for each in later for losses in each]))


def _matrices(axes: Axes, row: _Row, scale: Normalize, n_columns: int) -> AxesImage:
    """The matrices of a row side by side; a square of one is a unit of the axes."""
    size = len(row.members)
    starts = [k * size * (1 + _GAP) for k in range(len(row.losses))]
    for start, losses in zip(starts, row.losses.values(), strict=True):
        extent = (start - 0.5, start + size - 0.5, size - 0.5, -0.5)
        image = axes.imshow(
            losses, cmap=LOSS_COLOURS, norm=scale, extent=extent, interpolation="none"
        )
        if size <= _PRINTED:
            for (encoder, decoder), loss in np.ndenumerate(losses):
                _printed(axes, (start + decoder, encoder), loss, scale, size)
    axes.set_xlim(-0.5, n_columns * size * (1 + _GAP) - size * _GAP - 0.5)
    axes.set_ylim(size - 0.5, -0.5)
    axes.set_anchor("W")
    named = range(0, size, _every(row.members))
    names = [row.members[place] for place in named]
    axes.set_xticks([start + place for start in starts for place in named], names * len(starts))
    axes.set_yticks(named, names)
    axes.set_ylabel("encoder of cell")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=2)
    return image


def _every(members: Sequence[str]) -> int:
    """Of how many members one has room for its name."""
    return math.ceil(len(members) * (_LETTER * max(map(len, members)) + _BETWEEN) / _SIDE)


def _name_times(axes: Axes, row: _Row) -> None:
    size = len(row.members)
    for k, t in enumerate(row.losses):
        axes.annotate(
            f"generation {t}",
            (k * size * (1 + _GAP) - 0.5, 1),
            (0, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=7,
            annotation_clip=False,
        )


def _printed(
    axes: Axes, place: tuple[float, float], loss: float, scale: Normalize, n_members: int
) -> None:
    text = axes.text(
        *place,
        _short(loss),
        ha="center",
        va="center",
        fontsize=7 if n_members <= 3 else 5,
        color=readable_on(colormaps[LOSS_COLOURS](scale(loss))),
    )
    text.set_in_layout(False)  # it stands in its square


def _short(loss: float) -> str:
    """As short as it can be read, as in .15 and 540."""
    text = f"{loss:.0f}" if abs(loss) >= 10 else f"{loss:.2f}"
    return text.removeprefix("0") if text.startswith("0.") else text
