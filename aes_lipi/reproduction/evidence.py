"""What was measured of a plan's studies, and the published figures beside it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aes_lipi.analysis.measures import AnalysisUnit
from aes_lipi.analysis.read import REPEATED, read_measurements
from aes_lipi.analysis.statistics import bootstrap_interval
from aes_lipi.analysis.tables import (
    Sample,
    generation_samples,
    rows_of_variants,
    trial_samples,
    values_of,
)
from aes_lipi.arrays import Float64
from aes_lipi.config import Variant
from aes_lipi.reproduction.plan import ReproductionPlan
from aes_lipi.reproduction.published import (
    CombinedFigure,
    Epoch,
    Figure,
    Series,
    Statistic,
    TrialLoss,
)
from aes_lipi.results.description import STUDY_FILE
from aes_lipi.results.object_storage import open_storage

_MEASURE = "mean_L1"
_UNIT: AnalysisUnit = "trial_mean"
_CELLS: AnalysisUnit = "pooled_cells"
_BEST: AnalysisUnit = "trial_best"
_CAPACITY = "capacity_published"
_RESAMPLES = 9_999


@dataclass(frozen=True)
class PlanResults:
    """What was measured of a plan's variants; the trial is the unit, its mean over cells.

    Attributes:
        plan: what was to be run.
        last: values of `mean_L1` in the last generation, by what counts as a trial's and by variant
            id; none of variants that were not tried.
        rows: `mean_L1` of each trial and generation, by variant id.
        cells: the same of each cell, with its capacity by the published definition.
        trials: the row of each trial, by variant id.
        failed: number of failed trials, by variant id.
        skipped: lines that say which trials were passed over, and why.
    """

    plan: ReproductionPlan
    last: Mapping[TrialLoss, Mapping[str, Sample]]
    rows: Mapping[str, pd.DataFrame]
    cells: Mapping[str, pd.DataFrame]
    trials: Mapping[str, pd.DataFrame]
    failed: Mapping[str, int]
    skipped: tuple[str, ...]

    def sample(self, variant: Variant, label: str, loss: TrialLoss = "mean of cells") -> Sample:
        """A variant's values in the last generation, under a name; maybe none."""
        none = Sample(variant.id, label, np.empty(0), np.empty(0, dtype=np.int64))
        return replace(self.last.get(loss, {}).get(variant.id, none), label=label)

    def values(self, variant: Variant, generation: int) -> Float64:
        """A variant's values in a generation, shape (trials,); maybe none."""
        rows = self.rows.get(variant.id)
        if rows is None:
            return np.empty(0)
        found = values_of(rows[rows["generation"] == generation], _MEASURE)
        return found[np.isfinite(found)]

    def cells_at(self, variant: Variant, generation: int) -> pd.DataFrame:
        """A variant's cells in a generation: trial, `mean_L1` and capacity; maybe none."""
        rows = self.cells.get(variant.id)
        if rows is None:
            return pd.DataFrame({"trial": [], _MEASURE: [], _CAPACITY: []})
        there = (rows["generation"] == generation) & rows[_MEASURE].notna()
        return rows.loc[there, ["trial", _MEASURE, _CAPACITY]]


def read_results(plan: ReproductionPlan) -> PlanResults:
    """Read once what the plan's studies have so far; nothing of those that were not begun.

    Raises:
        UserError: a place refuses to be read.
    """
    locations = [each.location for each in plan.studies]
    begun = [each for each in locations if open_storage(each).read(STUDY_FILE, 1) is not None]
    if not begun:
        return PlanResults(plan, {}, {}, {}, {}, {}, ())
    data = read_measurements(
        begun, [_MEASURE, _CAPACITY], units=[_UNIT, _CELLS, _BEST], best_by="validation_L1"
    )
    losses: dict[TrialLoss, tuple[Sample, ...]] = {
        "mean of cells": generation_samples(data, _MEASURE, _UNIT),
        "answer": trial_samples(data, "best_mean_L1"),
        "answer on validation": generation_samples(data, _MEASURE, _BEST),
    }
    return PlanResults(
        plan=plan,
        last={name: {each.variant: each for each in found} for name, found in losses.items()},
        rows=rows_of_variants(data.units[_UNIT], data.labels),
        cells=rows_of_variants(data.units[_CELLS], data.labels),
        trials=rows_of_variants(data.trials, data.labels),
        failed=Counter(data.failures["variant"]),
        skipped=tuple(line for line in data.skipped if REPEATED not in line),
    )


@dataclass(frozen=True)
class Estimate:
    """A mean over trials, or a median over the cells of all trials.

    Attributes:
        n: trials.
        mean: the mean, or the median; NaN without trials.
        low: lower end of its interval; NaN with fewer than two trials.
        high: its upper end.
    """

    n: int
    mean: float
    low: float
    high: float

    def agrees(self, value: float, error: float) -> bool:
        """Whether a value that was read with an error lies in the interval.

        Args:
            value: the value.
            error: by which the interval is widened at both ends.
        """
        return self.low - error <= value <= self.high + error

    def beside(self, theirs: int) -> Estimate:
        """The same with an interval for a value that has an error of its own.

        Args:
            theirs: trials behind the value, of a spread like ours.

        Returns:
            an interval in which 95 % of such values lie if they estimate the same.
        """
        wider = math.sqrt(1 + self.n / theirs)
        low, high = (self.mean + (end - self.mean) * wider for end in (self.low, self.high))
        return Estimate(self.n, self.mean, low, high)


def estimate(values: Float64) -> Estimate:
    """The mean and its bootstrap interval, of no width for values that are all equal.

    Args:
        values: one per trial, shape (n,), finite.
    """
    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < 2:
        return Estimate(n, mean, float("nan"), float("nan"))
    if np.ptp(values) == 0:
        return Estimate(n, mean, mean, mean)
    low, high = bootstrap_interval(lambda drawn: drawn @ values / n, n, resamples=_RESAMPLES)
    return Estimate(n, mean, float(low), float(high))


def estimate_median(cells: pd.DataFrame, measure: str = _MEASURE) -> Estimate:
    """The median over the cells of all trials, and its interval from drawing trials anew.

    Args:
        cells: the measure of each cell, with its `trial`.
        measure: its column.
    """
    ordered = cells.sort_values(measure)
    values = ordered[measure].to_numpy(dtype=np.float64)
    trials, of = np.unique(ordered["trial"].to_numpy(), return_inverse=True)
    n = len(trials)
    median = float(np.median(values)) if n else float("nan")
    if n < 2:
        return Estimate(n, median, float("nan"), float("nan"))

    def medians(drawn: Float64) -> Float64:
        passed = np.cumsum(drawn[:, of], axis=1)
        found: Float64 = values[np.argmax(2 * passed >= passed[:, -1:], axis=1)]
        return found

    low, high = bootstrap_interval(medians, n, resamples=_RESAMPLES)
    return Estimate(n, median, float(low), float(high))


def estimate_share(own: Sample, start: Sample, goal: Sample) -> Estimate:
    """Which share of the way from one mean to another a third has gone, and its interval.

    Args:
        own: what has gone.
        start: where it comes from.
        goal: where the way leads.

    Returns:
        of the trials that all three have, drawn together; NaN without any, or without a way.
    """
    shared = set(own.trials) & set(start.trials) & set(goal.trials)
    trials = np.array(sorted(shared), dtype=np.int64)
    values = np.array([each.of_trials(trials) for each in (own, start, goal)])

    def share(drawn: Float64) -> Float64:
        gone, begun, there = values @ drawn.T / len(trials)
        with np.errstate(divide="ignore", invalid="ignore"):
            found: Float64 = (begun - gone) / (begun - there)
        return found

    n, nothing = len(trials), float("nan")
    mean = float(share(np.ones((1, n)))[0]) if n else nothing
    low, high = bootstrap_interval(share, n, resamples=_RESAMPLES) if n > 1 else (nothing, nothing)
    return Estimate(n, mean, float(low), float(high))


@dataclass(frozen=True)
class Point:
    """A series at one epoch.

    Attributes:
        epoch: as published: a number, or `last`.
        generation: the same in our trials.
        ours: mean over trials of the trial's mean over cells, or the median over all cells.
        published: None where nothing was read, or where our trials are shorter and the epoch is not
            the last one.
        agrees: whether the published value lies in our interval, widened by the error of reading
            it; None without both, or where our rings are smaller.
    """

    epoch: Epoch
    generation: int
    ours: Estimate
    published: float | None
    agrees: bool | None


@dataclass(frozen=True)
class SeriesFinding:
    """One series.

    Attributes:
        name: of the series.
        label: what tables call it.
        variant: the id of its variant.
        n_trials: committed trials.
        n_failed: failed trials.
        points: one per epoch that our trials reach, of boxes the last.
        cells: `mean_L1` of the cells of all trials at the end, shape (cells,).
        capacity: by the published definition, at the end, median over the cells of all trials.
        published_capacity: None if none was read.
    """

    name: str
    label: str
    variant: str
    n_trials: int
    n_failed: int
    points: tuple[Point, ...]
    cells: Float64
    capacity: Estimate
    published_capacity: float | None


@dataclass(frozen=True)
class FigureFinding:
    """One figure, or an overview; `statistic` and `reading_error` as in `Figure`."""

    name: str
    title: str
    statistic: Statistic
    reading_error: float
    series: tuple[SeriesFinding, ...]


def find_figure(figure: Figure, evidence: PlanResults) -> FigureFinding:
    """Set a figure's series beside the published ones.

    Args:
        figure: which; it is part of the plan.
        evidence: of the plan's studies.
    """
    variants = evidence.plan.variants[figure.name]
    found = [_series(figure, each, variants[each.name], evidence) for each in figure.series]
    return FigureFinding(
        name=figure.name,
        title=figure.title,
        statistic=figure.statistic,
        reading_error=evidence.plan.published.reading_error(figure),
        series=tuple(found),
    )


def find_overview(overview: CombinedFigure, figures: Collection[FigureFinding]) -> FigureFinding:
    """Set series of several figures side by side.

    Args:
        overview: which.
        figures: that it is of, all with the same statistic.
    """
    known = {(figure.name, each.name): each for figure in figures for each in figure.series}
    found = [
        replace(known[shown.figure, shown.series], name=shown.label, label=shown.label)
        for shown in overview.series
    ]
    return FigureFinding(
        name=overview.name,
        title=overview.title,
        statistic="mean",
        reading_error=max(figure.reading_error for figure in figures),
        series=tuple(found),
    )


def _series(
    figure: Figure, series: Series, variant: Variant, evidence: PlanResults
) -> SeriesFinding:
    epochs = evidence.plan.published.epochs
    if figure.statistic == "median of cells":
        epochs = epochs[-1:]
    points = [_point(epoch, figure, series, variant, evidence) for epoch in epochs]
    cells = evidence.cells_at(variant, variant.epochs - 1)
    return SeriesFinding(
        name=series.name,
        label=series.label,
        variant=variant.id,
        n_trials=len(evidence.trials.get(variant.id, ())),
        n_failed=evidence.failed.get(variant.id, 0),
        points=tuple(point for point in points if point is not None),
        cells=values_of(cells, _MEASURE),
        capacity=estimate_median(cells, _CAPACITY),
        published_capacity=series.capacity,
    )


def _point(
    epoch: Epoch, figure: Figure, series: Series, variant: Variant, evidence: PlanResults
) -> Point | None:
    """None where our trials end before that epoch."""
    plan, last = evidence.plan, variant.epochs - 1
    generation = last if epoch == "last" else epoch
    if generation >= last and epoch != "last":
        return None
    ours = (
        estimate(evidence.values(variant, generation))
        if figure.statistic == "mean"
        else estimate_median(evidence.cells_at(variant, generation))
    )
    is_shorter = plan.scale is not None and plan.scale.epochs < plan.published.source.epochs
    is_the_same = epoch == "last" or not is_shorter
    published = series.published.get(epoch) if is_the_same else None
    is_as_large = variant.population_size in (1, plan.published.source.population_size)
    agrees = (
        ours.agrees(published, plan.published.reading_error(figure))
        if published is not None and ours.n > 1 and is_as_large
        else None
    )
    return Point(epoch, generation, ours, published, agrees)
