"""Measures over generations, a line per variant, in panels by setting; and trials as boxes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.style import (
    COLUMN,
    INK,
    LEGEND_LINE,
    PAGE,
    Look,
    legend_handle,
    looks,
    names_per_line,
    styled,
    wrapped,
)
from aes_lipi.analysis.tables import Sample
from aes_lipi.config import OPERATOR_FIELDS, Variant, label_variants, value_label

PANEL_SETTINGS: Mapping[str, str] = {
    "prune_method": "operator",
    "prune_schedule": "schedule",
    "environment": "environment",
    "cell_evaluation": "cell evaluation",
    "population_size": "population size",
    "dataset_name": "data set",
}
"""The settings by which a study's curves are set side by side, and what titles call them."""


@dataclass(frozen=True)
class _Panel:
    """Variants that are drawn together.

    Attributes:
        title: above the panel; empty if there is one panel only.
        lines: by variant id, what its line is called; the same name looks the same in all panels.
    """

    title: str
    lines: Mapping[str, str]


def one_panel(labels: Mapping[str, str]) -> tuple[_Panel, ...]:
    """All variants together."""
    return (_Panel("", labels),)


def panels_by(
    setting: str, trials: pd.DataFrame, labels: Mapping[str, str]
) -> tuple[_Panel, ...] | None:
    """A panel for each value of a setting, with a line for each of its variants.

    A variant without pruning has no schedule: it is in all panels by schedule, to compare with.

    Args:
        setting: one of `PANEL_SETTINGS`.
        trials: the table of trials.
        labels: of the variants.

    Returns:
        in the order of the variants; None where the setting does not vary, or where every panel
        would have one line.
    """
    settings = settings_of(trials, labels)
    values = settings[setting]
    everywhere = _unpruned(settings) if setting in OPERATOR_FIELDS else values.isna()
    groups = list(dict.fromkeys(values[~everywhere]))
    if len(groups) < 2:
        return None
    panels = [
        _Panel(
            value_label(setting, value, map(str, groups)),
            _lines(setting, settings[(values == value) | everywhere], labels),
        )
        for value in groups
    ]
    most = max(len(set(panel.lines) - set(values.index[everywhere])) for panel in panels)
    return tuple(panels) if most > 1 else None


def settings_of(trials: pd.DataFrame, labels: Iterable[str]) -> pd.DataFrame:
    """The settings of the variants that have trials, by id, in the order of the labels."""
    first = trials.drop_duplicates("variant").set_index("variant")
    known = [variant for variant in labels if variant in first.index]
    return first.loc[known, list(Variant.model_fields)]


def varying_settings(settings: pd.DataFrame) -> list[str]:
    """The settings in which the variants differ; those of operators among variants with one."""
    pruned = settings[~_unpruned(settings)]
    return [
        name
        for name in settings.columns
        if (pruned if name in OPERATOR_FIELDS else settings)[name].nunique(dropna=False) > 1
    ]


def _unpruned(settings: pd.DataFrame) -> pd.Series[bool]:
    """Of which variants nothing is pruned, by id."""
    return settings["prune_method"] == "None"


def _lines(setting: str, settings: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, str]:
    """What tells the variants of a panel apart, by id, besides the setting that the panel is of."""
    rows = settings.astype(object).to_dict("index")
    found = label_variants({str(key): row for key, row in rows.items()}, leave_out=[setting])  # type: ignore[misc]
    return {variant: name or labels[variant] for variant, name in found.items()}


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
def over_generations(curves: Sequence[Curves], panels: Sequence[_Panel]) -> Figure:
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


def _draw(axes: Axes, curve: Curves, panel: _Panel, styles: Mapping[str, Look]) -> None:
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


_ROW = 0.3  # height of a variant, in inches
_LONGEST = 100  # letters of a name
_SPREAD = 0.24  # of the points, across


@styled
def final_values(
    columns: Sequence[tuple[str, Sequence[Sample]]], notes: dict[str, str] | None = None
) -> Figure:
    """Boxes of one or more measures side by side, a row per variant.

    The box spans the quartiles, its line is the median, whiskers reach to the last point within one
    and a half box lengths; every trial is a point.

    Args:
        columns: what a measure's axis is called, and its samples, the same variants in all.
        notes: by variant id, what is written behind its values in the first column, such as the
            letters of a comparison.
    """
    samples = columns[0][1]
    styles = looks([sample.label for sample in samples])
    height = 0.75 + _ROW * len(samples)
    figure = Figure(figsize=(PAGE, height))
    figure.set_layout_engine("constrained", wspace=0.08)
    grid = figure.subplots(1, len(columns), sharey=True, squeeze=False)[0]
    for axes, (title, found) in zip(grid, columns, strict=True):
        axes.set_xlabel(title)
        axes.grid(axis="x")
        for place, sample in enumerate(found):
            _box(axes, place, sample, styles[sample.label])
    first = grid[0]
    first.set_yticks(
        range(len(samples)), [wrapped(sample.label[:_LONGEST], PAGE / 4) for sample in samples]
    )
    first.set_ylim(len(samples) - 0.5, -0.5)
    for place, sample in enumerate(samples):
        if notes and notes.get(sample.variant):
            first.annotate(
                notes[sample.variant],
                (1.01, place),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=7,
                annotation_clip=False,
            )
    return figure


def _box(axes: Axes, place: int, sample: Sample, look: Look) -> None:
    if not len(sample.values):
        return
    axes.boxplot(
        sample.values,
        positions=[place],
        orientation="horizontal",
        widths=0.62,
        showfliers=False,
        manage_ticks=False,
        patch_artist=True,
        boxprops={"facecolor": look.colour, "alpha": 0.25, "edgecolor": look.colour},
        medianprops={"color": INK, "linewidth": 1.4},
        whiskerprops={"color": look.colour, "linewidth": 0.8},
        capprops={"color": look.colour, "linewidth": 0.8},
    )
    across = place + _scattered(len(sample.values))
    axes.plot(
        sample.values, across, look.marker, color=look.colour, markersize=2.4, alpha=0.75, mew=0
    )


def _scattered(n: int) -> np.ndarray:
    """Places across the box that keep points apart: the golden ratio's, the same every time."""
    golden = (np.sqrt(5) - 1) / 2
    shares: np.ndarray = (np.arange(1, n + 1) * golden) % 1
    return (shares - 0.5) * 2 * _SPREAD if n > 1 else np.zeros(n)
