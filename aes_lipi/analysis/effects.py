"""The Vargha-Delaney effect size and its bootstrap interval."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from aes_lipi.arrays import Float64, Int64

_BOUNDS = {"negligible": 0.06, "small": 0.14, "medium": 0.21}
_BLOCK = 2**21  # values of a block of resamples


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
    """The percentile bootstrap interval of A12, the same one for the same seed.

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
    effects = np.empty(resamples)
    step = max(1, _BLOCK // (len(a) + len(b)))
    for start in range(0, resamples, step):
        size = min(step, resamples - start)
        drawn_a = _drawn(len(a), size, (seed, start, 0))
        drawn_b = drawn_a if paired else _drawn(len(b), size, (seed, start, 1))
        below = np.pad(np.cumsum(drawn_b[:, by_value], axis=1), [(0, 0), (1, 0)])
        greater = (drawn_a * (below[:, lower] + below[:, upper])).sum(axis=1) / 2
        found = _of_pairs(greater, drawn_a, a, b) if paired else greater / (len(a) * len(b))
        effects[start : start + size] = found
    low, high = np.quantile(effects, [(1 - level) / 2, (1 + level) / 2])
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


@lru_cache(maxsize=8)
def _drawn(n: int, size: int, seed: tuple[int, ...]) -> Int64:
    """How often each of n values is in each resample, shape (size, n)."""
    places = np.random.default_rng(seed).integers(n, size=(size, n))
    places += np.arange(size)[:, np.newaxis] * n
    counts = np.bincount(places.ravel(), minlength=size * n).reshape(size, n)
    counts.setflags(write=False)
    return counts
