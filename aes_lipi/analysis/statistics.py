"""Effect sizes and tests of a pair of samples, Holm's correction, the one bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError


@dataclass(frozen=True)
class PairTest:
    """What a test says.

    Attributes:
        name: `mann_whitney`, `wilcoxon`, or `none` where there was nothing to test.
        statistic: U of the first sample, or the sum of the ranks of positive differences; NaN
            where there was nothing to test.
        p: two-sided; NaN where there was nothing to test.
        direction: 1 if the first sample's values are the greater ones, -1 if they are the lower
            ones, 0 if neither.
    """

    name: str
    statistic: float
    p: float
    direction: int


_UNTESTED = PairTest("none", float("nan"), float("nan"), 0)


def pair_test(a: Float64, b: Float64, *, paired: bool) -> PairTest:
    """Wilcoxon's signed-rank test of values that belong together, else the Mann-Whitney U test.

    Args:
        a: shape (n,), finite.
        b: shape (m,), finite; m equals n where values of the same place belong together.
        paired: whether they do.
    """
    return _wilcoxon_signed_rank(a, b) if paired else _mann_whitney(a, b)


def _mann_whitney(a: Float64, b: Float64) -> PairTest:
    """Mann-Whitney U test of two independent samples (Annals of Mathematical Statistics 18, 1947).

    Exact where a sample has at most 8 values and there are no ties, else asymptotic with the
    corrections for ties and continuity.

    Args:
        a: shape (n,), finite.
        b: shape (m,), finite.
    """
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 - slow to import

    if not len(a) or not len(b):
        return _UNTESTED
    expected = len(a) * len(b) / 2
    if np.ptp(np.concatenate([a, b])) == 0:
        return PairTest("mann_whitney", expected, 1.0, 0)
    found = mannwhitneyu(a, b, alternative="two-sided", method="auto")
    statistic = float(found.statistic)
    return PairTest("mann_whitney", statistic, float(found.pvalue), _sign(statistic - expected))


def _wilcoxon_signed_rank(a: Float64, b: Float64) -> PairTest:
    """Wilcoxon's signed-rank test of two paired samples (Biometrics Bulletin 1, 1945).

    Differences of zero are left out, as Wilcoxon did; if all are, p is 1. Exact where there are
    few differences without ties or zeros, else as `scipy.stats.wilcoxon` has it.

    Args:
        a: shape (n,), finite.
        b: shape (n,), finite; values of the same place belong together.
    """
    from scipy.stats import rankdata, wilcoxon  # noqa: PLC0415 - slow to import

    if not len(a):
        return _UNTESTED
    differences = a - b
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return PairTest("wilcoxon", 0.0, 1.0, 0)
    ranks = rankdata(np.abs(nonzero))
    positive = float(ranks[nonzero > 0].sum())
    found = wilcoxon(nonzero, alternative="two-sided", method="auto")
    return PairTest("wilcoxon", positive, float(found.pvalue), _sign(positive - ranks.sum() / 2))


@dataclass(frozen=True)
class Effect:
    """How far two samples are apart.

    Attributes:
        a12: the chance that a value of the first is greater than one of the second.
        low: lower end of its bootstrap interval; NaN where a sample has fewer than two values.
        high: its upper end.
        magnitude: what Vargha and Delaney (2000) call it; empty without values.
    """

    a12: float
    low: float
    high: float
    magnitude: str


def effect_of(
    a: Float64,
    b: Float64,
    *,
    paired: bool,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 1,
) -> Effect:
    """The effect size of two samples and its interval.

    Between samples that do not overlap the interval is [0, 0] or [1, 1]: no resample of theirs
    overlaps.

    Args:
        a: shape (n,), without NaN.
        b: shape (m,), without NaN.
        paired: values of the same place belong together and are drawn together; n equals m then.
        level: of the interval.
        resamples: how many.
        seed: of the draws.
    """
    effect = _a12(a, b)
    low, high = float("nan"), float("nan")
    if len(a) > 1 and len(b) > 1:
        low, high = bootstrap_interval(
            _resampled_a12(a, b, paired=paired),
            *(len(a), len(b)),
            paired=paired,
            level=level,
            resamples=resamples,
            seed=seed,
        ).tolist()
    return Effect(effect, low, high, _magnitude(effect))


def _a12(a: Float64, b: Float64) -> float:
    """The chance that a value of `a` is greater than one of `b`, ties counting half.

    A12 of Vargha and Delaney, "A critique and improvement of the CL common language effect size
    statistics", Journal of Educational and Behavioral Statistics 25, 2000. Of losses, below 0.5
    means that `a` is better.

    Args:
        a: shape (n,), without NaN.
        b: shape (m,), without NaN.

    Returns:
        a number in [0, 1]; NaN if there are no values.
    """
    if not len(a) or not len(b):
        return float("nan")
    lower, upper = _places(a, b)
    return float((lower + upper).mean() / (2 * len(b)))


def _resampled_a12(a: Float64, b: Float64, *, paired: bool) -> Callable[[Int64, Int64], Float64]:
    """A12 of resamples, from how often they have each value."""
    lower, upper = _places(a, b)
    by_value = np.argsort(b, kind="stable")

    def effects(drawn_a: Int64, drawn_b: Int64) -> Float64:
        below = np.pad(np.cumsum(drawn_b[:, by_value], axis=1), [(0, 0), (1, 0)])
        greater = (drawn_a * (below[:, lower] + below[:, upper])).sum(axis=1) / 2
        return _of_pairs(greater, drawn_a, a, b) if paired else greater / (len(a) * len(b))

    return effects


def _of_pairs(greater: Float64, drawn: Int64, a: Float64, b: Float64) -> Float64:
    """A12 of resamples of pairs.

    A pair that is drawn c times is compared with itself c squared times, but with itself once among
    the values. So comparisons inside pairs and between pairs are averaged apart, and weigh what
    they weigh among the values.

    Args:
        greater: all comparisons of a resample summed, shape (resamples,).
        drawn: how often each pair is in it, shape (resamples, n).
        a: shape (n,).
        b: shape (n,).
    """
    n = len(a)
    inside = (1 + np.sign(a - b)) / 2
    squares = drawn**2
    n_between = n * n - squares.sum(axis=1)
    between = np.full(len(drawn), (_a12(a, b) * n - inside.mean()) / (n - 1))
    np.divide(greater - squares @ inside, n_between, out=between, where=n_between > 0)
    found: Float64 = between * (1 - 1 / n) + drawn @ inside / n**2
    return found


_BOUNDS = {"negligible": 0.06, "small": 0.14, "medium": 0.21}


def _magnitude(effect: float) -> str:
    """What Vargha and Delaney (2000) call an effect of this size; empty for NaN."""
    if np.isnan(effect):
        return ""
    distance = round(abs(effect - 0.5), 12)
    return next((name for name, bound in _BOUNDS.items() if distance < bound), "large")


def _places(a: Float64, b: Float64) -> tuple[Int64, Int64]:
    """For each value of `a` how many of `b` are less, and how many are not greater."""
    ordered = np.sort(b)
    return np.searchsorted(ordered, a, "left"), np.searchsorted(ordered, a, "right")


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
        return _wilcoxon_signed_rank(np.arange(1.0, n_a + 1), np.zeros(n_a)).p
    return _mann_whitney(np.arange(float(n_a)), n_a + np.arange(float(n_b))).p


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


def _sign(value: float) -> int:
    return int(np.sign(value))


_BLOCK = 2**21  # values of a block of resamples


def check_share(name: str, value: float) -> None:
    """Refuse a level that is none.

    Raises:
        UserError: the value is not between 0 and 1; give one such as 0.95 or 0.05.
    """
    if not 0 < value < 1:
        raise UserError(f"{name}: must lie between 0 and 1, such as 0.95 or 0.05 (got {value})")


def bootstrap_interval(
    statistic: Callable[..., Float64],
    *sizes: int,
    paired: bool = False,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 1,
) -> Float64:
    """The percentile bootstrap interval of a statistic, the same one for the same seed.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. A resample is told
    by how often it has each value. Resamples are drawn by their place, never one after another, so
    that statistics of samples of one size share them; `scipy.stats.bootstrap`, which draws values
    anew for each, takes several times as long for a report's tables and pairs.

    Args:
        statistic: takes for each sample how often its values are drawn, int64, shape
            (resamples, size), and gives values of shape (..., resamples).
        sizes: of the samples.
        paired: values of the same place are drawn together; the samples are of one size.
        level: of the interval.
        resamples: how many.
        seed: of the draws.

    Returns:
        both ends, shape (2, ...), between the two resamples next to each.
    """
    step = max(1, _BLOCK // sum(sizes))
    found = [
        statistic(
            *(
                _drawn(n, min(step, resamples - start), (seed, start, 0 if paired else k))
                for k, n in enumerate(sizes)
            )
        )
        for start in range(0, resamples, step)
    ]
    ordered = np.sort(
        np.concatenate(found, axis=-1), axis=-1
    )  # np.quantile takes five times as long
    places = np.array([(1 - level) / 2, (1 + level) / 2]) * (resamples - 1)
    below, share = np.floor(places).astype(np.int64), places % 1
    ends = (
        ordered[..., below] * (1 - share) + ordered[..., np.ceil(places).astype(np.int64)] * share
    )
    return np.moveaxis(ends, -1, 0)


@lru_cache(maxsize=8)
def _drawn(n: int, size: int, seed: tuple[int, ...]) -> Int64:
    """How often each of n values is in each resample, shape (size, n)."""
    places = np.random.default_rng(seed).integers(n, size=(size, n))
    places += np.arange(size)[:, np.newaxis] * n
    counts = np.bincount(places.ravel(), minlength=size * n).reshape(size, n)
    counts.setflags(write=False)
    return counts
