"""Medians, quartiles and the bootstrap interval of the median, for many columns at once.

The bootstrap distribution of a median needs no resampling: how often a resample's median is which
order statistic, or the middle of which two, follows from the number of values alone (Maritz and
Jarrett, "A note on estimating the variance of the sample median", JASA 73, 1978). The interval is
the percentile interval (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13)
that infinitely many resamples would give, the same one every time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aes_lipi.analysis.checks import check_share
from aes_lipi.arrays import Float64, Int64

_WINDOW = 8.0  # standard deviations of the median's rank
_LARGEST_GAP = 40  # between the ranks of the two middle values of a resample
_RARE = 1e-9  # probability of a pair of ranks that is left out


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
        UserError: the level is not between 0 and 1.
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
        found[3:, columns] = median_interval(part, level)
    return Spread(n, *found)


def median_interval(ordered: Float64, level: float) -> Float64:
    """The bootstrap interval of the median of every column.

    Args:
        ordered: finite values, shape (units, columns), ascending in every column.
        level: of the intervals.

    Returns:
        shape (2, columns): the ends; NaN for fewer than two values.
    """
    n, n_columns = ordered.shape
    if n < 2:
        return np.full((2, n_columns), np.nan)
    lower, upper, probability = median_ranks(n)
    medians = (ordered[lower] + ordered[upper]) / 2
    order = np.argsort(medians, axis=0, kind="stable")
    reached = np.cumsum(probability[order], axis=0)
    tail = (1 - level) / 2
    places = np.stack([np.argmax(reached >= share, axis=0) for share in (tail, 1 - tail)])
    ends: Float64 = np.take_along_axis(medians, np.take_along_axis(order, places, 0), 0)
    return ends


@lru_cache(maxsize=256)
def median_ranks(n: int) -> tuple[Int64, Int64, Float64]:
    """Which two of n ordered values lie in the middle of a resample of n, and how often.

    Args:
        n: number of values, at least 2.

    Returns:
        ranks from 0 of the lower and of the upper middle value (the same ones if n is odd) and
        their probability, shape (pairs,) each; pairs that are as good as impossible are left out.
    """
    width = math.ceil(_WINDOW * math.sqrt(n) / 2) + 2
    first, last = max(1, n // 2 - width), min(n, n // 2 + 1 + width)
    lower = np.arange(first, last + 1)
    pairs = _odd(n, lower) if n % 2 else _even(n, lower)
    rank, gap = np.nonzero(pairs > _RARE)
    probability = pairs[rank, gap]
    below = lower[rank] - 1
    return below, below + gap, probability / probability.sum()


def _odd(n: int, rank: Int64) -> Float64:
    """Probability that the median is the value of a rank from 1; shape (ranks, 1)."""
    middle = (n + 1) // 2
    found = _at_most(n, middle, rank) - _at_most(n, middle, rank - 1)
    return found[:, np.newaxis]


def _even(n: int, rank: Int64) -> Float64:
    """Probability of the lower middle value's rank and of the gap; shape (ranks, gaps)."""
    half = n // 2
    lower = rank[:, np.newaxis]
    upper = lower + np.arange(min(n, _LARGEST_GAP))
    found = _apart(n, lower, upper - 1) - _apart(n, lower, upper)
    found -= _apart(n, lower - 1, upper - 1) - _apart(n, lower - 1, upper)
    differ = _apart(n, rank, rank) - _apart(n, rank - 1, rank)
    found[:, 0] = _at_most(n, half, rank) - _at_most(n, half, rank - 1) - differ
    found[upper > n] = 0
    return found


def _at_most(n: int, place: int, rank: Int64) -> Float64:
    """Probability that the value at a place (from 1) of a resample has at most this rank."""
    from scipy.special import betainc  # noqa: PLC0415 - slow to import

    found: Float64 = betainc(place, n - place + 1, rank / n)  # at least `place` of n draws do
    return found


def _apart(n: int, lower: Int64, upper: Int64) -> Float64:
    """Probability that half of the draws have at most the lower, the others more than the upper."""
    half = n // 2
    ways = math.lgamma(n + 1) - 2 * math.lgamma(half + 1)
    share = np.clip(lower / n * (n - upper) / n, 0, None)
    with np.errstate(divide="ignore"):  # log(0): impossible
        return np.exp(ways + half * np.log(share))
