"""Matrices from text files, as CSV: Arrow reads them, and here it is told how."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from aes_lipi.data.dialect import KIND, LONGEST_ROW, SPACE, TRUTH_VALUES, Dialect, look_at
from aes_lipi.data.files import COMPRESSION_ERRORS, DataFile
from aes_lipi.data.source import Block, Source, float64_block, quoted, unreadable
from aes_lipi.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS_AT_A_TIME = 2**13  # Arrow takes some 10 KB for each column that it converts

# What Arrow says of rows and cells that it refuses; its rows are counted from the file's first.
_RAGGED = re.compile(r"Row #(\d+): Expected \d+ columns, got (\d+)")
_NO_NUMBER = re.compile(r"CSV column #(\d+): Row #(\d+): .*? invalid value '(.*)'$", re.DOTALL)


def csv_source(file: DataFile, header: str = "auto", separator: str = "auto") -> Source:
    """Look through a text file whose columns are numbers, or true and false.

    Blank lines and lines that begin with # do not count as rows. Numbers are read to the nearest
    float64, as Python's `float` does. For what is found out, see `look_at`.

    Raises:
        UserError: the file cannot be read, it is in doubt how, or rows differ in length; give every
            row as many values.
    """
    dialect = look_at(file, header, separator)
    n_rows = sum(len(batch) for batch in _batches(dialect, slice(0, 1)))
    n_columns = len(dialect.columns)

    def blocks() -> Iterator[Block]:
        for start in range(0, n_columns, _COLUMNS_AT_A_TIME):
            columns = slice(start, min(start + _COLUMNS_AT_A_TIME, n_columns))
            row = 0
            for batch in _batches(dialect, columns):
                values = float64_block(batch.columns[: columns.stop - start])
                yield slice(row, row + len(batch)), columns, values
                row += len(batch)

    return Source(
        quoted(file.path),
        n_rows,
        n_columns,
        blocks,
        dialect.names,
        dialect.rows_counted,
        dialect.index,
        dialect.taken,
    )


def _batches(dialect: Dialect, columns: slice) -> Iterator[pa.RecordBatch]:
    """Some columns of the rows below the header, so many rows at a time as fit into a block."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    from pyarrow import csv as arrow_csv  # noqa: PLC0415

    places = list(dialect.columns[columns])
    kinds = {str(j): pa.bool_() if j in dialect.truth_columns else pa.float64() for j in places}
    if dialect.empty is not None:
        places.append(dialect.empty)
        kinds[str(dialect.empty)] = pa.null()
    with _explained(dialect), dialect.file.opened() as stream:
        yield from arrow_csv.open_csv(
            io.BufferedReader(_Squeezed(stream)) if dialect.separator == SPACE else stream,
            arrow_csv.ReadOptions(
                use_threads=False,  # else errors tell no rows
                block_size=LONGEST_ROW,
                column_names=[str(j) for j in range(dialect.n_fields)],
                skip_rows_after_names=dialect.n_lines_above,
            ),
            arrow_csv.ParseOptions(
                delimiter=dialect.separator, invalid_row_handler=_without_comments
            ),
            arrow_csv.ConvertOptions(
                column_types=kinds,
                include_columns=[str(j) for j in places],
                decimal_point=dialect.decimal,
            ),
        )


def _without_comments(row: Any) -> str:
    return "skip" if row.text.startswith("#") else "error"


class _Squeezed(io.RawIOBase):
    """A stream's lines with one space for any white space between values."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            lines = self._stream.readlines(2**20)
            if not lines:
                return 0
            squeezed = b"".join(b" ".join(line.split()) + b"\n" for line in lines)
            self._waiting = memoryview(squeezed)
        part = self._waiting[: len(buffer)]
        buffer[: len(part)] = part
        self._waiting = self._waiting[len(part) :]
        return len(part)


@contextmanager
def _explained(dialect: Dialect) -> Iterator[None]:
    """Turn what Arrow says of a file that it refuses into a user's error."""
    import pyarrow as pa  # noqa: PLC0415

    errors = (pa.ArrowException, OSError, ValueError, OverflowError, *COMPRESSION_ERRORS)
    with unreadable(quoted(dialect.file.path), KIND, *errors):
        try:
            yield
        except pa.ArrowInvalid as error:
            if ragged := _RAGGED.search(str(error)):
                raise _ragged_row(dialect, *map(int, ragged.groups())) from error
            if refused := _NO_NUMBER.search(str(error)):
                raise _no_number(dialect, int(refused[1]), int(refused[2]), refused[3]) from error
            raise


def _row(dialect: Dialect, line: int) -> str:
    """A row of data, given the line that Arrow counted."""
    return f"row {line - dialect.n_lines_above}{dialect.rows_counted}"


def _ragged_row(dialect: Dialect, line: int, n_values: int) -> UserError:
    expected = "the first row" if dialect.names is None else "the header"
    return UserError(
        f"{quoted(dialect.file.path)}, {_row(dialect, line)}: has {n_values} values where "
        f"{expected} has {dialect.n_fields}; give every row as many"
    )


def _no_number(dialect: Dialect, place: int, line: int, cell: str) -> UserError:
    if place == dialect.empty:
        return _ragged_row(dialect, line, dialect.n_fields)
    remedy = "drop the column or encode it as numbers"
    if ";" in cell or "\t" in cell or "|" in cell:
        remedy = "say what separates the columns: --separator"
    elif place in dialect.truth_columns or cell in TRUTH_VALUES:
        remedy = "use either numbers or true and false throughout the column"
    named = str(place + 1)
    if dialect.names is not None:
        named = quoted(dialect.names[dialect.columns.index(place)])
    return UserError(
        f"{quoted(dialect.file.path)}, column {named}, {_row(dialect, line)}: {quoted(cell)} is "
        f"not a number; {remedy}"
    )
