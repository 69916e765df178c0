"""Arrow's columns as numpy's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from aes_lipi.arrays import Float64

if TYPE_CHECKING:
    import pyarrow as pa


def float64_block(columns: Sequence[pa.ChunkedArray], n_rows: int) -> Float64:
    """Numbers and truth values as float64 of shape (n_rows, columns); nulls are NaN.

    Raises:
        ValueError: a column is not n_rows long.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    block = np.empty((n_rows, len(columns)), order="F")
    for j, column in enumerate(columns):
        if len(column) != n_rows:
            raise ValueError(f"a column holds {len(column)} rows where others hold {n_rows}")
        if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
            column = column.cast(pa.uint8())  # noqa: PLW2901
        with np.errstate(invalid="ignore"):  # some NaN warn when they are converted
            block[:, j] = column.to_numpy()
    return block
