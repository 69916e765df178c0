"""Measures over generations, a line per variant, in panels of as many as can be told apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aes_lipi.analysis.figures.style import (
    COLUMN,
    INK,
    LEGEND_LINE,
    PAGE,
    Look,
    ShownFigure,
    add_legend,
    legend_handle,
    legend_lines,
    looks,
    styled,
    thousands,
    whole_ticks,
    wrapped,
)
from aes_lipi.analysis.measures import MEASURE_NAMES, AnalysisUnit, check_measures
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.settings import (
    choices,
    groups_by,
    named,
    noise_of,
    settings_of,
    varying_settings,
)
from aes_lipi.analysis.tables import describe_generations
from aes_lipi.errors import UserError, nearest, printable

PANEL_SETTINGS: Mapping[str, str] = {
    "prune_method": "operator",
    "prune_schedule": "schedule",
    "environment": "environment",
    "cell_evaluation": "cell evaluation",
    "population_size": "population size",
    "dataset_name": "data set",
}
"""The settings by which a study's curves are set side by side, and what titles call them."""

TOGETHER = 6
"""Lines of a panel, with their intervals."""
MOST_LINES = 12
"""Of a panel, of more than a few without intervals, that are told apart."""

_MOST_PANELS = 12
_THIS, _OTHERS = "the variant above", "the others"
_WITH_FLOOR = ("mean_L1", "test_L1", "mean_test_L1", "validation_L1")
"""Measures that have the noise in the data for a floor."""


@dataclass(frozen=True)
class _Panel:
    """Variants that are drawn together.

    Attributes:
        title: above the panel; empty if there is one panel only.
        lines: by variant id, what its line is called; the same name looks the same in all panels.
    """

    title: str
    lines: Mapping[str, str]


def panels_by(
    setting: str, trials: pd.DataFrame, labels: Mapping[str, str]
) -> tuple[_Panel, ...] | None:
    """A panel for each value of a setting, with a line for each of its variants.

    A variant without pruning has no schedule: it is in all panels by schedule, to compare with.

    Args:
        setting: in which the variants differ.
        trials: the table of trials.
        labels: of the variants.

    Returns:
        in the order of the variants; None where the setting does not vary, or where every panel
        would have one line.
    """
    settings = settings_of(trials, labels)
    groups = groups_by(settings, setting)
    if len(groups) < 2:
        return None
    panels = []
    for title, ids in groups.items():
        names = named(settings.loc[ids], [setting])
        panels.append(_Panel(title, {k: name or labels[k] for k, name in names.items()}))
    everywhere = set.intersection(*map(set, groups.values()))
    return tuple(panels) if max(map(len, groups.values())) - len(everywhere) > 1 else None


def panels_of(data: Measurements, most: int = _MOST_PANELS) -> tuple[_Panel, ...]:
    """All variants in one panel, or in as many as it takes to tell their lines apart.

    Several panels are by a setting, a named choice first. Where each would have too many lines, a
    panel is of one variant, for those of the lowest losses.

    Args:
        data: the measurements.
        most: panels to have at most.
    """
    labels = data.labels
    if len(labels) <= TOGETHER:
        return (_Panel("", labels),)
    settings = settings_of(data.trials, labels)
    varying = choices(settings)
    for setting in sorted(varying, key=lambda name: name not in PANEL_SETTINGS):
        panels = panels_by(setting, data.trials, labels)
        if panels and len(panels) <= most and max(len(p.lines) for p in panels) <= TOGETHER:
            return panels
    losses = data.trials.groupby("variant")["mean_L1"].median().reindex(list(labels))
    lowest = losses.sort_values(kind="stable").index[:most]
    return tuple(_Panel(labels[each], {each: _THIS}) for each in labels if each in lowest)


def is_of_chosen(panels: Iterable[_Panel], labels: Mapping[str, str]) -> bool:
    """Whether some of the variants are in no panel."""
    return len({variant for panel in panels for variant in panel.lines}) < len(labels)


def sampling(generations: Iterable[int]) -> str:
    """How often a measure was recorded; empty where it was in every generation.

    Args:
        generations: in which it was, in any order.
    """
    known = sorted(set(generations))
    steps = {b - a for a, b in itertools.pairwise(known[:-1])}
    last = known[-1] - known[-2] if len(known) > 1 else 0
    if len(known) <= 3 and last != 1:
        return f"recorded in {' and '.join(map(str, known))} only"
    if len(steps) > 1:
        return f"recorded in {len(known)} generations"
    step = next(iter(steps), last)
    if step == 1:
        return ""
    return f"recorded every {step}" + ("" if last == step else " and in the last")


ENOUGH_RECORDINGS = 10
"""That make a curve; of a loss with fewer, that of a training batch is drawn, too."""

_HEIGHT, _LOW = 2.3, 1.6  # of a panel, and of one among many, in inches
_ACROSS = 3  # panels
_MARKED = 24  # points of a line that all have markers
_MARKERS = 6  # of a line of more points
_FAINT_POINTS = 60  # of a line that is there to compare with
_FAINT = 0.22


def plot_curves(
    data: Measurements,
    measures: Sequence[str] = ("mean_L1",),
    *,
    unit: AnalysisUnit = "trial_mean",
    by: str | None = None,
    table: pd.DataFrame | None = None,
) -> Figure:
    """Medians over generations and their bootstrap intervals.

    Of more variants than a panel holds, there is a panel for each value of a setting, or for each
    of the variants of the lowest losses; the medians of the others are there in grey. The axis says
    how often a measure was recorded, where that was not in every generation.

    Args:
        data: of one or several studies.
        measures: one, or several that are set side by side.
        unit: what counts as one observation.
        by: a setting, for a panel for each of its values.
        table: of `describe_generations` of that unit, if it is there already.

    Raises:
        UserError: the unit or a measure was not read (name it to `read_measurements`), or no
            variants differ in the setting; those in which some do are told.
    """
    measures = check_measures(measures)
    if table is None:
        table = describe_generations(data, unit, measures)
    else:
        data.of_unit(unit, measures)
    panels = panels_of(data, max(4, _MOST_PANELS // len(measures))) if by is None else _by(data, by)
    return _drawn(measures, panels, table[table["n"] > 0], noise_of(data.trials))


def _by(data: Measurements, setting: str) -> tuple[_Panel, ...]:
    varying = varying_settings(settings_of(data.trials, data.labels))
    panels = panels_by(setting, data.trials, data.labels) if setting in varying else None
    if panels is None:
        known = f"; they do in {', '.join(varying)}" if varying else ""
        close = nearest(setting, varying) or known
        raise UserError(f"{printable(setting)}: no setting by which variants make panels{close}")
    return panels


@styled
def _drawn(
    measures: Sequence[str],
    panels: Sequence[_Panel],
    table: pd.DataFrame,
    noise: float | None,
) -> Figure:
    places = [(measure, panel) for panel in panels for measure in measures]
    styles = looks(list(dict.fromkeys(name for panel in panels for name in panel.lines.values())))
    handles = [legend_handle(name, look) for name, look in styles.items()]
    if len(panels) > 1:
        handles.append(Line2D([], [], color=INK, alpha=2 * _FAINT, linewidth=0.6, label=_OTHERS))
    across = len(measures) if len(measures) > 1 else min(len(panels), _ACROSS)
    down = math.ceil(len(places) / across)
    width = COLUMN * 1.35 if across == 1 else PAGE
    below = legend_lines([str(each.get_label()) for each in handles]) * LEGEND_LINE + 0.1
    figure = ShownFigure(figsize=(width, (_HEIGHT if down < 3 else _LOW) * down + below))
    grid = figure.subplots(
        down, across, sharex=True, sharey=len(measures) == 1 or "col", squeeze=False
    ).ravel()
    recorded = _recorded(table, measures)
    for place, (axes, (measure, panel)) in enumerate(zip(grid, places, strict=False)):
        if place % across == 0 or len(measures) == 1:
            axes.set_title(wrapped(panel.title, width / across - 0.4))
        floor = noise if measure in _WITH_FLOOR else None
        rows = table[table["measure"] == measure]
        _draw(axes, rows, panel, styles, floor)
        thousands(axes.yaxis, rows["median"].max())
        whole_ticks(axes.xaxis, 8)
        last = place + across >= len(places)
        axes.set_xlabel(wrapped(recorded[measure], width / across - 0.2) if last else "")
        axes.tick_params(labelbottom=last)
        axes.set_ylabel(_axis(measure) if place % across == 0 or len(measures) > 1 else "")
    for axes in grid[len(places) :]:
        axes.set_axis_off()
    add_legend(figure, handles)
    return figure


def _axis(measure: str) -> str:
    return MEASURE_NAMES.get(measure, measure)


def _recorded(table: pd.DataFrame, measures: Iterable[str]) -> dict[str, str]:
    """What the axis of generations is called, by measure."""
    found = {}
    for measure in measures:
        rows = table[table["measure"] == measure]
        each = rows.groupby("variant", observed=True)["generation"]
        ways = {sampling(map(int, known)) for _, known in each}
        how = next(iter(ways)) if len(ways) == 1 else "recorded differently" if ways else ""
        found[measure] = f"generation ({how})" if how else "generation"
    return found


def _draw(
    axes: Axes, rows: pd.DataFrame, panel: _Panel, styles: Mapping[str, Look], floor: float | None
) -> None:
    axes.grid(axis="y")
    if panel.title:
        _faint(axes, rows[~rows["variant"].isin(panel.lines)])
    for variant, name in panel.lines.items():
        own = rows[rows["variant"] == variant]
        if len(own):
            _line(axes, own, styles[name], with_band=len(panel.lines) <= TOGETHER)
    if floor is not None:
        axes.axhline(floor, linewidth=0.7, linestyle=":", color=INK)


def _faint(axes: Axes, rows: pd.DataFrame) -> None:
    """The medians of variants that are there to compare with."""
    generation, median = rows["generation"].to_numpy(dtype=np.int64), rows["median"].to_numpy()
    lines = []
    for places in rows.groupby("variant", observed=True, sort=False).indices.values():
        n = min(len(places), _FAINT_POINTS)
        few = places[np.linspace(0, len(places) - 1, n).astype(int)]
        lines.append(np.stack([generation[few], median[few]], axis=1))
    axes.add_collection(LineCollection(lines, color=INK, alpha=_FAINT, linewidth=0.6))
    axes.autoscale_view()


def _line(axes: Axes, rows: pd.DataFrame, look: Look, *, with_band: bool) -> None:
    """A median and its interval; what was measured in few generations has its points marked."""
    generation = rows["generation"].to_numpy(dtype=np.int64)
    median, low, high = (rows[name].to_numpy() for name in ("median", "low", "high"))
    if with_band:
        axes.fill_between(generation, low, high, color=look.colour, alpha=0.12, linewidth=0)
    every = max(1, len(rows) // _MARKERS) if len(rows) > _MARKED else 1
    axes.plot(
        generation,
        median,
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
        markevery=every,
    )
