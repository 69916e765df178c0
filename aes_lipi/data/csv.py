"""Matrices from text files, as CSV: Arrow reads them, and here it is told how."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from aes_lipi.data.columns import EVERYTHING, Wanted, check_categories, untaken
from aes_lipi.data.dialect import KIND, LONGEST_ROW, MISSING, SPACE, TRUTH_VALUES, Dialect, look_at
from aes_lipi.data.files import COMPRESSION_ERRORS, DataFile
from aes_lipi.data.source import Block, Source, float64_block, numbered, quoted, unreadable
from aes_lipi.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMNS_AT_A_TIME = 2**13  # Arrow takes some 10 KB for each column that it converts

# What Arrow says of rows and cells that it refuses; its rows are counted from the file's first.
_RAGGED = re.compile(r"Row #(\d+): Expected \d+ columns, got (\d+)")
_NO_NUMBER = re.compile(r"CSV column #(\d+): Row #(\d+): .*? invalid value '(.*)'$", re.DOTALL)


def csv_source(
    file: DataFile, header: str = "auto", separator: str = "auto", wanted: Wanted = EVERYTHING
) -> Source:
    """Look through a text file whose columns are numbers, or true and false, or text if wanted.

    Blank lines and lines that begin with # do not count as rows. Numbers are read to the nearest
    float64, as Python's `float` does. For what is found out, see `look_at`.

    Raises:
        UserError: the file cannot be read, it is in doubt how, or rows differ in length; give every
            row as many values.
    """
    dialect = look_at(file, header, separator).taking(wanted)
    n_rows, categories = _categories(dialect)
    n_columns = len(dialect.columns)

    def blocks() -> Iterator[Block]:
        for start in range(0, n_columns, _COLUMNS_AT_A_TIME):
            columns = slice(start, min(start + _COLUMNS_AT_A_TIME, n_columns))
            row = 0
            for batch in _batches(dialect, columns):
                found = batch.columns[: columns.stop - start]
                numbers = [
                    each if texts is None else numbered(each, texts)
                    for each, texts in zip(found, categories[columns], strict=True)
                ]
                yield slice(row, row + len(batch)), columns, float64_block(numbers)
                row += len(batch)

    return Source(
        quoted(file.path),
        n_rows,
        n_columns,
        blocks,
        dialect.names if wanted.is_all else dialect.names_or_numbers,
        dialect.rows_counted,
        dialect.index,
        dialect.taken,
        tuple(categories) if any(each is not None for each in categories) else (),
    )


def _categories(dialect: Dialect) -> tuple[int, list[tuple[str, ...] | None]]:
    """The number of rows, and of each column its texts if it is one of text.

    Raises:
        UserError: a column has too many texts; leave it out.
    """
    places = [k for k, j in enumerate(dialect.columns) if j in dialect.text_columns]
    some, n_rows = dialect.only(places or [0]), 0
    texts = {k: set[str]() for k in places}
    for batch in _batches(some, slice(0, len(some.columns)), whole=dialect):
        n_rows += len(batch)
        for k, cells in zip(places, batch.columns, strict=False):
            texts[k].update(cells.unique().drop_null().to_pylist())
            name = _named(dialect, dialect.columns[k])
            check_categories(f"{quoted(dialect.file.path)}, column {name}", len(texts[k]))
    if 0 in places and dialect.columns[0] == 0:
        _refuse_comments(dialect, texts[0])
    found = [tuple(sorted(texts[k])) if k in texts else None for k in range(len(dialect.columns))]
    return n_rows, found


def _refuse_comments(dialect: Dialect, texts: set[str]) -> None:
    """Refuse a line that begins with # and has as many values as a row.

    Raises:
        UserError: there is one; remove it, or leave the column out.
    """
    if comment := next((each for each in sorted(texts) if each.startswith("#")), None):
        raise UserError(
            f"{quoted(dialect.file.path)}: a line begins with {quoted(comment)}, as comments do, "
            "and has as many values as a row; remove such lines, or leave the column out with "
            "--drop_columns"
        )


def _batches(
    dialect: Dialect, columns: slice, *, as_text: bool = False, whole: Dialect | None = None
) -> Iterator[pa.RecordBatch]:
    """Some columns of the rows below the header, so many rows at a time as fit into a block."""
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    from pyarrow import csv as arrow_csv  # noqa: PLC0415

    places = list(dialect.columns[columns])
    text = frozenset(places) if as_text else dialect.text_columns
    truths = dialect.truth_columns - text
    kinds = {str(j): pa.bool_() if j in truths else pa.float64() for j in places}
    kinds |= {str(j): pa.string() for j in places if j in text}
    if dialect.empty is not None:
        places.append(dialect.empty)
        kinds[str(dialect.empty)] = pa.null()
    with _explained(whole or dialect), dialect.file.opened() as stream:
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
                null_values=sorted(MISSING),
                strings_can_be_null=True,
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
    remedy = ""
    if place == 0 and cell.startswith("#"):
        remedy = "remove lines that begin with #, or the value"
    elif ";" in cell or "\t" in cell or "|" in cell:
        remedy = "say what separates the columns: --separator"
    elif place in dialect.truth_columns or cell in TRUTH_VALUES:
        remedy = "use either numbers or true and false throughout the column"
    problem = (
        f"{quoted(dialect.file.path)}, column {_named(dialect, place)}, {_row(dialect, line)}: "
        f"{quoted(cell)} is not a number"
    )
    return UserError(f"{problem}; {remedy}") if remedy else untaken(problem, **_counted(dialect))


def _named(dialect: Dialect, place: int) -> str:
    """A column by its name; by its number in the file where it has none."""
    if dialect.names is None:
        return str(place + 1)
    return quoted(dialect.names[dialect.columns.index(place)])


_ANY_NUMBER = (
    r"(?i)^[ \t]*(?:[+-]?(?:(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:e[+-]?[0-9]+)?|nan"
    r"|inf(?:inity)?)|true|false)[ \t]*$"
)


def _counted(dialect: Dialect) -> dict[str, dict[str, int]]:
    """How many cells are text, and how many are missing, by the names of columns."""
    import pyarrow.compute as pc  # noqa: PLC0415 - slow to import

    names = dialect.names_or_numbers
    text, missing = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for start in range(0, len(names), _COLUMNS_AT_A_TIME):
        columns = slice(start, min(start + _COLUMNS_AT_A_TIME, len(names)))
        for batch in _batches(dialect, columns, as_text=True):
            for name, cells in zip(names[columns], batch.columns, strict=False):
                is_number = pc.match_substring_regex(cells, _ANY_NUMBER)
                text[name] += pc.sum(pc.invert(is_number)).as_py() or 0
                missing[name] += cells.null_count
    counts = {"text": text, "missing": missing}
    return {what: {name: n for name, n in each.items() if n} for what, each in counts.items()}
