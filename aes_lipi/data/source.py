"""A matrix that stands in a file, before it is read: what the readers of all formats hand over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aes_lipi.arrays import Array, Float64
from aes_lipi.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_VALUES = 2**20
"""Values that a reader holds in float64 at any time, as far as the format lets it."""

Block = tuple[slice, slice, Float64]
"""Rows and columns of a matrix, and their values, shape (rows, columns)."""


@dataclass(frozen=True)
class Source:
    """A matrix of numbers in a file, read a part at a time.

    Attributes:
        label: what errors call the file.
        n_rows: number of rows, without a header.
        n_columns: number of columns.
        blocks: reads the matrix in blocks that cover it; missing values are NaN.
        column_names: as the file gives them, if it does.
        rows_counted: how errors say what row 1 is, where that is in doubt.

    Raises:
        UserError: the table has no rows or no columns; add some.
    """

    label: str
    n_rows: int
    n_columns: int
    blocks: Callable[[], Iterator[Block]]
    column_names: tuple[str, ...] | None = None
    rows_counted: str = ""

    def __post_init__(self) -> None:
        if self.n_columns < 1:
            raise UserError(f"{self.label}: holds no columns; at least one is needed")
        if self.n_rows < 1:
            raise UserError(f"{self.label}: holds no rows{self.rows_counted}; add data to it")

    def place(self, row: int, column: int) -> str:
        """Name the file, the column and the 1-based row of a value, given its indices."""
        named = str(column + 1) if self.column_names is None else quoted(self.column_names[column])
        return f"{self.label}, column {named}, row {row + 1}{self.rows_counted}"


def array_source(label: str, values: Array) -> Source:
    """A matrix in memory, or mapped into it, as a source.

    Args:
        label: what errors call it.
        values: real numbers of any type, shape (rows, columns).
    """
    n_rows, n_columns = values.shape
    height = max(1, BLOCK_VALUES // max(1, n_columns))

    def blocks() -> Iterator[Block]:
        for start in range(0, n_rows, height):
            rows = slice(start, min(start + height, n_rows))
            with np.errstate(invalid="ignore"):  # some NaN warn when they are converted
                yield rows, slice(0, n_columns), values[rows].astype(np.float64)

    return Source(label, n_rows, n_columns, blocks)


def float64_block(columns: Sequence[pa.Array | pa.ChunkedArray]) -> Float64:
    """Arrow's columns of numbers and truth values as float64, shape (rows, columns).

    Nulls are NaN.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    block = np.empty((len(columns[0]), len(columns)), order="F")
    for j, column in enumerate(columns):
        if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
            column = column.cast(pa.uint8())  # noqa: PLW2901
        with np.errstate(invalid="ignore"):  # some NaN warn when they are converted
            block[:, j] = column.to_numpy(zero_copy_only=False)
    return block


@contextmanager
def unreadable(label: str, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn the errors that reading a bad file raises into a user's error.

    Args:
        label: what errors call the file.
        kind: the format that the file should be of.
        errors: exceptions that mean the file is bad.

    Raises:
        UserError: one of the errors was raised inside: the file is cut short, damaged or of
            another format; write it again.
    """
    try:
        yield
    except errors as error:
        raise UserError(
            f"{label}: cannot be read ({reason(error)}); check that you may read it, that it is "
            f"complete and that it really is {kind}"
        ) from error


def reason(error: Exception) -> str:
    """What an exception says, on one line; cut if long."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    line = " ".join(said.split()) or type(error).__name__
    return line if len(line) <= 160 else line[:157] + "..."


def quoted(name: object) -> str:
    """A path, a name or a cell for a message: on one line, printable; cut if long."""
    text = str(name)
    return repr(text if len(text) <= 200 else text[:197] + "...")
