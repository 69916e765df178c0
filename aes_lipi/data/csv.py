"""Matrices from CSV files, with or without a header: Arrow reads them, here it is told how."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from aes_lipi.data.source import Block, Source, float64_block, quoted, unreadable
from aes_lipi.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBER = re.compile(
    r"[ \t]*[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity)[ \t]*",
    re.IGNORECASE,
)
_TRUTH_VALUES = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
# What Arrow takes for a missing number.
_MISSING = frozenset(
    {
        *("", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "NULL", "null", "NaN", "nan"),
        *("-NaN", "-nan", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"),
    }
)
_LONGEST_ROW = 2**24  # what Arrow parses at a time, too
_COLUMNS_AT_A_TIME = 2**13  # Arrow takes some 10 KB for each column that it converts
_KIND = "a CSV file in UTF-8"

# What Arrow says of rows and cells that it refuses; its rows are counted from the file's first.
_RAGGED = re.compile(r"Row #(\d+): Expected \d+ columns, got (\d+)")
_NO_NUMBER = re.compile(r"CSV column #(\d+): Row #(\d+): .*? invalid value '(.*)'$", re.DOTALL)


@dataclass(frozen=True)
class _Layout:
    """What the first rows show.

    Attributes:
        path: of the file.
        n_columns: number of columns.
        names: of the columns, if there is a header.
        n_header_lines: lines up to the end of the header; 0 without one.
        truth_columns: indices of columns that start with true or false.
    """

    path: Path
    n_columns: int
    names: tuple[str, ...] | None
    n_header_lines: int
    truth_columns: frozenset[int]

    @property
    def rows_counted(self) -> str:
        """How errors say what row 1 is."""
        return " below the header" if self.names is not None else ""


def csv_source(path: Path) -> Source:
    """Look through a CSV file whose columns are numbers, or true and false.

    The first row is a header if one of its cells is no number, or if it counts 0, 1, 2, ... as the
    names that pandas gives to columns without names. Blank lines do not count as rows. Numbers are
    read to the nearest float64, as Python's `float` does.

    Raises:
        UserError: the file cannot be read, or rows differ in length; give every row as many values.
    """
    layout = _layout(path)
    n_rows = sum(len(batch) for batch in _batches(layout, slice(0, 1)))

    def blocks() -> Iterator[Block]:
        for start in range(0, layout.n_columns, _COLUMNS_AT_A_TIME):
            columns = slice(start, min(start + _COLUMNS_AT_A_TIME, layout.n_columns))
            row = 0
            for batch in _batches(layout, columns):
                yield slice(row, row + len(batch)), columns, float64_block(batch.columns)
                row += len(batch)

    return Source(quoted(path), n_rows, layout.n_columns, blocks, layout.names, layout.rows_counted)


def _batches(layout: _Layout, columns: slice) -> Iterator[pa.RecordBatch]:
    """Some columns of the rows below the header, so many rows at a time as fit into a block."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    from pyarrow import csv as arrow_csv  # noqa: PLC0415

    names = [str(j) for j in range(layout.n_columns)]
    kinds = {name: pa.float64() for name in names[columns]}
    kinds |= {str(j): pa.bool_() for j in layout.truth_columns}
    with _explained(layout), layout.path.open("rb") as stream:
        yield from arrow_csv.open_csv(
            stream,
            arrow_csv.ReadOptions(
                use_threads=False,  # else errors tell no rows
                block_size=_LONGEST_ROW,
                column_names=names,
                skip_rows_after_names=layout.n_header_lines,
            ),
            arrow_csv.ParseOptions(),
            arrow_csv.ConvertOptions(column_types=kinds, include_columns=names[columns]),
        )


@contextmanager
def _explained(layout: _Layout) -> Iterator[None]:
    """Turn what Arrow says of a file that it refuses into a user's error."""
    import pyarrow as pa  # noqa: PLC0415

    errors = (pa.ArrowException, OSError, ValueError, EOFError, OverflowError)
    with unreadable(quoted(layout.path), _KIND, *errors):
        try:
            yield
        except pa.ArrowInvalid as error:
            if ragged := _RAGGED.search(str(error)):
                raise _ragged_row(layout, *map(int, ragged.groups())) from error
            if refused := _NO_NUMBER.search(str(error)):
                raise _no_number(layout, int(refused[1]), int(refused[2]), refused[3]) from error
            raise


def _ragged_row(layout: _Layout, line: int, n_values: int) -> UserError:
    expected = "the first row" if layout.names is None else "the header"
    return UserError(
        f"{quoted(layout.path)}, row {line - layout.n_header_lines}{layout.rows_counted}: has "
        f"{n_values} values where {expected} has {layout.n_columns}; give every row as many"
    )


def _no_number(layout: _Layout, column: int, line: int, cell: str) -> UserError:
    is_truth_column = column in layout.truth_columns
    remedy = "drop the column or encode it as numbers"
    if ";" in cell or "\t" in cell:
        remedy = "separate columns with commas, and decimals with points"
    elif is_truth_column or cell in _TRUTH_VALUES:
        remedy = "use either numbers or true and false throughout the column"
    named = str(column + 1) if layout.names is None else quoted(layout.names[column])
    return UserError(
        f"{quoted(layout.path)}, column {named}, row {line - layout.n_header_lines}"
        f"{layout.rows_counted}: {quoted(cell)} is not a number; {remedy}"
    )


def _layout(path: Path) -> _Layout:
    """Look at the first two rows that are not blank.

    Raises:
        UserError: the file has no row of data, is no CSV, has a row that is too long, or a column
            of
            the header has no name.
    """
    label = quoted(path)
    with (
        unreadable(label, _KIND, OSError, ValueError, csv.Error),
        path.open(encoding="utf-8-sig", newline="") as stream,
    ):
        reader = csv.reader(_lines(stream, label))
        rows = ((row, reader.line_num) for row in reader if row)
        first, line = next(rows, ([], 0))
        second, _ = next(rows, ([], 0))
    if not first:
        raise UserError(f"{label}: holds no rows; add data to it")
    if not _is_header(first):
        return _Layout(path, len(first), None, 0, _truth_columns(first))
    for j, name in enumerate(first):
        if not name.strip():
            raise UserError(
                f"{label}, column {j + 1}: has no name in the header; name it or drop it (pandas "
                "writes no index with to_csv(..., index=False))"
            )
    if not second:
        raise UserError(f"{label}: holds no rows below the header; add data to it")
    return _Layout(path, len(first), tuple(first), line, _truth_columns(second))


def _lines(stream: TextIO, label: str) -> Iterator[str]:
    while line := stream.readline(_LONGEST_ROW):
        if len(line) == _LONGEST_ROW:
            raise UserError(
                f"{label}: has a row of more than {_LONGEST_ROW >> 20} million characters; end "
                "every row with a line break, or write the matrix with numpy.save"
            )
        yield line


def _is_header(row: Sequence[str]) -> bool:
    is_counted = len(row) > 2 and all(cell == str(j) for j, cell in enumerate(row))
    return is_counted or not all(_is_value(cell) for cell in row)


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell)) or cell in _MISSING or cell in _TRUTH_VALUES


def _truth_columns(row: Sequence[str]) -> frozenset[int]:
    return frozenset(j for j, cell in enumerate(row) if cell in _TRUTH_VALUES)
