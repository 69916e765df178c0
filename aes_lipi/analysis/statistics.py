"""The bootstrap interval of any statistic of one sample or several."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError

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
