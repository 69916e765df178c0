"""Effect sizes of pairs of samples, and the one bootstrap interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError


@dataclass(frozen=True)
class Effects:
    """How far the samples of pairs are apart, an entry for each pair.

    Attributes:
        a12: the chance that a value of the first is greater than one of the second, float64, shape
            (pairs,); NaN without values.
        low: lower end of its bootstrap interval; NaN where a sample has fewer than two values.
        high: its upper end.
        magnitude: what Vargha and Delaney (2000) call each; empty without values.
    """

    a12: Float64
    low: Float64
    high: Float64
    magnitude: list[str]


def effects_of(
    a: Float64,
    b: Float64,
    *,
    paired: bool,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 1,
) -> Effects:
    """The effect sizes of pairs of samples and their intervals.

    Between samples that do not overlap the interval is [0, 0] or [1, 1]: no resample of theirs
    overlaps.

    Args:
        a: the first samples, shape (pairs, n), without NaN.
        b: the second ones, shape (pairs, m), without NaN.
        paired: values of the same place belong together and are drawn together; n equals m then.
        level: of the intervals.
        resamples: how many.
        seed: of the draws.
    """
    sizes = a.shape[1], b.shape[1]
    effects = _a12(a, b)
    ends = np.full((2, len(a)), np.nan)
    step = max(1, _BLOCK // max(resamples, sizes[0] * sizes[1]))
    for start in range(0, len(a) if min(sizes) > 1 else 0, step):
        block = slice(start, start + step)
        ends[:, block] = bootstrap_interval(
            _resampled_a12(a[block], b[block], paired=paired),
            *sizes,
            paired=paired,
            level=level,
            resamples=resamples,
            seed=seed,
        )
    return Effects(effects, ends[0], ends[1], list(map(_magnitude, effects.tolist())))


def _a12(a: Float64, b: Float64) -> Float64:
    """The chance that a value of `a` is greater than one of `b`, ties counting half.

    A12 of Vargha and Delaney, "A critique and improvement of the CL common language effect size
    statistics", Journal of Educational and Behavioral Statistics 25, 2000. Of losses, below 0.5
    means that `a` is better.

    Args:
        a: shape (pairs, n), without NaN.
        b: shape (pairs, m), without NaN.

    Returns:
        numbers in [0, 1], shape (pairs,); NaN if there are no values.
    """
    from scipy.stats import rankdata  # noqa: PLC0415 - slow to import

    n_a, n_b = a.shape[1], b.shape[1]
    if not n_a or not n_b:
        return np.full(len(a), np.nan)
    ranks = rankdata(np.concatenate([a, b], axis=1), axis=1)[:, :n_a].sum(axis=1)
    found: Float64 = (2 * ranks - n_a * (n_a + 1)) / n_a / (2 * n_b)
    return found


def _resampled_a12(a: Float64, b: Float64, *, paired: bool) -> Callable[[Int64, Int64], Float64]:
    """A12 of resamples, shape (pairs, resamples), from how often they have each value."""
    n_a, n_b = a.shape[1], b.shape[1]
    compared = _by_products if len(a) > n_b and n_a * n_b <= _FEW else _by_order

    def effects(drawn_a: Int64, drawn_b: Int64) -> Float64:
        greater = compared(a, b, drawn_a, drawn_b)
        return _of_pairs(greater, drawn_a, a, b) if paired else greater / (n_a * n_b)

    return effects


_FEW = 2**11  # comparisons of two samples


def _by_products(a: Float64, b: Float64, drawn_a: Int64, drawn_b: Int64) -> Float64:
    """The comparisons of resamples, those that `a` wins, summed: of many pairs of small samples.

    Sums of halves, so that both ways have the same bits.

    Args:
        a: shape (pairs, n).
        b: shape (pairs, m).
        drawn_a: how often each value is drawn, shape (resamples, n).
        drawn_b: likewise, shape (resamples, m).

    Returns:
        shape (pairs, resamples).
    """
    wins = (1 + np.sign(a[:, :, np.newaxis] - b[:, np.newaxis])).reshape(len(a), -1)
    weights = (drawn_a[:, :, np.newaxis] * drawn_b[:, np.newaxis]).reshape(len(drawn_a), -1)
    greater: Float64 = wins @ weights.T.astype(np.float64) / 2
    return greater


def _by_order(a: Float64, b: Float64, drawn_a: Int64, drawn_b: Int64) -> Float64:
    """What `_by_products` gives, one pair after another: of samples of any size."""
    found = np.empty((len(a), len(drawn_a)))
    for k, (x, y) in enumerate(zip(a, b, strict=True)):
        lower, upper = _places(x, y)
        in_order = drawn_b[:, np.argsort(y, kind="stable")]
        below = np.pad(np.cumsum(in_order, axis=1), [(0, 0), (1, 0)])
        found[k] = (drawn_a * (below[:, lower] + below[:, upper])).sum(axis=1) / 2
    return found


def _of_pairs(greater: Float64, drawn: Int64, a: Float64, b: Float64) -> Float64:
    """A12 of resamples of values that belong together.

    Two values that are drawn c times are compared with each other c squared times, but once among
    the values. So comparisons of those that belong together and of others are averaged apart, and
    weigh what they weigh among the values.

    Args:
        greater: all comparisons of a resample summed, shape (pairs, resamples).
        drawn: how often each place is in it, shape (resamples, n).
        a: shape (pairs, n).
        b: shape (pairs, n).

    Returns:
        shape (pairs, resamples).
    """
    n = a.shape[1]
    inside = (1 + np.sign(a - b)) / 2
    squares = drawn**2
    n_between = n * n - squares.sum(axis=1)
    mean = (_a12(a, b) * n - inside.mean(axis=1)) / (n - 1)
    between = np.repeat(mean[:, np.newaxis], len(drawn), axis=1)
    np.divide(greater - inside @ squares.T, n_between, out=between, where=n_between > 0)
    found: Float64 = between * (1 - 1 / n) + inside @ drawn.T / n**2
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
