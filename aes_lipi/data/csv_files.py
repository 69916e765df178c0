"""Matrices from CSV files, with or without a header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from aes_lipi.arrays import Float64
from aes_lipi.data.arrow_columns import float64_block
from aes_lipi.data.source import Source, shown, unreadable
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
_LONGEST_ROW = 2**24
_MOST_COLUMNS = 2**20
_COLUMNS_AT_A_TIME = 2**13  # Arrow takes some 10 KB for each column that it converts
_KIND = "a CSV file in UTF-8"


@dataclass(frozen=True)
class _Layout:
    """What the first rows show.

    Attributes:
        n_columns: number of columns.
        names: of the columns, if there is a header.
        n_header_lines: lines up to the end of the header; 0 without one.
        truth_columns: indices of columns that start with true or false.
    """

    n_columns: int
    names: tuple[str, ...] | None
    n_header_lines: int
    truth_columns: frozenset[int]

    @property
    def rows_counted(self) -> str:
        """How errors say what row 1 is."""
        return " below the header" if self.names is not None else ""


@contextmanager
def csv_source(path: Path) -> Iterator[Source]:
    """Read a CSV file whose columns are numbers, or true and false.

    The first row is a header if one of its cells is no number, or if it counts 0, 1, 2, ... as the
    names that pandas gives to columns without names. Blank lines do not count as rows. The table is
    held as float64 until the source is let go.

    Raises:
        UserError: the file cannot be read, a cell is no number, or rows differ in length.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import

    label = shown(path)
    layout = _layout(path, label)
    errors = (pa.ArrowException, OSError, ValueError, EOFError, OverflowError)
    with unreadable(label, _KIND, *errors):
        try:
            starts = range(0, layout.n_columns, _COLUMNS_AT_A_TIME)
            tables = [_parsed(path, layout, start) for start in starts]
        except pa.ArrowInvalid:
            _explain(path, label, layout)
            raise
    rows = len(tables[0])

    def column(j: int) -> pa.ChunkedArray:
        return tables[j // _COLUMNS_AT_A_TIME].column(j % _COLUMNS_AT_A_TIME)

    def read_block(start: int, stop: int) -> Float64:
        with unreadable(label, _KIND, *errors):
            return float64_block([column(j) for j in range(start, stop)], rows)

    source = Source(label, rows, layout.n_columns, read_block, layout.names, layout.rows_counted)
    source.check_not_empty()
    yield source


def _parsed(path: Path, layout: _Layout, start: int) -> pa.Table:
    """Some columns of the table under the header, from `start` on; their names are indices."""
    import pyarrow as pa  # noqa: PLC0415
    from pyarrow import csv as arrow_csv  # noqa: PLC0415

    names = [str(j) for j in range(layout.n_columns)]
    wanted = names[start : start + _COLUMNS_AT_A_TIME]
    truth_values = {str(j) for j in layout.truth_columns}
    kinds = {name: pa.bool_() if name in truth_values else pa.float64() for name in wanted}
    with path.open("rb") as stream:
        return arrow_csv.read_csv(
            stream,
            arrow_csv.ReadOptions(
                use_threads=False,
                block_size=_LONGEST_ROW,
                column_names=names,
                skip_rows_after_names=layout.n_header_lines,
            ),
            arrow_csv.ParseOptions(),
            arrow_csv.ConvertOptions(column_types=kinds, include_columns=wanted),
        )


def _layout(path: Path, label: str) -> _Layout:
    """Look at the first two rows that are not blank.

    Raises:
        UserError: there is no row of data, the rows are no CSV, a row is too long, or a column of
            the header has no name.
    """
    rows = _rows(path, label, "strict")
    first, line = next(rows, ([], 0))
    if not first:
        raise UserError(f"{label}: holds no rows; add data to it")
    if len(first) > _MOST_COLUMNS:
        raise UserError(
            f"{label}: has {len(first)} columns, more than {_MOST_COLUMNS}; leave some out, or "
            "write the matrix with numpy.save"
        )
    if not _is_header(first):
        return _Layout(len(first), None, 0, _truth_columns(first))
    for j, name in enumerate(first):
        if not name.strip():
            raise UserError(
                f"{label}, column {j + 1}: has no name in the header; name it or drop it (pandas "
                "writes no index with to_csv(..., index=False))"
            )
    second, _ = next(rows, ([], 0))
    if not second:
        raise UserError(f"{label}: holds no rows below the header; add data to it")
    return _Layout(len(first), tuple(first), line, _truth_columns(second))


def _rows(path: Path, label: str, undecodable: str) -> Iterator[tuple[list[str], int]]:
    """The rows that are not blank, each with the number of lines up to its end."""
    with (
        unreadable(label, _KIND, OSError, ValueError, csv.Error),
        path.open(encoding="utf-8-sig", errors=undecodable, newline="") as stream,
    ):
        lines = _Lines(stream, label)
        reader = csv.reader(lines)
        for row in reader:
            lines.taken = 0
            if row:
                yield row, reader.line_num


class _Lines:
    """The lines of a file, as long as they make no endless row.

    Attributes:
        taken: characters since it was last set to 0.
    """

    def __init__(self, stream: TextIO, label: str) -> None:
        self._stream = stream
        self._label = label
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._stream.readline(_LONGEST_ROW)
        self.taken += len(line)
        if self.taken >= _LONGEST_ROW:
            raise UserError(
                f"{self._label}: has a row of more than {_LONGEST_ROW >> 20} million characters; "
                "end every row with a line break, or write the matrix with numpy.save"
            )
        if not line:
            raise StopIteration
        return line


def _is_header(row: Sequence[str]) -> bool:
    is_counted = len(row) > 2 and all(cell == str(j) for j, cell in enumerate(row))
    return is_counted or not all(_is_value(cell) for cell in row)


def _is_value(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell)) or cell in _MISSING or cell in _TRUTH_VALUES


def _truth_columns(row: Sequence[str]) -> frozenset[int]:
    return frozenset(j for j, cell in enumerate(row) if cell in _TRUTH_VALUES)


def _explain(path: Path, label: str, layout: _Layout) -> None:
    """Find the first place where a file that Arrow refused is wrong.

    Raises:
        UserError: always, unless nothing wrong is found.
    """
    n_heads = 0 if layout.names is None else 1
    for number, (row, _) in enumerate(_rows(path, label, "replace"), start=1 - n_heads):
        if number < 1:
            continue
        place = f"row {number}{layout.rows_counted}"
        if len(row) != layout.n_columns:
            expected = "the first row" if layout.names is None else "the header"
            raise UserError(
                f"{label}, {place}: has {len(row)} values where {expected} has "
                f"{layout.n_columns}; give every row as many"
            )
        for j, cell in enumerate(row):
            if not _fits(cell, j in layout.truth_columns):
                column = str(j + 1) if layout.names is None else shown(layout.names[j])
                raise UserError(
                    f"{label}, column {column}, {place}: {shown(cell)} is not a number; "
                    f"{_remedy(cell, j in layout.truth_columns)}"
                )


def _fits(cell: str, is_truth_column: bool) -> bool:
    if cell in _MISSING:
        return True
    if is_truth_column:
        return cell in _TRUTH_VALUES or cell in ("0", "1")
    return bool(_NUMBER.fullmatch(cell))


def _remedy(cell: str, is_truth_column: bool) -> str:
    if ";" in cell or "\t" in cell:
        return "separate columns with commas, and decimals with points"
    if is_truth_column or cell in _TRUTH_VALUES:
        return "use either numbers or true and false throughout the column"
    return "drop the column or encode it as numbers"
