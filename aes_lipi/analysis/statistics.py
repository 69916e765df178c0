"""Medians, effect sizes, and the bootstrap intervals of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError

_BLOCK = 2**21  # values of a block of resamples
_BOUNDS = {"negligible": 0.06, "small": 0.14, "medium": 0.21}


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


@dataclass(frozen=True)
class Spread:
    """What is said of the values of each column.

    Attributes:
        n: values that are finite, int64, shape (columns,).
        median: float64, shape (columns,); as the others NaN where there are no values.
        q1: lower quartile.
        q3: upper quartile.
        low: lower end of the median's bootstrap interval; NaN of fewer than two values.
        high: its upper end.
    """

    n: Int64
    median: Float64
    q1: Float64
    q3: Float64
    low: Float64
    high: Float64

    def columns(self) -> Mapping[str, npt.NDArray[np.generic]]:
        """The arrays by name."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def spread(values: Float64, level: float = 0.95) -> Spread:
    """Median, quartiles and bootstrap interval of every column.

    Args:
        values: shape (units, columns); what is not finite counts as not measured.
        level: of the intervals.

    Raises:
        UserError: the level is not between 0 and 1; give one such as 0.95.
    """
    check_share("level", level)
    known = np.isfinite(values)
    ordered = np.sort(np.where(known, values, np.inf), axis=0)
    n = known.sum(axis=0)
    found = np.full((5, values.shape[1]), np.nan)
    for count in np.unique(n[n > 0]):
        columns = np.flatnonzero(n == count)
        part = ordered[:count, columns]
        found[:3, columns] = np.quantile(part, [0.5, 0.25, 0.75], axis=0)
        if count > 1:
            found[3:, columns] = _median_interval(part, level)
    return Spread(n, *found)


def _median_interval(ordered: Float64, level: float) -> Float64:
    """The interval of the median of columns that ascend, shape (2, columns)."""
    n, by_column = len(ordered), np.ascontiguousarray(ordered.T)

    def medians(drawn: Int64) -> Float64:
        reached = np.cumsum(drawn, axis=1)
        lower, upper = ((reached > rank).argmax(axis=1) for rank in ((n - 1) // 2, n // 2))
        middle: Float64 = by_column.take(lower, axis=1)
        return middle if n % 2 else (middle + by_column.take(upper, axis=1)) / 2

    return bootstrap_interval(medians, n, level=level)


def a12(a: Float64, b: Float64) -> float:
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


def a12_interval(
    a: Float64,
    b: Float64,
    *,
    paired: bool,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 1,
) -> tuple[float, float]:
    """The bootstrap interval of A12.

    Between samples that do not overlap it is [0, 0] or [1, 1]: no resample of theirs overlaps.

    Args:
        a: shape (n,), without NaN.
        b: shape (m,), without NaN.
        paired: values of the same place belong together and are drawn together; n equals m then.
        level: of the interval.
        resamples: how many.
        seed: of the draws.

    Returns:
        its ends; NaN where a sample has fewer than two values.
    """
    if len(a) < 2 or len(b) < 2:
        return float("nan"), float("nan")
    lower, upper = _places(a, b)
    by_value = np.argsort(b, kind="stable")

    def effects(drawn_a: Int64, drawn_b: Int64) -> Float64:
        below = np.pad(np.cumsum(drawn_b[:, by_value], axis=1), [(0, 0), (1, 0)])
        greater = (drawn_a * (below[:, lower] + below[:, upper])).sum(axis=1) / 2
        return _of_pairs(greater, drawn_a, a, b) if paired else greater / (len(a) * len(b))

    low, high = bootstrap_interval(
        effects, len(a), len(b), paired=paired, level=level, resamples=resamples, seed=seed
    )
    return float(low), float(high)


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
    between = np.full(len(drawn), (a12(a, b) * n - inside.mean()) / (n - 1))
    np.divide(greater - squares @ inside, n_between, out=between, where=n_between > 0)
    found: Float64 = between * (1 - 1 / n) + drawn @ inside / n**2
    return found


def magnitude(effect: float) -> str:
    """What Vargha and Delaney (2000) call an effect of this size; empty for NaN."""
    if np.isnan(effect):
        return ""
    distance = round(abs(effect - 0.5), 12)
    return next((name for name, bound in _BOUNDS.items() if distance < bound), "large")


def _places(a: Float64, b: Float64) -> tuple[Int64, Int64]:
    """For each value of `a` how many of `b` are less, and how many are not greater."""
    ordered = np.sort(b)
    return np.searchsorted(ordered, a, "left"), np.searchsorted(ordered, a, "right")
