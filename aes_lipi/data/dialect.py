"""What the first lines of a text file show: separator, header, index, and what is in doubt."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TextIO

import numpy as np

from aes_lipi.arrays import Float64
from aes_lipi.config import SEPARATORS
from aes_lipi.data.columns import Wanted
from aes_lipi.data.files import COMPRESSION_ERRORS, DataFile
from aes_lipi.data.source import left_out_index, quoted, unreadable
from aes_lipi.errors import UserError, printable

TRUTH_VALUES = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
LONGEST_ROW = 2**24  # what Arrow parses at a time, too
KIND = "a text file in UTF-8, such as CSV"
SPACE = SEPARATORS["space"]

_NUMBER = re.compile(
    r"[ \t]*[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity)[ \t]*",
    re.IGNORECASE,
)
_WHOLE = re.compile(r"[ \t]*[+-]?[0-9]+[ \t]*")
MISSING = frozenset(
    {
        *("", "NA", "N/A", "n/a", "#NA", "#N/A", "#N/A N/A", "<NA>", "NULL", "null", "None"),
        *("NaN", "nan", "-NaN", "-nan", "1.#QNAN", "-1.#QNAN", "1.#IND", "-1.#IND"),
    }
)
"""What stands for a missing value, as for pandas."""

_LINES, _CHARACTERS, _FEWEST_LINES = 200, 2**20, 6
_ROWS_TO_JUDGE_BY = 3

_Row = list[str]


@dataclass(frozen=True)
class Dialect:
    """How a text file is to be read.

    Attributes:
        file: where it is, and how it is compressed.
        separator: the character between values; a space stands for any white space.
        decimal: point or comma.
        n_fields: values of a row.
        columns: places in a row that hold data.
        names: of these, if there is a header.
        n_lines_above: lines above the first row.
        truth_columns: places of columns that start with true or false.
        empty: place of the nothing behind a separator at the end of every row; none if None.
        index: names of the columns that pandas or R wrote as an index, which are left out.
        text_columns: places of columns of which most of the first values are text.
    """

    file: DataFile
    separator: str
    decimal: str
    n_fields: int
    columns: tuple[int, ...]
    names: tuple[str, ...] | None
    n_lines_above: int
    truth_columns: frozenset[int]
    empty: int | None = None
    index: tuple[str, ...] = ()
    text_columns: frozenset[int] = frozenset()

    def taking(self, wanted: Wanted) -> Dialect:
        """The same of some of the columns.

        Raises:
            UserError: there are no such columns.
        """
        named = len(self.columns) if self.names is None else self.names
        some = self.only(wanted.places(quoted(self.file.path), named))
        return some if wanted.one_hot else replace(some, text_columns=frozenset())

    def only(self, places: Sequence[int]) -> Dialect:
        """The same of the columns at some places of `columns`."""
        columns = tuple(self.columns[j] for j in places)
        names = None if self.names is None else tuple(self.names[j] for j in places)
        return replace(self, columns=columns, names=names)

    @property
    def names_or_numbers(self) -> tuple[str, ...]:
        """The columns' names; their numbers in the file, from 1, where they have none."""
        return self.names or tuple(str(j + 1) for j in self.columns)

    @property
    def rows_counted(self) -> str:
        """How errors say what row 1 is."""
        return " below the header" if self.names is not None else ""

    @property
    def taken(self) -> tuple[str, ...]:
        """What is said of the format, where it is not the commonest."""
        names = {character: name for name, character in SEPARATORS.items()}
        name = names.get(self.separator, quoted(self.separator))
        said = [f"separated by {name}" if self.separator != "," else ""]
        said.append("decimal commas" if self.decimal == "," else "")
        said.append(self.file.compression or "")
        return tuple(each for each in said if each)


@dataclass(frozen=True)
class _Sample:
    """The first lines of a file.

    Attributes:
        label: what errors call the file.
        lines: the first of its lines that are neither comments nor blank, until there are enough.
        places: how many lines of the file each of them ends.
        comment: the last line that begins with # above the first of these, without it.
        whole: whether these are all of its lines.
    """

    label: str
    lines: tuple[str, ...]
    places: tuple[int, ...]
    comment: str
    whole: bool

    def rows(self, separator: str) -> tuple[list[_Row], list[int]]:
        """The rows, and how many lines of the file end with each."""
        lines = self.lines
        if separator == SPACE:
            lines = tuple(" ".join(line.split()) + "\n" for line in lines)
        reader = csv.reader(lines, delimiter=separator)
        rows, places = [], []
        for row in reader:
            rows.append(row)
            places.append(self.places[reader.line_num - 1])
        if not self.whole and len(rows) > 1:  # the last may be cut inside quotation marks
            rows.pop()
        return rows, places


def look_at(file: DataFile, header: str, separator: str) -> Dialect:
    """Find out how a text file is to be read.

    Args:
        file: the file.
        header: whether its first line names the columns: `yes`, `no`, or `auto` to find out.
        separator: a name in `SEPARATORS`, a character, or `auto` to find out.

    Raises:
        UserError: the file has no row of data, is no text, has a row that is too long, a column of
            the header has no name or that of another, or it is in doubt whether the first line is a
            header; say which by --header yes or --header no.
    """
    label = quoted(file.path)
    with unreadable(label, KIND, OSError, ValueError, csv.Error, *COMPRESSION_ERRORS):
        with (
            file.opened() as stream,
            io.TextIOWrapper(stream, "utf-8-sig", newline="") as text,
        ):
            sample = _sample(text, label)
        if not sample.lines:
            raise UserError(f"{label}: holds no rows; add data to it")
        return _dialect(file, sample, header, *_separated(sample, separator))


def _sample(stream: TextIO, label: str) -> _Sample:
    lines: list[str] = []
    places: list[int] = []
    comment, length, whole = "", 0, True
    for number, line in enumerate(_lines(stream, label), start=1):
        is_comment = line.startswith("#")
        if is_comment and not lines:
            comment = line[1:].strip()
        if line.strip() and not is_comment:
            if len(lines) >= _LINES or (length > _CHARACTERS and len(lines) >= _FEWEST_LINES):
                whole = False
                break
            lines.append(line)
            places.append(number)
            length += len(line)
    return _Sample(label, tuple(lines), tuple(places), comment, whole)


def _lines(stream: TextIO, label: str) -> Iterator[str]:
    while line := stream.readline(LONGEST_ROW):
        if len(line) == LONGEST_ROW:
            raise UserError(
                f"{label}: has a row of more than {LONGEST_ROW >> 20} million characters; end "
                "every row with a line break, or write the matrix with numpy.save"
            )
        yield line


def _separated(sample: _Sample, wanted: str) -> tuple[str, str]:
    """The separator and the decimal sign: the first under which all rows hold numbers."""
    characters = tuple(SEPARATORS.values())
    if wanted != "auto":
        characters = (SEPARATORS.get(wanted, wanted),)
    alike = []
    for character in characters:
        rows, _ = sample.rows(character)
        widths = {len(row) for row in rows[1:] or rows}
        if len(widths) != 1 or (widths == {1} and len(characters) > 1):
            continue
        alike.append(character)
        below = [cell for row in rows[1:] or rows for cell in row[_n_words(row) :]]
        for decimal in "." if character == "," else ".,":
            if all(_is_value(cell, decimal) for cell in below):
                return character, decimal
    alike = [each for each in alike if each != SPACE]
    return (alike[0] if len(alike) == 1 else characters[0]), "."


def _n_words(row: _Row) -> int:
    """1 if a row begins with a name, as R and pandas write them, else 0."""
    return int(len(row) > 1 and not _is_value(row[0], ".") and not _is_value(row[0], ","))


def _dialect(file: DataFile, sample: _Sample, header: str, separator: str, decimal: str) -> Dialect:
    rows, places = sample.rows(separator)
    first, below = rows[0], rows[1:]
    names = None if header == "no" else _commented(sample.comment, separator, len(first))
    n_lines_above = sample.places[0] - 1
    is_header = _is_header(sample.label, header, rows, decimal, named=names is not None)
    if is_header:
        names, n_lines_above = first, places[0]
    body = below if is_header else rows
    if not body:
        raise UserError(f"{sample.label}: holds no rows below the header; add data to it")
    n_fields, empty = _width(names, body)
    named = None if names is None else _aligned(names, body, n_fields, empty)
    columns = [j for j in range(n_fields) if j != empty]
    index: tuple[str, ...] = ()
    if named is not None:
        left_out = left_out_index(named, lambda j: [row[j] for row in body if j < len(row)])
        index = tuple(named[j] for j in left_out)
        columns = [j for j in columns if j not in left_out]
        _check_names(sample.label, named, columns)
    if not columns:
        raise UserError(f"{sample.label}: holds no columns but an index; at least one is needed")
    return Dialect(
        file=file,
        separator=separator,
        decimal=decimal,
        n_fields=n_fields,
        columns=tuple(columns),
        names=None if named is None else tuple(named[j] for j in columns),
        n_lines_above=n_lines_above,
        truth_columns=frozenset(j for j in columns if _first_of(body, j) in TRUTH_VALUES),
        empty=empty,
        index=index,
        text_columns=frozenset(j for j in columns if _is_text(body, j, decimal)),
    )


def _first_of(body: Sequence[_Row], j: int) -> str:
    """The first value of a column that is there; empty without any."""
    return next((row[j] for row in body if j < len(row) and row[j] not in MISSING), "")


def _is_text(body: Sequence[_Row], j: int, decimal: str) -> bool:
    """Whether most values of a column are text, of those that are there."""
    cells = [row[j] for row in body if j < len(row) and row[j] not in MISSING]
    return sum(not _is_value(cell, decimal) for cell in cells) * 2 > len(cells)


def _commented(comment: str, separator: str, width: int) -> _Row | None:
    """Names in a line like `# a b c` above the rows, as numpy.savetxt writes them."""
    for each in dict.fromkeys((separator, ",", SPACE)):
        names = comment.split() if each == SPACE else comment.split(each)
        names = [name.strip() for name in names]
        if len(names) == width and not all(_is_value(name, ".") for name in names):
            return names
    return None


def _width(names: _Row | None, body: Sequence[_Row]) -> tuple[int, int | None]:
    """Values of a row, and the place of the nothing behind a separator at its end, if any."""
    width = len(body[0] if names is None else names)
    widths = {len(row) for row in body}
    closed = all(len(row) > 1 and not row[-1] for row in body)
    if closed and widths == {width + 1} and names is not None:
        return width + 1, width
    if closed and widths == {width} and (names is None or not names[-1].strip()):
        return width, width - 1
    if widths == {width + 1} and names is not None and _counts([row[0] for row in body]):
        return width + 1, None  # R leaves the names of the rows without a name of their own
    return width, None


def _counts(cells: Sequence[str]) -> bool:
    """Whether cells are names, or numbers that count up by one."""
    if not any(_is_value(cell, ".") for cell in cells):
        return True
    whole = len(cells) > 1 and all(_WHOLE.fullmatch(cell) for cell in cells)
    return whole and all(int(b) == int(a) + 1 for a, b in pairwise(cells))


def _aligned(names: _Row, body: Sequence[_Row], n_fields: int, empty: int | None) -> _Row:
    """The names, one for each place in a row."""
    missing = n_fields - len(names)
    return [*names, *[""] * missing] if empty is not None else [*[""] * missing, *names]


def _check_names(label: str, names: _Row, columns: Sequence[int]) -> None:
    for j in columns:
        if not names[j].strip():
            raise UserError(
                f"{label}, column {j + 1}: has no name in the header; name it or drop it (pandas "
                "writes no index with to_csv(..., index=False))"
            )
    known: dict[str, int] = {}
    for j in columns:
        if names[j] in known:
            raise UserError(
                f"{label}, column {quoted(names[j])}: columns {known[names[j]] + 1} and {j + 1} "
                "have this name; rename or drop all but one"
            )
        known[names[j]] = j


def _is_header(label: str, header: str, rows: Sequence[_Row], decimal: str, *, named: bool) -> bool:
    """Whether the first row names the columns.

    It does if one of its values is no number, or if it counts 0, 1, 2, ... as the names that pandas
    gives to columns without names.

    Raises:
        UserError: it might do: all its numbers differ, and they count up in equal steps, or are
            unlike those below.
    """
    first, below = rows[0], rows[1:]
    is_text = not all(_is_value(cell, decimal) for cell in first)
    if header != "auto" or is_text:
        if header == "auto" and _is_like(first, below, decimal):
            raise _doubtful(label, first)
        return header != "no" and (is_text or not named)
    labelled = all(row and row[0].strip() for row in below)
    corner = int(len(first) > 1 and not first[0].strip() and labelled)
    numbers = [cell.strip() for cell in first[corner:]]
    if numbers and not numbers[-1]:
        numbers = numbers[:-1]  # behind a separator at the end
    if (
        not numbers
        or len(set(numbers)) < len(numbers)
        or not all(_is_number(cell, decimal) for cell in numbers)
    ):
        return False
    if numbers == [str(j) for j in range(len(numbers))] and len(numbers) > (0 if corner else 2):
        return True
    body = [row[corner : corner + len(numbers)] for row in below]
    if named or not (_steps_up(numbers, decimal) or _is_unlike(numbers, body, decimal)):
        return False
    if corner:
        return True
    raise _doubtful(label, numbers)


def _doubtful(label: str, first: Sequence[str]) -> UserError:
    shown = ", ".join(map(printable, first[:4])) + (", ..." if len(first) > 4 else "")
    return UserError(
        f"{label}: its first line ({shown}) may name the columns, or be a row of data; say which: "
        "--header yes, or --header no"
    )


def _is_like(first: _Row, below: Sequence[_Row], decimal: str) -> bool:
    """Whether a row with text is like those below: numbers where they hold numbers, and only there.

    So in a table without a header, of which columns hold text.
    """
    if len(below) < _ROWS_TO_JUDGE_BY or {len(row) for row in below} != {len(first)}:
        return False
    is_number = [all(_is_value(row[j], decimal) for row in below) for j in range(len(first))]
    given = [bool(cell.strip()) and _is_value(cell, decimal) for cell in first]
    return any(is_number) and given == is_number


def _steps_up(numbers: Sequence[str], decimal: str) -> bool:
    """Whether three numbers or more rise in equal steps."""
    values = _values([numbers], decimal)[0]
    steps = np.diff(values)
    return len(values) > 2 and steps[0] > 0 and bool(np.allclose(steps, steps[0], 1e-9, 0.0))


def _is_unlike(numbers: Sequence[str], below: Sequence[_Row], decimal: str) -> bool:
    """Whether most numbers of the first row are unlike those of their columns below.

    They lie far beyond these, or are whole where these are not.
    """
    body = [row for row in below if len(row) == len(numbers)]
    if len(body) < _ROWS_TO_JUDGE_BY:
        return False
    values = _values(body, decimal)
    known = np.where(np.isfinite(values), values, np.nan)
    with np.errstate(all="ignore"):
        low, high = np.fmin.reduce(known), np.fmax.reduce(known)
        given = _values([numbers], decimal)[0]
        far = (given > high + (high - low)) | (given < low - (high - low))
    fractions = np.array([[not _WHOLE.fullmatch(cell) for cell in row] for row in body])
    whole = np.array([bool(_WHOLE.fullmatch(cell)) for cell in numbers])
    other = whole & (fractions.mean(axis=0) >= 0.9)
    return bool((far | other).mean() > 0.5)


def _values(rows: Sequence[Sequence[str]], decimal: str) -> Float64:
    return np.array([[_value(cell, decimal) for cell in row] for row in rows], np.float64)


def _value(cell: str, decimal: str) -> float:
    return float(cell.replace(decimal, ".")) if _is_number(cell, decimal) else np.nan


def _is_number(cell: str, decimal: str) -> bool:
    if decimal == ",":
        cell = "" if "." in cell else cell.replace(",", ".")
    return bool(_NUMBER.fullmatch(cell))


def _is_value(cell: str, decimal: str) -> bool:
    return _is_number(cell, decimal) or cell in MISSING or cell in TRUTH_VALUES
