"""Scaling of columns to [0, 1], and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float64

ALL_COLUMNS = slice(None)


@dataclass(frozen=True, eq=False)
class MinMax:
    """Scaling of every column to [0, 1].

    Attributes:
        low: smallest value of each column, float64 of shape (n_columns,).
        high: largest value of each column, the same.
    """

    low: Float64
    high: Float64

    def apply(self, block: Float64, columns: slice = ALL_COLUMNS) -> Float64:
        """Scale a block of columns, shape (rows, columns); values beyond the learned are clipped.

        A column that was constant where it was learned becomes 0.
        """
        return np.clip(self.beyond(block, columns), 0.0, 1.0)

    def beyond(self, block: Float64, columns: slice = ALL_COLUMNS) -> Float64:
        """Scale as `apply` does, but leave values beyond the learned beyond [0, 1]."""
        # Halves, because the span of two finite numbers can overflow.
        low, high = self.low[columns] / 2, self.high[columns] / 2
        span = high - low
        with np.errstate(over="ignore"):
            scaled = (block / 2 - low) / np.where(span > 0, span, 1.0)
        beyond: Float64 = np.where(span > 0, scaled, 0.0)
        return beyond

    def invert(self, scaled: npt.NDArray[np.floating]) -> Float64:
        """From [0, 1] back to the columns' own units, shape (rows, n_columns)."""
        share = scaled.astype(np.float64)  # else an offset costs what float32 rounds of it
        values: Float64 = self.low * (1.0 - share) + self.high * share
        return values
