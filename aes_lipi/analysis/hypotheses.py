"""Tests of pairs of samples, what they can show at the least, and Holm's correction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aes_lipi.arrays import Float64, Int64


@dataclass(frozen=True)
class PairTests:
    """What a test says of pairs of samples, an entry for each pair.

    Attributes:
        name: `mann_whitney`, `wilcoxon`, or `none` where there was nothing to test.
        statistic: U of the first sample, or the sum of the ranks of positive differences, float64,
            shape (pairs,); NaN where there was nothing to test.
        p: two-sided; NaN where there was nothing to test.
        direction: 1 if the first sample's values are the greater ones, -1 if they are the lower
            ones, 0 if neither; int64.
    """

    name: str
    statistic: Float64
    p: Float64
    direction: Int64


def pair_tests(a: Float64, b: Float64, *, paired: bool) -> PairTests:
    """Wilcoxon's signed-rank test of values that belong together, else the Mann-Whitney U test.

    Args:
        a: the first samples, shape (pairs, n), finite.
        b: the second ones, shape (pairs, m), finite; m equals n where values of the same place
            belong together.
        paired: whether they do.
    """
    if not a.shape[1] or not b.shape[1]:
        nothing = np.full(len(a), np.nan)
        return PairTests("none", nothing, nothing, np.zeros(len(a), np.int64))
    return _wilcoxon_signed_rank(a, b) if paired else _mann_whitney(a, b)


def _mann_whitney(a: Float64, b: Float64) -> PairTests:
    """Mann-Whitney U test of two independent samples (Annals of Mathematical Statistics 18, 1947).

    Exact where a sample has at most 8 values and there are no ties, and where both together have at
    most 40; else asymptotic with the corrections for ties and continuity.
    """
    from scipy.stats import mannwhitneyu, rankdata  # noqa: PLC0415 - slow to import

    expected = a.shape[1] * b.shape[1] / 2
    statistic, p = np.full(len(a), expected), np.ones(len(a))
    steps = np.diff(np.sort(np.concatenate([a, b], axis=1), axis=1), axis=1)
    varies, tied = (steps > 0).any(axis=1), (steps == 0).any(axis=1)
    for rows, method in ((varies & ~tied, "auto"), (varies & tied, "asymptotic")):
        if rows.any():
            statistic[rows], p[rows] = mannwhitneyu(
                a[rows], b[rows], alternative="two-sided", method=method, axis=1
            )
    n = a.shape[1]
    if n + b.shape[1] <= _DIVIDED:
        ranks = rankdata(np.concatenate([a, b], axis=1), axis=1)
        for k in np.flatnonzero(varies & tied):
            ordered = tuple(np.sort(ranks[k]).tolist())
            p[k] = _two_sided(_sums_of_divisions(ordered, n), round(2 * float(ranks[k, :n].sum())))
    return PairTests("mann_whitney", statistic, p, _signs(statistic - expected))


_DIVIDED = 40  # values with ties, all of whose divisions into two samples are counted


@lru_cache(maxsize=1024)
def _sums_of_divisions(ranks: tuple[float, ...], n: int) -> Int64:
    """In how many ways twice the ranks of the first n of two samples come to each sum."""
    doubled = [round(2 * rank) for rank in ranks]
    counts = np.zeros((n + 1, sum(doubled) + 1), np.int64)
    counts[0, 0] = 1
    for rank in doubled:
        counts[1:, rank:] += counts[:-1, :-rank].copy()
    found: Int64 = counts[n]
    return found


def _two_sided(counts: Int64, place: int) -> float:
    """The two-sided p-value of a sum, from how often each comes."""
    fewer = min(int(counts[: place + 1].sum()), int(counts[place:].sum()))
    return min(1.0, 2 * fewer / int(counts.sum()))


def _wilcoxon_signed_rank(a: Float64, b: Float64) -> PairTests:
    """Wilcoxon's signed-rank test of two paired samples (Biometrics Bulletin 1, 1945).

    Differences of zero are left out, as Wilcoxon did; if all are, p is 1. Exact where there are
    few differences, else as `scipy.stats.wilcoxon` has it.
    """
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import

    differences = a - b
    n_left = np.count_nonzero(differences, axis=1)
    statistic, p = np.zeros(len(a)), np.ones(len(a))
    for n in np.unique(n_left[n_left > 0]).tolist():
        rows = np.flatnonzero(n_left == n)
        left = differences[rows]
        left = left[left != 0].reshape(-1, n)
        ranks = rankdata(np.abs(left), axis=1)
        statistic[rows] = np.where(left > 0, ranks, 0).sum(axis=1)
        p[rows] = _signed_rank_p(left, ranks, statistic[rows])
    expected = n_left * (n_left + 1) / 4
    return PairTests("wilcoxon", statistic, p, _signs(statistic - expected))


_ENUMERATED = 13  # differences with ties, all of whose signs are gone through, as in scipy


def _signed_rank_p(differences: Float64, ranks: Float64, positive: Float64) -> Float64:
    """Two-sided p-values of signed-rank tests.

    Args:
        differences: shape (pairs, n), none zero.
        ranks: of their sizes.
        positive: the sums of the ranks of positive ones, shape (pairs,).
    """
    from scipy.stats import wilcoxon  # noqa: PLC0415 - slow to import

    p = np.empty(len(differences))
    ordered = np.sort(ranks, axis=1)
    tied = (np.diff(ordered, axis=1) == 0).any(axis=1)
    is_few = differences.shape[1] <= _ENUMERATED
    if is_few:
        for k in np.flatnonzero(tied):
            p[k] = _enumerated_p(tuple(ordered[k].tolist()), float(positive[k]))
    for rows, method in ((~tied, "auto"), (tied & (not is_few), "asymptotic")):
        if rows.any():
            p[rows] = wilcoxon(differences[rows], method=method, axis=1).pvalue
    return p


def _enumerated_p(ranks: tuple[float, ...], positive: float) -> float:
    """The two-sided p-value of ranks with ties, over all signs that they can have."""
    return _two_sided(_sums_of(ranks), round(2 * positive))


@lru_cache(maxsize=1024)
def _sums_of(ranks: tuple[float, ...]) -> Int64:
    """In how many ways twice the positive ranks come to each sum."""
    doubled = [round(2 * rank) for rank in ranks]
    counts = np.zeros(sum(doubled) + 1, np.int64)
    counts[0] = 1
    for rank in doubled:
        counts[rank:] += counts[:-rank].copy()
    return counts


def _signs(values: Float64) -> Int64:
    return np.sign(values).astype(np.int64)


@lru_cache(maxsize=256)
def least_p(test: str, n_a: int, n_b: int) -> float:
    """The p-value of samples that do not overlap: no others of their sizes have a smaller one.

    Args:
        test: its name in the table of comparisons.
        n_a: values of the one.
        n_b: values of the other; the same number if the test is paired.

    Returns:
        NaN where there is nothing to test.
    """
    if test == "wilcoxon":
        return float(
            pair_tests(np.arange(1.0, n_a + 1)[None], np.zeros((1, n_a)), paired=True).p[0]
        )
    low, high = np.arange(float(n_a)), n_a + np.arange(float(n_b))
    return float(pair_tests(low[None], high[None], paired=False).p[0])


_MOST_TRIALS = 1000  # beyond which nobody goes


def trials_needed(test: str, n_pairs: int, alpha: float) -> int:
    """The fewest trials of each variant with which all pairs of a family can be shown to differ.

    With fewer, not even samples that do not overlap have a p-value that Holm's correction leaves
    below the error rate.

    Args:
        test: its name in the table of comparisons.
        n_pairs: comparisons of the family.
        alpha: the family's error rate.
    """
    enough = (n for n in range(1, _MOST_TRIALS) if least_p(test, n, n) * n_pairs <= alpha)
    return next(enough, _MOST_TRIALS)


def holm(p: Float64) -> Float64:
    """Adjust a family's p-values (Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
        p: shape (n,); what is NaN was not tested and is no member of the family.

    Returns:
        shape (n,), NaN where p is.
    """
    adjusted = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN comes last
    steps = p[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted
