"""A matrix that stands in a file, before it is read: what the readers of all formats hand over."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from aes_lipi.arrays import Array, Flags, Float64
from aes_lipi.errors import UserError, printable

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
        index: names of the columns that are left out as an index of the rows.
        taken: what is said of the format, where it is not the commonest.
        categories: of a table with text, the texts of each column in the order of their letters,
            which blocks hold by number; None of a column of numbers.
        flags: which columns say by 0 and 1 whether a text is there, (n_columns,), where some do.

    Raises:
        UserError: the table has no rows or no columns; add some.
    """

    label: str
    n_rows: int
    n_columns: int
    blocks: Callable[[], Iterator[Block]]
    column_names: tuple[str, ...] | None = None
    rows_counted: str = ""
    index: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    categories: tuple[tuple[str, ...] | None, ...] = ()
    flags: Flags | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names; their numbers, from 1, where they have none."""
        return self.column_names or tuple(str(j + 1) for j in range(self.n_columns))

    def __post_init__(self) -> None:
        if self.n_columns < 1:
            raise UserError(f"{self.label}: holds no columns; at least one is needed")
        if self.n_rows < 1:
            raise UserError(f"{self.label}: holds no rows{self.rows_counted}; add data to it")

    def place(self, row: int, column: int) -> str:
        """Name the file, the column and the 1-based row of a value, given its indices."""
        named = self.columns_named([column])
        return f"{self.label}, {named}, row {row + 1}{self.rows_counted}"

    def columns_named(self, columns: Iterable[int]) -> str:
        """Name columns, given their places."""
        named = [str(j + 1) if not self.column_names else quoted(self.names[j]) for j in columns]
        return f"column{'s' if len(named) > 1 else ''} {', '.join(named)}"


def array_source(label: str, values: Array) -> Source:
    """A matrix in memory, or mapped into it, as a source.

    Args:
        label: what errors call it.
        values: real numbers of any type, shape (rows, columns), or of more dimensions, which are
            laid out in C order.
    """
    n_rows, n_columns = len(values), math.prod(values.shape[1:])
    height = max(1, BLOCK_VALUES // max(1, n_columns))

    def blocks() -> Iterator[Block]:
        for start in range(0, n_rows, height):
            rows = slice(start, min(start + height, n_rows))
            with np.errstate(invalid="ignore"):  # some NaN warn when they are converted
                block = values[rows].reshape(-1, n_columns).astype(np.float64)
                yield rows, slice(0, n_columns), block

    shape = " x ".join(map(str, values.shape[1:]))
    taken = (f"each row {shape} values",) if values.ndim > 2 else ()
    return Source(label, n_rows, n_columns, blocks, taken=taken)


def float64_block(columns: Sequence[pa.Array | pa.ChunkedArray]) -> Float64:
    """Arrow's columns of numbers and truth values as float64, shape (rows, columns).

    Nulls are NaN; decimals are read as Python reads their digits.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    block = np.empty((len(columns[0]), len(columns)), order="F")
    for j, column in enumerate(columns):
        if pa.types.is_boolean(column.type) or pa.types.is_null(column.type):
            column = column.cast(pa.uint8())  # noqa: PLW2901
        elif pa.types.is_decimal(column.type):
            column = column.cast(pa.string()).cast(pa.float64())  # noqa: PLW2901
        with np.errstate(invalid="ignore"):  # some NaN warn when they are converted
            block[:, j] = column.to_numpy(zero_copy_only=False)
    return block


def numbered(column: pa.Array | pa.ChunkedArray, texts: tuple[str, ...]) -> Any:
    """Arrow's column of text as the numbers of its texts; null where it is, or is another."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    import pyarrow.compute as pc  # noqa: PLC0415

    return pc.index_in(column.cast(pa.string()), value_set=pa.array(texts, pa.string()))


_RESERVED = re.compile(r"__index_level_\d+__")
_UNNAMED = re.compile(r"\s*|Unnamed: \d+(\.\d+)*(_level_\d+)?")


def left_out_index(names: Sequence[str], cells: Callable[[int], Sequence[object]]) -> list[int]:
    """Places of the columns that pandas, or R, wrote as an index of the rows.

    They have a name that pandas keeps for it; or, at the front, none, and texts or different whole
    numbers.

    Args:
        names: of the columns.
        cells: the first cells of a column, by its place.
    """
    found = [j for j, name in enumerate(names) if _RESERVED.fullmatch(name)]
    for j, name in enumerate(names):
        if not _UNNAMED.fullmatch(name) or not _labels_rows(cells(j)):
            break
        found.append(j)
    return sorted(found)


def _labels_rows(cells: Sequence[object]) -> bool:
    texts = [str(cell).strip() for cell in cells]
    if not texts or not all(texts):
        return False
    if all(text.isascii() and text.isdigit() for text in texts):
        return len(set(texts)) == len(texts)
    return not any(_is_number(text) for text in texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


SPLIT_ALREADY = "split already"
"""What is said of a file that holds training, test and validation rows apart."""


def summary(name: str, sources: Sequence[Source], n_constant: int) -> str:
    """What was read, in one line.

    Args:
        name: of the file.
        sources: its one matrix, or those of its splits.
        n_constant: columns that are the same in all training rows.
    """
    first, n_rows = sources[0], sum(source.n_rows for source in sources)
    n, names = first.n_columns, first.column_names
    columns = f"{n:,} column{'' if n == 1 else 's'}"
    if names is None:
        columns += " without names"
    else:
        columns += f" named {printable(names[0])}" + (f"..{printable(names[-1])}" if n > 1 else "")
    listed = ", ".join(quoted(each) if each.strip() else "without a name" for each in first.index)
    index = f"index left out ({listed})" if first.index else "no index"
    rows = f"{n_rows:,} row{'' if n_rows == 1 else 's'}"
    if len(sources) > 1:
        rows += f" {SPLIT_ALREADY}"
    said = [rows, columns, index, f"{n_constant:,} constant", *first.taken]
    return f"{printable(name, 200)}: {', '.join(said)}"


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
