"""How a result answers to swept numbers: a line for each other setting, or a map of two."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator
from matplotlib.transforms import ScaledTranslation

from aes_lipi.analysis.figures.cells import loss_scale
from aes_lipi.analysis.figures.style import (
    COLUMN,
    LEGEND_LINE,
    LOSS_COLOURS,
    PAGE,
    Look,
    ShownFigure,
    add_legend,
    laid_out,
    legend_handle,
    legend_lines,
    log_ticks,
    looks,
    readable_on,
    styled,
    wrapped,
)
from aes_lipi.analysis.measures import MEASURE_NAMES
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.settings import (
    are_swept_together,
    check_swept,
    choices,
    groups_beside,
    groups_by,
    ruled_out,
    settings_of,
)
from aes_lipi.analysis.tables import describe_trials, is_chosen_on_test
from aes_lipi.arrays import Float64
from aes_lipi.errors import UserError

_HEIGHT = 2.2  # of a panel, in inches
_ACROSS = 3  # panels
_MOST_LINES = 7  # of a panel, before it becomes several
_STEP = 2.2  # points between lines at the same number, so that intervals are told apart
_FAR = 20  # how many times the smallest value the largest one is where an axis is logarithmic
_SQUARE = 0.37  # side of a map's square, in inches


_AXES = {"test_L1_by_validation": "test_L1"}
"""What an axis calls measures whose name stands for itself beside another alone."""


def plot_response(
    data: Measurements, x: str, y: str | None = None, *, measure: str = "test_L1"
) -> Figure:
    """The median of a result over a swept number, or over two of them.

    Variants for which the number means nothing (it is None, their operator does not use it, or
    nothing is pruned) are lines across; a map tells which it leaves out.

    Args:
        data: of one or several studies.
        x: the number across.
        y: the number up, for a heat map; without it, a line for every combination of the other
            settings, with the bootstrap interval of its median.
        measure: a numeric column of the trials, such as `test_L1` or `capacity`. Where answers were
            chosen on test rows, `test_L1` says so; `test_L1_by_validation` is of the others.

    Raises:
        UserError: a number was not swept (those that were are told), both are the same or were
            swept apart, or the trials have no such column.
    """
    settings = settings_of(data.trials, data.labels)
    for name in filter(None, (x, y)):
        check_swept(settings, name)
    if x == y:
        raise UserError(f"{x}: a map needs two numbers; give another one for y")
    if y is not None and not are_swept_together(settings, x, y):
        raise UserError(f"{x} and {y}: were not swept together; draw a line of each, without y")
    table = describe_trials(data, [measure]).set_index("variant").loc[settings.index]
    axis = MEASURE_NAMES.get(_AXES.get(measure, measure), measure)
    if measure == "test_L1" and is_chosen_on_test(data.trials):
        axis += ", chosen on them"
    if y is None:
        return _lines(settings, table, x, axis)
    return _maps(settings, table, (x, y), axis)


@styled
def _lines(settings: pd.DataFrame, table: pd.DataFrame, x: str, axis: str) -> Figure:
    panels = _panels(settings, x)
    names = list(dict.fromkeys(name for lines in panels.values() for name in lines))
    styles = looks(names)
    across = min(len(panels), _ACROSS)
    width = COLUMN * 1.35 if across == 1 else PAGE
    shown = [name for name in names if name]
    below = legend_lines(shown) * LEGEND_LINE + 0.1
    down = math.ceil(len(panels) / across)
    figure = ShownFigure(figsize=(width, _HEIGHT * down + below))
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    _scale(grid[0], settings.loc[~_is_apart(settings, x), x])
    across_name = f"{x} (None: a line across)" if settings[x].isna().any() else x
    for place, (axes, (title, lines)) in enumerate(zip(grid, panels.items(), strict=False)):
        axes.set_title(wrapped(title, width / across - 0.4))
        axes.grid(axis="y")
        for number, (name, ids) in enumerate(lines.items()):
            own = settings.loc[ids]
            points = table.loc[ids].assign(x=own[x].astype(float), is_apart=_is_apart(own, x))
            _line(axes, points, styles[name], _STEP * (number - (len(lines) - 1) / 2))
        last = place + across >= len(panels)
        axes.set_xlabel(across_name if last else "")
        axes.tick_params(labelbottom=last)
        axes.set_ylabel(axis if place % across == 0 else "")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    add_legend(figure, [legend_handle(name, styles[name]) for name in shown])
    return figure


def _is_apart(settings: pd.DataFrame, name: str) -> pd.Series[bool]:
    """Of which variants a setting means nothing."""
    return ruled_out(settings, name) != ""


def _panels(settings: pd.DataFrame, x: str) -> Mapping[str, Mapping[str, pd.Index[str]]]:
    """By title the lines of a panel: one panel, or one for each value of another setting."""
    lines = groups_beside(settings, [x])
    if len(lines) <= _MOST_LINES:
        return {"": lines}
    split = [_split(settings, x, name) for name in choices(settings) if name != x]
    return min(split, key=lambda panels: (max(map(len, panels.values())), len(panels)))


def _split(settings: pd.DataFrame, x: str, by: str) -> dict[str, Mapping[str, pd.Index[str]]]:
    return {
        title: groups_beside(settings.loc[ids], [x, by])
        for title, ids in groups_by(settings, by).items()
    }


def _scale(axes: Axes, values: pd.Series[float]) -> None:
    """Values at the ticks, which are logarithmic where they lie far apart."""
    known = np.unique(values.to_numpy(dtype=np.float64))
    if known[0] > 0 and known[-1] >= _FAR * known[0]:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(known[:: math.ceil(len(known) / 6)].tolist()))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")


def _line(axes: Axes, rows: pd.DataFrame, look: Look, shift: float) -> None:
    """Medians and their intervals, some points aside; a level where the number means nothing."""
    for level in rows.loc[rows["is_apart"], "median"]:
        axes.axhline(level, color=look.colour, linestyle=look.dashes, linewidth=0.9)
    found = rows[~rows["is_apart"]].sort_values("x", kind="stable")
    if not len(found):
        return
    median = found["median"].to_numpy()
    low, high = (found[name].fillna(found["median"]).to_numpy() for name in ("low", "high"))
    x = found["x"].to_numpy()
    for values in (low, high):  # matplotlib takes no limits from what is drawn aside
        axes.update_datalim(np.column_stack([x, values]))
    axes.autoscale_view()
    axes.errorbar(
        x,
        median,
        yerr=[median - low, high - median],
        transform=axes.transData + ScaledTranslation(shift / 72, 0, axes.figure.dpi_scale_trans),
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        elinewidth=0.7,
        capsize=1.8,
        capthick=0.7,
    )


@styled
def _maps(settings: pd.DataFrame, table: pd.DataFrame, swept: tuple[str, str], axis: str) -> Figure:
    left_out = [ruled_out(settings, name) for name in swept]
    counted = settings[(left_out[0] == "") & (left_out[1] == "")]
    groups = groups_beside(counted, swept)
    columns, rows = (np.unique(counted[name]) for name in swept)
    side = _SQUARE * len(columns) + 0.3
    across = max(1, min(len(groups), int((PAGE - 1.2) / side)))
    down = math.ceil(len(groups) / across)
    size = (max(across * side + 1.3, COLUMN), down * (_SQUARE * len(rows) + 0.35) + 0.6)
    figure = ShownFigure(figsize=size)
    grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
    scale = loss_scale(table.loc[counted.index, "median"])
    axes_of = list(zip((columns, rows), swept, strict=True))
    for place, (axes, (title, ids)) in enumerate(zip(grid, groups.items(), strict=False)):
        axes.set_title(wrapped(title, side))
        medians = np.full((len(rows), len(columns)), np.nan)
        places_of = [np.searchsorted(each, settings.loc[ids, name]) for each, name in axes_of]
        medians[places_of[1], places_of[0]] = table.loc[ids, "median"]
        image = axes.imshow(medians, cmap=LOSS_COLOURS, norm=scale, origin="lower", aspect="auto")
        _print(axes, medians, image)
        axes.set_xticks(range(len(columns)), [f"{value:g}" for value in columns])
        axes.set_yticks(range(len(rows)), [f"{value:g}" for value in rows])
        axes.tick_params(length=0, labelbottom=place + across >= len(groups))
        axes.spines[:].set_visible(False)
        axes.set_xlabel(swept[0] if place + across >= len(groups) else "")
        axes.set_ylabel(swept[1] if place % across == 0 else "")
    for axes in grid[len(groups) :]:
        axes.set_axis_off()
    name = wrapped(axis, max(size[1] - 0.6, 0.9))
    bar = figure.colorbar(image, ax=list(grid), aspect=25, label=name)
    if isinstance(image.norm, LogNorm):
        log_ticks(bar.long_axis, *image.get_clim())
    told = [text for text in dict.fromkeys([*left_out[0], *left_out[1]]) if text]
    if told:
        figure.supxlabel(
            wrapped(f"Not drawn: {'; '.join(told)}", size[0] - 0.2), x=0, ha="left", size=7
        )
    return laid_out(figure)


def _print(axes: Axes, medians: Float64, image: AxesImage) -> None:
    """The values in their squares."""
    for (y, x), value in np.ndenumerate(medians):
        if not np.isnan(value):
            colour = readable_on(colormaps[LOSS_COLOURS](image.norm(np.asarray(value))))
            axes.text(x, y, f"{value:.3g}", ha="center", va="center", fontsize=6, color=colour)
