"""From the numbers in a file to float32 in [0, 1]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32, Float64
from aes_lipi.data.minmax import MinMax
from aes_lipi.data.source import Source
from aes_lipi.errors import UserError

Scale = Literal["none", "minmax"]
Rows = npt.NDArray[np.intp]

_BLOCK_VALUES = 2**20


def learn_scaling(source: Source, rows: Rows | None = None) -> MinMax:
    """Learn the scaling of a matrix's columns from some of its rows, by default from all.

    Raises:
        UserError: a value is missing or infinite, or the file cannot be read.
    """
    low = np.empty(source.n_columns)
    high = np.empty(source.n_columns)
    for columns, block in _finite_blocks(source):
        known = block if rows is None else block[rows]
        low[columns] = known.min(axis=0)
        high[columns] = known.max(axis=0)
    return MinMax(low, high)


def unit_interval(source: Source, scaling: MinMax | None, order: Rows | None = None) -> Float32:
    """Read a matrix whose values are, or by the scaling become, numbers in [0, 1].

    Only a few columns are held in another precision at any time.

    Args:
        source: the matrix in its file.
        scaling: how columns are scaled; None if they must be in [0, 1] already.
        order: the file's rows in the order they are wanted in, by default the file's.

    Returns:
        float32 of shape (n_rows, n_columns), C-contiguous.

    Raises:
        UserError: a value is missing, infinite or outside [0, 1], the file cannot be read, or its
            data does not fit in memory.
    """
    values = _allocated(source)
    for columns, block in _finite_blocks(source):
        if scaling is None:
            with np.errstate(over="ignore", under="ignore"):
                narrow = block.astype(np.float32)
            _check_range(source, block, narrow, columns)
        else:
            narrow = scaling.apply(block, columns).astype(np.float32)
        values[:, columns] = narrow if order is None else narrow[order]
    return values


def check_finite(source: Source) -> None:
    """Refuse a matrix with a missing or infinite value.

    Raises:
        UserError: there is one, or the file cannot be read.
    """
    for _ in _finite_blocks(source):
        pass


def _allocated(source: Source) -> Float32:
    try:
        return np.empty((source.n_rows, source.n_columns), dtype=np.float32)
    except (MemoryError, ValueError):
        size = 4 * source.n_rows * source.n_columns / 2**30
        raise UserError(
            f"{source.label}: {source.n_rows} rows of {source.n_columns} columns take "
            f"{size:.1f} GiB, more than there is; use fewer rows"
        ) from None


def _finite_blocks(source: Source) -> Iterator[tuple[slice, Float64]]:
    """The matrix in blocks of columns, left to right, each (rows, columns) and finite."""
    width = max(1, _BLOCK_VALUES // source.n_rows)
    for start in range(0, source.n_columns, width):
        columns = slice(start, min(start + width, source.n_columns))
        block = source.read_block(columns.start, columns.stop)
        _check_finite(source, block, columns)
        yield columns, block


def _check_finite(source: Source, block: Float64, columns: slice) -> None:
    place = _first(~np.isfinite(block))
    if place is None:
        return
    row, column = place
    missing = np.isnan(block[row, column])
    what = "a missing value (empty, null or NaN)" if missing else "an infinite value"
    remedy = "fill it in, or drop the row or the column"
    raise UserError(f"{source.place(row, columns.start + column)}: {what}; {remedy}")


def _check_range(source: Source, block: Float64, narrow: Float32, columns: slice) -> None:
    """Refuse values outside [0, 1], as float32 sees them."""
    place = _first((narrow < 0) | (narrow > 1))
    if place is None:
        return
    row, column = place
    raise UserError(
        f"{source.place(row, columns.start + column)}: the value {block[row, column]:.9g} is "
        "outside [0, 1]; scale the columns with --scale minmax"
    )


def _first(bad: npt.NDArray[np.bool_]) -> tuple[int, int] | None:
    """Row and column of the first marked value, by columns and then by rows."""
    if not bad.any():
        return None
    column = int(bad.any(axis=0).argmax())
    return int(bad[:, column].argmax()), column
