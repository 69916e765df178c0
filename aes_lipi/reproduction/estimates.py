"""The mean over trials and its bootstrap interval: what stands beside a published mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aes_lipi.arrays import Float64

RESAMPLES = 9_999
LEVEL = 0.95
SEED = 1


@dataclass(frozen=True)
class Estimate:
    """A mean over trials.

    Attributes:
        n: trials.
        mean: their mean; NaN without trials.
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
    """The mean and its percentile bootstrap interval, the same one every time.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Values that are all
    equal have an interval of no width.

    Args:
        values: one per trial, shape (n,), finite.
    """
    from scipy.stats import bootstrap  # noqa: PLC0415 - slow to import

    n = len(values)
    mean = float(np.mean(values)) if n else float("nan")
    if n < 2:
        return Estimate(n, mean, float("nan"), float("nan"))
    if np.ptp(values) == 0:
        return Estimate(n, mean, mean, mean)
    found = bootstrap(
        (values,),
        np.mean,
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    return Estimate(n, mean, float(found.low), float(found.high))
