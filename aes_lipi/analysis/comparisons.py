"""Pairwise comparisons of variants: a table of tests and effect sizes, and letters at a glance."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aes_lipi.analysis.statistics import (
    Effect,
    PairTest,
    check_share,
    effect_of,
    holm,
    least_p,
    pair_test,
    trials_needed,
)
from aes_lipi.analysis.tables import Sample
from aes_lipi.arrays import Float64
from aes_lipi.errors import UserError, printable
from aes_lipi.summaries import Summarised

MAX_VARIANTS = 200


@dataclass(frozen=True)
class Comparison:
    """A pair of variants; see the table of `Comparisons`."""

    a: str
    b: str
    label_a: str
    label_b: str
    test: str
    n_a: int
    n_b: int
    median_a: float
    median_b: float
    statistic: float
    p: float
    p_holm: float
    p_least: float
    a12: float
    a12_low: float
    a12_high: float
    magnitude: str
    verdict: str

    @property
    def is_shown(self) -> bool:
        """Whether the two are shown to differ."""
        return self.verdict in _VERDICTS.values()


COLUMNS = tuple(field.name for field in fields(Comparison))

_VERDICTS = {-1: "lower", 0: "different", 1: "greater"}

OUT_OF_REACH = "cannot be shown"
"""The verdict on a pair of too few trials: whatever they measure, no difference would be shown."""


@dataclass(frozen=True, repr=False)
class Comparisons(Summarised):
    """The comparisons of one family.

    Attributes:
        samples: what was compared.
        alpha: the family's error rate.
        table: a row per pair, with the columns `COLUMNS`. `n_*` and `median_*` are of the values
            that were tested: of a paired test those of the trials that both have. `p_holm` is
            adjusted for all pairs of the table that were tested; `p_least` is what it would be if
            the values of no pair overlapped, the smallest that so many trials can reach. `a12` is
            the chance that a value of `a` is greater than one of `b`, `a12_low` and `a12_high` its
            bootstrap interval. `verdict` says what the values of `a` are shown to be: `lower`,
            `greater`, `different` (in no direction), empty if nothing is shown, or
            `cannot be shown` if nothing is and `p_least` is above the error rate.
        complete: whether the family is all pairs of the samples.
    """

    samples: tuple[Sample, ...]
    alpha: float
    table: pd.DataFrame
    complete: bool

    @property
    def _summary(self) -> str:
        shown = sum(each.is_shown for each in self.pairs())
        of = f"{len(self.table)} pairs of {len(self.samples)} variants at alpha {self.alpha:g}"
        return f"Comparisons: {of}, {shown} shown to differ; .table, .letters()"

    def _lines(self) -> list[str]:
        return [
            f"{each.a}, {each.b}: {finding(each)}, p_holm {each.p_holm:.3g}, a12 {each.a12:.2f}"
            for each in self.pairs()
        ]

    def pairs(self) -> list[Comparison]:
        """The rows of the table."""
        records = self.table[list(COLUMNS)].to_dict("records")
        return [Comparison(**{str(name): each[name] for name in each}) for each in records]

    @property
    def can_show(self) -> bool:
        """Whether any difference could be shown with so many trials, whatever they measure."""
        return bool((self.table["p_least"] <= self.alpha).any())

    @property
    def trials_needed(self) -> int:
        """The fewest trials of each variant with which every pair can be shown to differ."""
        tested = self.table[self.table["test"] != "none"]
        needed = [trials_needed(test, len(tested), self.alpha) for test in tested["test"].unique()]
        return max(needed, default=0)

    def p_values(self) -> pd.DataFrame:
        """The adjusted p-values as a symmetric matrix, by variant id; NaN where none was tested."""
        names = [sample.variant for sample in self.samples]
        matrix = pd.DataFrame(np.nan, index=names, columns=names)
        for a, b, p in self.table[["a", "b", "p_holm"]].itertuples(index=False):
            matrix.loc[a, b] = matrix.loc[b, a] = p
        return matrix

    def letters(self) -> dict[str, str]:
        """A letter display by variant id, the lowest median first.

        Variants that share a letter are not shown to differ, which does not say that they are
        equal. Variants without values have none.

        Raises:
            UserError: the family is not all pairs, and sharing a letter would mean nothing; compare
                without `pairs`.
        """
        if not self.complete:
            raise UserError("letters need all pairs of the variants; compare them without `pairs`")
        known = [sample for sample in self.samples if len(sample.values)]
        order = [each.variant for each in sorted(known, key=lambda each: np.median(each.values))]
        different = (self.p_values().loc[order, order] <= self.alpha).to_numpy(dtype=bool)
        found = dict(zip(order, _letter_display(different), strict=True))
        return {sample.variant: found.get(sample.variant, "") for sample in self.samples}


def finding(pair: Comparison) -> str:
    """What a comparison shows, in words."""
    if pair.is_shown:
        return f"a is {pair.verdict}"
    return "no difference can be shown" if pair.verdict else "not shown to differ"


def compare(
    samples: Sequence[Sample],
    *,
    pairs: Iterable[tuple[str, str]] | None = None,
    paired: bool | None = None,
    alpha: float = 0.05,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 1,
) -> Comparisons:
    """Compare variants pairwise, in one family.

    Args:
        samples: of `generation_samples` or `trial_samples`.
        pairs: the family, as pairs of variant ids, declared before the values were seen; by
            default all pairs.
        paired: whether trials of the same number belong together: Wilcoxon's signed-rank test over
            those that both variants have, else the Mann-Whitney U test. By default they do where
            both samples have the same seed and any trial in common.
        alpha: the family's error rate (Holm).
        level: of the bootstrap intervals of A12; they are not adjusted.
        resamples: of each interval.
        seed: of the resamples.

    Raises:
        UserError: too many samples (choose `MAX_VARIANTS`), a pair names no sample,
            trials are to be paired whose values are not one per trial (use such a unit), or a
            number is out of bounds.
    """
    check_share("alpha", alpha)
    check_share("level", level)
    _check_least("resamples", resamples, 1)
    _check_least("seed", seed, 0)
    if len(samples) > MAX_VARIANTS:
        raise UserError(
            f"{len(samples)} variants make too many pairs; choose {MAX_VARIANTS} at most"
        )
    by_id = {sample.variant: sample for sample in samples}
    family = _family(by_id, pairs)
    effect = partial(effect_of, level=level, resamples=resamples, seed=seed)
    rows = [_compared(by_id[a], by_id[b], paired, effect) for a, b in family]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["p_holm"] = holm(table["p"].to_numpy(dtype=np.float64))
    table["p_least"] = holm(table["p_least"].to_numpy(dtype=np.float64))
    unknown = np.where(table["p_least"] <= alpha, "", OUT_OF_REACH)
    table["verdict"] = table["verdict"].where(table["p_holm"] <= alpha, unknown)
    return Comparisons(tuple(samples), alpha, table, pairs is None)


def _family(
    by_id: dict[str, Sample], pairs: Iterable[tuple[str, str]] | None
) -> list[tuple[str, str]]:
    if pairs is None:
        return list(itertools.combinations(by_id, 2))
    family = list(dict.fromkeys(pairs))
    for name in itertools.chain.from_iterable(family):
        if name not in by_id:
            raise UserError(f"{printable(name)}: no variant of that id among the samples")
    known = {frozenset(pair) for pair in family}
    if len(known) < len(family) or any(len(pair) < 2 for pair in known):
        raise UserError("pairs: each must be of two variants, and none may be there twice")
    return family


def _compared(
    a: Sample, b: Sample, paired: bool | None, effect: Callable[..., Effect]
) -> dict[str, Any]:
    """The row of one pair, without what depends on the family."""
    together = _share_trials(a, b) if paired is None else paired
    x, y = _paired_values(a, b) if together else (a.values, b.values)
    apart = effect(x, y, paired=together)
    return {
        **{"a": a.variant, "b": b.variant, "label_a": a.label, "label_b": b.label},
        **{"n_a": len(x), "n_b": len(y), "median_a": _median(x), "median_b": _median(y)},
        **_tested(pair_test(x, y, paired=together), len(x), len(y)),
        **{"a12": apart.a12, "a12_low": apart.low, "a12_high": apart.high},
        "magnitude": apart.magnitude,
    }


def _tested(test: PairTest, n_a: int, n_b: int) -> dict[str, Any]:
    return {
        "test": test.name,
        "statistic": test.statistic,
        "p": test.p,
        "p_least": least_p(test.name, n_a, n_b) if n_a and n_b else float("nan"),
        "verdict": _VERDICTS[test.direction],
    }


def _share_trials(a: Sample, b: Sample) -> bool:
    """Whether trials of the two are paired by design."""
    by_design = a.seed is not None and a.seed == b.seed
    return by_design and len(np.intersect1d(a.trials, b.trials)) > 0


def _paired_values(a: Sample, b: Sample) -> tuple[Float64, Float64]:
    """The values of the trials that both have.

    Raises:
        UserError: a trial has several values; use a unit of one value per trial.
    """
    for sample in (a, b):
        if len(np.unique(sample.trials)) < len(sample.trials):
            raise UserError(
                f"{sample.label}: has several values of a trial, which cannot be paired; use a "
                "unit of one value per trial"
            )
    both = np.intersect1d(a.trials, b.trials)
    return a.of_trials(both), b.of_trials(both)


def _median(values: Float64) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def _check_least(name: str, value: int, least: int) -> None:
    """Refuse a number that is too small.

    Raises:
        UserError: the value is below the least; give that or more.
    """
    if value < least:
        raise UserError(f"{name}: must be {least} or more (got {value})")


_ALPHABET = string.ascii_lowercase + string.ascii_uppercase


def _letter_display(different: npt.NDArray[np.bool_]) -> list[str]:
    """Letters such that two things share one exactly if they do not differ.

    Insert and absorb of Piepho, "An algorithm for a letter-based representation of all-pairwise
    comparisons", Journal of Computational and Graphical Statistics 13, 2004.

    Args:
        different: bool, symmetric, shape (things, things): whether two are shown to differ.

    Returns:
        of each thing its letters in the order of the alphabet; `a` belongs to the first thing.
    """
    n = len(different)
    groups = [frozenset(range(n))] if n else []
    for i, j in zip(*np.nonzero(np.triu(different, 1)), strict=True):
        groups = _absorbed(_inserted(groups, int(i), int(j)))
    ordered = sorted(groups, key=sorted)
    return [
        "".join(_letter(place) for place, group in enumerate(ordered) if i in group)
        for i in range(n)
    ]


def _inserted(groups: Sequence[frozenset[int]], i: int, j: int) -> list[frozenset[int]]:
    """The groups, those that hold both of two things split into one without each."""
    found: list[frozenset[int]] = []
    for group in groups:
        found += [group - {i}, group - {j}] if {i, j} <= group else [group]
    return found


def _absorbed(groups: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """The groups without those that another contains."""
    distinct = list(dict.fromkeys(groups))
    return [group for group in distinct if not any(group < other for other in distinct)]


def _letter(place: int) -> str:
    """The letter of a place: a to z, A to Z, then a2, b2 and so on."""
    lap, place = divmod(place, len(_ALPHABET))
    return _ALPHABET[place] + (str(lap + 1) if lap else "")
