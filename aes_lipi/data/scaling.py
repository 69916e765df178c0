"""From the numbers in a file to float32 in [0, 1], and back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Flags, Float32, Float64, Floats
from aes_lipi.data.source import Block, Source
from aes_lipi.errors import UserError

Rows = npt.NDArray[np.intp]
"""Indices of rows."""

_ALL_COLUMNS = slice(None)


@dataclass(frozen=True, eq=False)
class MinMax:
    """Scaling of every column to [0, 1].

    Attributes:
        low: smallest value of each column, float64 of shape (n_columns,).
        high: largest value of each column, the same.
    """

    low: Float64
    high: Float64

    def apply(self, block: Float64, columns: slice = _ALL_COLUMNS) -> Float64:
        """Scale a block of columns, shape (rows, columns); values beyond the learned are clipped.

        A column that was constant where it was learned becomes 0.
        """
        return np.clip(self.beyond(block, columns), 0.0, 1.0)

    def beyond(self, block: Float64, columns: slice = _ALL_COLUMNS) -> Float64:
        """Scale as `apply` does, but leave values beyond the learned beyond [0, 1]."""
        # Halves, because the span of two finite numbers can overflow.
        low, high = self.low[columns] / 2, self.high[columns] / 2
        span = high - low
        with np.errstate(over="ignore"):
            scaled = (block / 2 - low) / np.where(span > 0, span, 1.0)
        beyond: Float64 = np.where(span > 0, scaled, 0.0)
        return beyond

    def invert(self, scaled: Floats) -> Float64:
        """From [0, 1] back to the columns' own units, shape (rows, n_columns)."""
        share = scaled.astype(np.float64)  # else an offset costs what float32 rounds of it
        values: Float64 = self.low * (1.0 - share) + self.high * share
        return values


def learn_scaling(source: Source, rows: Rows | None = None) -> MinMax:
    """Learn the scaling of a matrix's columns from some of its rows, by default from all.

    Raises:
        UserError: a value is missing or infinite, or the file cannot be read; fill it in, or drop
            its row.
    """
    low, high = np.full(source.n_columns, np.inf), np.full(source.n_columns, -np.inf)
    learned = np.full(source.n_rows, rows is None)
    learned[rows] = True
    for block_rows, columns, block in _finite_blocks(source):
        known = block[learned[block_rows]]
        if len(known):
            low[columns] = np.minimum(low[columns], known.min(axis=0))
            high[columns] = np.maximum(high[columns], known.max(axis=0))
    return MinMax(low, high)


def unit_interval(source: Source, scaling: MinMax | None, order: Rows | None = None) -> Float32:
    """Read a matrix whose values are, or by the scaling become, numbers in [0, 1].

    Only a part is held in another precision at any time.

    Args:
        source: the matrix in its file.
        scaling: how columns are scaled; None if they must be in [0, 1] already.
        order: the file's rows in the order they are wanted in, by default the file's.

    Returns:
        float32 of shape (n_rows, n_columns), C-contiguous.

    Raises:
        UserError: a value is missing, infinite or outside [0, 1], the file cannot be read, or its
            data does not fit in memory; fill it in, or use --scale minmax, or fewer rows.
    """
    values = _allocated(source)
    places = None if order is None else np.argsort(order)
    for rows, columns, block in _finite_blocks(source):
        if scaling is None:
            with np.errstate(over="ignore", under="ignore"):
                narrow = block.astype(np.float32)
            _check_range(source, (rows, columns, block), narrow)
        else:
            narrow = scaling.apply(block, columns).astype(np.float32)
        values[rows if places is None else places[rows], columns] = narrow
    return values


def _allocated(source: Source) -> Float32:
    try:
        return np.empty((source.n_rows, source.n_columns), dtype=np.float32)
    except (MemoryError, ValueError):
        size = 4 * source.n_rows * source.n_columns / 2**30
        raise UserError(
            f"{source.label}: {source.n_rows} rows of {source.n_columns} columns take "
            f"{size:.1f} GiB, more than there is; use fewer rows"
        ) from None


def _finite_blocks(source: Source) -> Iterator[Block]:
    for rows, columns, block in source.blocks():
        place = _first(~np.isfinite(block))
        if place is not None:
            row, column = place
            missing = np.isnan(block[row, column])
            what = "a missing value (empty, null or NaN)" if missing else "an infinite value"
            raise UserError(
                f"{source.place(rows.start + row, columns.start + column)}: {what}; fill it in, or "
                "drop the row or the column"
            )
        yield rows, columns, block


def _check_range(source: Source, where: Block, narrow: Float32) -> None:
    """Refuse values outside [0, 1], as float32 sees them."""
    place = _first((narrow < 0) | (narrow > 1))
    if place is not None:
        rows, columns, block = where
        value = block[place]
        raise UserError(
            f"{source.place(rows.start + place[0], columns.start + place[1])}: the value "
            f"{value:.9g} is outside [0, 1]; scale the columns with --scale minmax"
        )


def _first(bad: Flags) -> tuple[int, int] | None:
    """Row and column of the first marked value, by columns and then by rows."""
    if not bad.any():
        return None
    column = int(bad.any(axis=0).argmax())
    return int(bad[:, column].argmax()), column
