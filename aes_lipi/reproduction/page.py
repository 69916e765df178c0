"""The page of a reproduction: ours beside the published numbers, and a verdict on every claim."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aes_lipi._version import __version__
from aes_lipi.analysis.figures.boxes import plot_final_values
from aes_lipi.analysis.figures.style import (
    COLUMN,
    FIGURE_FORMATS,
    INK,
    LEGEND_LINE,
    PAPER,
    Look,
    Named,
    Shown,
    ShownFigure,
    legend_handle,
    looks,
    show,
    styled,
)
from aes_lipi.analysis.report.views import Grid, pairs_grid
from aes_lipi.analysis.tables import Sample
from aes_lipi.config import expanded
from aes_lipi.io.files import check_own_page, write_text_atomically
from aes_lipi.reproduction.evidence import Estimate, FigureFinding, Point, SeriesFinding
from aes_lipi.reproduction.findings import Findings
from aes_lipi.reproduction.instances import InstanceFindings, OverInstances
from aes_lipi.reproduction.pairs import JudgedPair
from aes_lipi.reproduction.plan import ReproductionPlan
from aes_lipi.reproduction.published import Statistic
from aes_lipi.reproduction.verdicts import ClaimVerdict, ControlVerdict
from aes_lipi.results.storage import place_of
from aes_lipi.templates import render

_PAGE_NAME = "reproduction.html"

_LOSS = "mean L1, training rows"
_BAR: Mapping[str, Any] = {"linestyle": "", "marker": "_", "markersize": 13, "markeredgewidth": 1.6}
_DIAMOND: Mapping[str, Any] = {
    **{"linestyle": "", "marker": "D", "markersize": 6, "markeredgewidth": 1.4},
    **{"markerfacecolor": PAPER, "zorder": 5},
}

_GOOD = {"holds", "reached"}
_BAD = {"contradicted", "not reached"}


@dataclass(frozen=True)
class _Judged:
    """A claim or a question of a control, as the page has it."""

    name: str
    sentence: str
    outcomes: tuple[tuple[str, str, str], ...]
    series: tuple[str, ...]
    note: str
    pairs: Grid


@dataclass(frozen=True)
class _Beside:
    """A figure beside the published values, as the page has it."""

    figure: Shown
    values: Grid
    agreement: str


def write_page(findings: Findings, plan: ReproductionPlan, folder: str | Path) -> Path:
    """Write the page and its figures.

    Args:
        findings: what was found.
        plan: what was run.
        folder: on this machine, where to.

    Returns:
        the page.

    Raises:
        UserError: the disk refuses a file; free space, or give another folder.
    """
    place = Path(expanded(folder))
    check_own_page(place / _PAGE_NAME)
    source = findings.source
    content = render(
        "reproduction.html.j2",
        source=source,
        authors=", ".join(source.authors),
        version=__version__,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        scale=findings.scale,
        scope=findings.scope,
        missing=findings.missing,
        skipped=findings.skipped,
        claims=[_claim(each) for each in findings.claims],
        controls=[_control(each) for each in findings.controls],
        figures=[
            _figure(each, source.trials, place) for each in (*findings.overviews, *findings.figures)
        ],
        constants=findings.instances.constants,
        instances=_instances(findings.instances),
        studies=[
            (each.study.name, each.why, place_of(each.location), _report(each.location, place))
            for each in plan.studies
        ],
    )
    write_text_atomically(place / _PAGE_NAME, content)
    return place / _PAGE_NAME


def main_table(findings: Findings) -> Grid:
    """The last generation of every series: ours, the published value, whether they agree."""
    rows = []
    for figure in findings.figures:
        for series in figure.series:
            last = series.points[-1]
            rows.append(
                (
                    f"{figure.name}: {series.label}",
                    str(last.ours.n),
                    "–" if last.published is None else f"{last.published:.3f}",
                    _mean_text(last.ours),
                    _agreement(last),
                    *_capacities(series),
                )
            )
    head = ("series", "trials", "published", "ours [95 %]", "agrees", *_CAPACITIES)
    return Grid(head, tuple(rows))


_CAPACITIES = ("capacity, published", "ours, by n_pruned")
"""Medians over cells in the last generation, both by the published definition."""


def _capacities(series: SeriesFinding) -> tuple[str, str]:
    published = series.published_capacity
    return "–" if published is None else f"{published:.3f}", _mean_text(series.capacity)


def _mean_text(ours: Estimate) -> str:
    """A mean or a median, and its interval."""
    if not ours.n:
        return "–"
    if ours.n < 2:
        return f"{ours.mean:z.3f}"
    return f"{ours.mean:z.3f} [{ours.low:z.3f}, {ours.high:z.3f}]"


def _agreement(point: Point) -> str:
    """Whether the published value lies in our interval."""
    return {None: "–", True: "yes", False: "no"}[point.agrees]


def _claim(verdict: ClaimVerdict) -> _Judged:
    return _Judged(
        verdict.name,
        verdict.sentence,
        ((verdict.outcome, _mood(verdict.outcome), _capital(verdict.explanation)),),
        (verdict.figure,),
        verdict.note,
        _pairs(verdict.pairs),
    )


def _control(verdict: ControlVerdict) -> _Judged:
    return _Judged(
        verdict.name,
        verdict.question,
        tuple(
            (each.answer, _mood(each.answer), _capital(each.statement)) for each in verdict.answers
        ),
        tuple(each.label for each in verdict.answers),
        "",
        _pairs(verdict.pairs),
    )


def _mood(outcome: str) -> str:
    return "good" if outcome in _GOOD else "bad" if outcome in _BAD else ""


def _pairs(pairs: Sequence[JudgedPair]) -> Grid:
    """The comparisons, with what each of them shows."""
    grid = pairs_grid([pair.found for pair in pairs])
    rows = zip(grid.rows, pairs, strict=True)
    return Grid(grid.head, tuple((*cells[:-1], pair.relation) for cells, pair in rows))


def _capital(text: str) -> str:
    """Text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def _figure(found: FigureFinding, theirs: int, folder: Path) -> _Beside:
    draw, caption, marks = _DRAWN[found.statistic]
    if _has_published(found):
        caption += f" {marks}: what was published."
    figure = show(draw(found), Named(found.name, found.title, caption, ""), folder, FIGURE_FORMATS)
    return _Beside(figure, _values(found), _agreements(found, theirs))


def _values(found: FigureFinding) -> Grid:
    """A row per series and epoch."""
    rows = [
        (
            series.label,
            str(point.epoch),
            str(point.ours.n) + (f" ({series.n_failed} failed)" if series.n_failed else ""),
            "–" if point.published is None else f"{point.published:.3f}",
            _mean_text(point.ours),
            _agreement(point),
            *(_capacities(series) if point is series.points[-1] else ("", "")),
        )
        for series in found.series
        for point in series.points
    ]
    head = (
        *("series", "epoch", "trials", "published", "ours [95 %]", "agrees"),
        *_CAPACITIES,
    )
    return Grid(head, tuple(rows))


def _instances(found: InstanceFindings) -> tuple[Grid, Grid]:
    """Differences and shares over data sets."""
    heads = [
        ("claim or control", "difference in loss", "data sets", "mean [95 %]", "each"),
        ("control", "share of the way", "data sets", "mean [95 %]", "each"),
    ]
    tables = zip(heads, (found.differences, found.shares), strict=True)
    differences, shares = (Grid(head, tuple(map(_over_row, lines))) for head, lines in tables)
    return differences, shares


def _over_row(line: OverInstances) -> tuple[str, ...]:
    each = ", ".join(f"{value:z.3f}" if math.isfinite(value) else "–" for value in line.each)
    return line.subject, line.label, str(line.over.n), _mean_text(line.over), each


def _agreements(found: FigureFinding, theirs: int) -> str:
    """In how many places the published value, of so many trials, lies in our interval."""
    compared = [
        (point, point.published)
        for series in found.series
        for point in series.points
        if point.published is not None and point.agrees is not None
    ]
    if not compared:
        return "No published values to compare with."
    agree = sum(point.agrees is True for point, _ in compared)
    error = found.reading_error
    within = sum(p.ours.beside(theirs).agrees(value, error) for p, value in compared)
    return (
        f"{agree} of {len(compared)} published values lie in our interval, widened by the "
        f"{error:g} to which they were read. They are of {theirs} trials themselves: {within} of "
        f"{len(compared)} lie in an interval that counts the error of these, too, in which 95 % or "
        "more would if both estimate the same. Their data set and seeds are not known; the values "
        "of one series are of the same trials."
    )


def _report(location: str | Path, folder: Path) -> str:
    """The address of a study's own report, if there is one."""
    report = Path(place_of(location)) / "report" / "report.html"
    return quote(Path(os.path.relpath(report, folder)).as_posix()) if report.is_file() else ""


def _has_published(found: FigureFinding) -> bool:
    """Whether there is a published value beside ours."""
    return any(point.published is not None for each in found.series for point in each.points)


@styled
def _boxes(found: FigureFinding) -> Figure:
    """Boxes of the cells in the last generation, and the published medians as diamonds."""
    samples = [
        Sample(each.variant, each.label, each.cells, np.arange(len(each.cells)))
        for each in found.series
    ]
    figure = plot_final_values([(_LOSS, samples)])
    axes = figure.axes[0]
    for row, series in enumerate(found.series):
        published = series.points[-1].published
        if published is not None:
            axes.plot(published, row, color=INK, **_DIAMOND)
    if _has_published(found):
        axes.legend(handles=[_published_handle(_DIAMOND)], loc="best")
    return figure


@styled
def _beside_published(found: FigureFinding) -> Figure:
    """Mean losses over generations with their intervals, and what was published.

    Args:
        found: of one figure; its series share a panel.
    """
    styles = looks([series.name for series in found.series])
    entries = len(found.series) + 1
    figure = ShownFigure(figsize=(COLUMN * 1.35, 2.6 + math.ceil(entries / 2) * LEGEND_LINE))
    axes = figure.subplots()
    axes.grid(axis="y")
    axes.set_xlabel("generation")
    axes.set_ylabel(_LOSS)
    for series in found.series:
        _draw(axes, series, styles[series.name])
    handles = [legend_handle(series.label, styles[series.name]) for series in found.series]
    if _has_published(found):
        handles.append(_published_handle(_BAR))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


_DRAWN: Mapping[Statistic, tuple[Callable[[FigureFinding], Figure], str, str]] = {
    "mean": (
        _beside_published,
        "Mean over trials of the mean over cells, and its 95 % bootstrap interval.",
        "Bars",
    ),
    "median of cells": (
        _boxes,
        "All cells in the last generation as points, with their quartiles and median, whose 95 % "
        "bootstrap interval over trials is in the table.",
        "Diamonds",
    ),
}
"""How figures are drawn, their captions, and what stands for the published values."""


def _draw(axes: Axes, series: SeriesFinding, look: Look) -> None:
    points = [point for point in series.points if point.ours.n]
    generation = [point.generation for point in points]
    low, high = ([getattr(point.ours, end) for point in points] for end in ("low", "high"))
    axes.fill_between(generation, low, high, color=look.colour, alpha=0.2, linewidth=0)
    axes.plot(
        generation,
        [point.ours.mean for point in points],
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
    )
    published = {p.generation: p.published for p in series.points if p.published is not None}
    axes.plot(list(published), list(published.values()), color=look.colour, **_BAR)


def _published_handle(bar: Mapping[str, Any]) -> Line2D:
    return Line2D([], [], color=INK, label="published", **bar)
