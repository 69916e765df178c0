"""The numbers that verdicts rest on: ours beside the published, and the pairs of a family."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from aes_lipi.analysis.comparisons import Comparison, compare
from aes_lipi.analysis.measures import AnalysisUnit
from aes_lipi.analysis.read import REPEATED, read_measurements
from aes_lipi.analysis.statistics import bootstrap_interval, holm, least_p
from aes_lipi.analysis.tables import Sample, generation_samples, rows_of_variants, values_of
from aes_lipi.arrays import Float64
from aes_lipi.config import Variant
from aes_lipi.reproduction.plan import ReproductionPlan
from aes_lipi.reproduction.published import Epoch, Figure, Series
from aes_lipi.results.description import STUDY_FILE
from aes_lipi.results.object_storage import open_storage

_MEASURE = "mean_L1"
_UNIT: AnalysisUnit = "trial_mean"
_CELLS: AnalysisUnit = "pooled_cells"
_CAPACITY = "mean_capacity_published"
_RESAMPLES = 9_999


@dataclass(frozen=True)
class PlanResults:
    """What was measured of a plan's variants; the trial is the unit, its mean over cells.

    Attributes:
        plan: what was to be run.
        last: values of `mean_L1` in the last generation, by variant id; none of variants that were
            not tried.
        rows: `mean_L1` of each trial and generation, by variant id.
        cells: the same of each cell.
        trials: the row of each trial, by variant id.
        failed: number of failed trials, by variant id.
        skipped: lines that say which trials were passed over, and why.
    """

    plan: ReproductionPlan
    last: Mapping[str, Sample]
    rows: Mapping[str, pd.DataFrame]
    cells: Mapping[str, pd.DataFrame]
    trials: Mapping[str, pd.DataFrame]
    failed: Mapping[str, int]
    skipped: tuple[str, ...]

    def sample(self, variant: Variant, label: str) -> Sample:
        """A variant's values in the last generation, under a name; maybe none."""
        none = Sample(variant.id, label, np.empty(0), np.empty(0, dtype=np.int64))
        return replace(self.last.get(variant.id, none), label=label)

    def values(self, variant: Variant, generation: int) -> Float64:
        """A variant's values in a generation, shape (trials,); maybe none."""
        rows = self.rows.get(variant.id)
        if rows is None:
            return np.empty(0)
        found = values_of(rows[rows["generation"] == generation], _MEASURE)
        return found[np.isfinite(found)]

    def cells_at(self, variant: Variant, generation: int) -> pd.DataFrame:
        """The values of a variant's cells in a generation, with their trials; maybe none."""
        rows = self.cells.get(variant.id)
        if rows is None:
            return pd.DataFrame({"trial": [], _MEASURE: []})
        there = (rows["generation"] == generation) & rows[_MEASURE].notna()
        return rows.loc[there, ["trial", _MEASURE]]

    def capacity(self, variant: Variant) -> float:
        """The published definition of capacity at the end, mean over cells and trials."""
        trials = self.trials.get(variant.id)
        if trials is None or not len(trials) or _CAPACITY not in trials:
            return float("nan")
        return float(values_of(trials, _CAPACITY).mean())


def read_results(plan: ReproductionPlan) -> PlanResults:
    """Read once what the plan's studies have so far; nothing of those that were not begun.

    Raises:
        UserError: a place refuses to be read.
    """
    locations = [each.location for each in plan.studies]
    begun = [each for each in locations if open_storage(each).read(STUDY_FILE, 1) is not None]
    if not begun:
        return PlanResults(plan, {}, {}, {}, {}, {}, ())
    data = read_measurements(begun, [_MEASURE], units=[_UNIT, _CELLS])
    return PlanResults(
        plan=plan,
        last={each.variant: each for each in generation_samples(data, _MEASURE, _UNIT)},
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


def estimate_median(cells: pd.DataFrame) -> Estimate:
    """The median over the cells of all trials, and its interval from drawing trials anew.

    Args:
        cells: `mean_L1` of each cell, with its `trial`.
    """
    ordered = cells.sort_values(_MEASURE)
    values = ordered[_MEASURE].to_numpy(dtype=np.float64)
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
            it; None without both.
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
        points: one per epoch that our trials reach.
        capacity: see `PlanResults.capacity`; NaN without trials.
    """

    name: str
    label: str
    variant: str
    n_trials: int
    n_failed: int
    points: tuple[Point, ...]
    capacity: float


@dataclass(frozen=True)
class FigureFinding:
    """One figure; `statistic` as in `Figure`."""

    name: str
    title: str
    preset: str
    statistic: str
    series: tuple[SeriesFinding, ...]


def find_figure(figure: Figure, evidence: PlanResults) -> FigureFinding:
    """Set a figure's series beside the published ones.

    Args:
        figure: which; it is part of the plan.
        evidence: of the plan's studies.
    """
    variants = evidence.plan.variants[figure.name]
    found = [_series(figure, each, variants[each.name], evidence) for each in figure.series]
    return FigureFinding(figure.name, figure.title, figure.preset, figure.statistic, tuple(found))


def _series(
    figure: Figure, series: Series, variant: Variant, evidence: PlanResults
) -> SeriesFinding:
    epochs = evidence.plan.published.epochs
    points = [_point(epoch, figure, series, variant, evidence) for epoch in epochs]
    return SeriesFinding(
        name=series.name,
        label=series.label,
        variant=variant.id,
        n_trials=len(evidence.trials.get(variant.id, ())),
        n_failed=evidence.failed.get(variant.id, 0),
        points=tuple(point for point in points if point is not None),
        capacity=evidence.capacity(variant),
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
    is_comparable = epoch == "last" or not is_shorter
    published = series.published.get(epoch) if is_comparable else None
    error = plan.published.source.reading_error
    agrees = None if published is None or ours.n < 2 else ours.agrees(published, error)
    return Point(epoch, generation, ours, published, agrees)


_ALPHA = 0.05
_MOST_TRIALS = 100

Relation = Literal["lower", "greater", "alike", "not told apart", "too few trials", "not run"]
"""What the first of a pair is shown to be.

`alike` are values whose difference is significant, but less than what counts as one.
"""

_SHOWN: dict[Relation, str] = {
    "lower": "shown",
    "greater": "the opposite is shown",
    "alike": "too small a difference to count",
    "not told apart": "not shown",
    "too few trials": "cannot be shown with so few trials",
}


@dataclass(frozen=True)
class JudgedPair:
    """A comparison of a family, and what it shows.

    Attributes:
        found: the comparison.
        difference: a's less b's, the median over pairs of trials (over all pairs of values if the
            test is unpaired: Hodges and Lehmann, Annals of Mathematical Statistics 34, 1963); NaN
            without values.
        p_least: the adjusted p-value that there would be if no values of any pair overlapped.
        relation: see `Relation`.
    """

    found: Comparison
    difference: float
    p_least: float
    relation: Relation

    def below(self) -> str:
        """What it shows of the claim that the first ends below the second."""
        found = self.found
        if self.relation == "not run":
            return f"{found.label_a} below {found.label_b}: not run"
        details = (
            f"{found.magnitude} effect, medians {_medians(found)}, median difference "
            f"{self.difference:.2g}, {_adjusted(found.p_holm)}"
        )
        return (
            f"a trial of {found.label_a} ends below one of {found.label_b} with probability "
            f"{_chance(found)} ({details}): {_SHOWN[self.relation]}"
        )

    def relative(self, other: str) -> str:
        """Where the first ends relative to the second, which is called so."""
        heads: dict[Relation, str] = {
            "lower": f"below {other}",
            "greater": f"above {other}",
            "alike": f"as {other}, but for less than counts as a difference",
            "not told apart": f"not told apart from {other}",
        }
        found = self.found
        details = f"A12 {found.a12:.2f}, {found.magnitude}, {_adjusted(found.p_holm)}"
        return f"{heads[self.relation]} ({details})"


def compared(pairs: Sequence[tuple[Sample, Sample]], smallest: float) -> tuple[JudgedPair, ...]:
    """Compare the pairs of a family.

    Args:
        pairs: the family; trials of the same number and seed belong together.
        smallest: the smallest difference that counts as one.
    """
    samples = {sample.variant: sample for pair in pairs for sample in pair}
    family = [(a.variant, b.variant) for a, b in pairs]
    found = compare(list(samples.values()), pairs=family, alpha=_ALPHA).pairs()
    p_least = holm(np.array([least_p(each.test, each.n_a, each.n_b) for each in found]))
    judged = []
    for (a, b), each, least in zip(pairs, found, p_least.tolist(), strict=True):
        difference = _difference(a, b, each.test)
        relation = _relation(each, difference, smallest, enough=not least > _ALPHA)
        judged.append(JudgedPair(each, difference, least, relation))
    return tuple(judged)


def _difference(a: Sample, b: Sample, test: str) -> float:
    if test == "wilcoxon":
        both = np.intersect1d(a.trials, b.trials)
        return float(np.median(a.of_trials(both) - b.of_trials(both)))
    differences = a.values[:, np.newaxis] - b.values
    return float(np.median(differences)) if differences.size else math.nan


def _relation(found: Comparison, difference: float, smallest: float, *, enough: bool) -> Relation:
    if not found.n_a or not found.n_b:
        return "not run"
    if found.verdict == "lower":
        return "lower" if difference <= -smallest else "alike"
    if found.verdict == "greater":
        return "greater" if difference >= smallest else "alike"
    return "not told apart" if enough else "too few trials"


def lowest(pairs: Sequence[JudgedPair]) -> str:
    """What the pairs of one series with each of the others show of the claim that it is lowest."""
    groups: dict[str, list[str]] = {}
    for pair in pairs:
        shown = f"{pair.found.label_b} ({_chance(pair.found)})"
        groups.setdefault(pair.relation, []).append(shown)
    heads = {
        "lower": "ends below",
        "not told apart": "is not told apart from",
        "alike": "differs too little to count from",
        "greater": "ends above",
        "too few trials": "has too few trials to be told apart from",
    }
    parts = [f"{head} {', '.join(groups[key])}" for key, head in heads.items() if key in groups]
    label = pairs[0].found.label_a
    return (
        f"{label} {'; '.join(parts)} (in brackets the probability that a trial of {label} ends "
        "below one of the other, with its interval)"
    )


def too_few(pairs: Sequence[JudgedPair], n_pairs: int) -> str:
    """Why nothing can be shown, and what would do.

    Args:
        pairs: comparisons, some of them with too few trials.
        n_pairs: comparisons of the whole family.
    """
    scarce = [pair for pair in pairs if pair.relation == "too few trials"]
    first = min(scarce, key=lambda pair: min(pair.found.n_a, pair.found.n_b))
    n = min(first.found.n_a, first.found.n_b)
    trials = f"{n} trial" if n == 1 else f"{n} trials"
    return (
        f"{trials} of a variant cannot show it: even without any overlap the adjusted p would be "
        f"{first.p_least:.2g}; {_trials_needed(first.found.test, n_pairs)} would do"
    )


def _trials_needed(test: str, n_pairs: int) -> int:
    """The fewest trials of each variant with which all pairs of a family can be shown to differ."""
    enough = (n for n in range(1, _MOST_TRIALS) if least_p(test, n, n) * n_pairs <= _ALPHA)
    return next(enough, _MOST_TRIALS)


def _adjusted(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _chance(found: Comparison) -> str:
    """The probability that a value of a is below one of b, ties counting half, and its interval."""
    chance = f"{1 - found.a12:.2f}"
    if math.isnan(found.a12_low):
        return chance
    return f"{chance} [{1 - found.a12_high:.2f}, {1 - found.a12_low:.2f}]"


def _medians(found: Comparison) -> str:
    """Both medians, in as many digits as tell them apart."""
    a, b = found.median_a, found.median_b
    digits = next((n for n in range(3, 7) if round(a, n) != round(b, n)), 3)
    return f"{a:.{digits}f} and {b:.{digits}f}"
