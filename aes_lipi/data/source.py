"""A matrix that stands in a file, before it is read: what the readers of all formats hand over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from aes_lipi.arrays import Float64
from aes_lipi.errors import UserError

# How far a file may be packed: beyond this, a small file would fill the memory.
_ROWS_PER_BYTE = 64
_VALUES_PER_BYTE = 1032  # of one byte each, deflate packs no more
_FREE_ROWS = 2**21
_FREE_VALUES = 2**24
_FREE_PAGE = 2**24


@dataclass(frozen=True)
class Source:
    """A matrix of numbers in a file, read a few columns at a time.

    Attributes:
        label: what errors call the file.
        n_rows: number of rows, without a header.
        n_columns: number of columns.
        read_block: the values of the columns [start, stop), float64 of shape
            (n_rows, stop - start); missing values are NaN.
        column_names: as the file gives them, if it does.
        rows_counted: how errors say what row 1 is, where that is in doubt.
    """

    label: str
    n_rows: int
    n_columns: int
    read_block: Callable[[int, int], Float64]
    column_names: tuple[str, ...] | None = None
    rows_counted: str = ""

    def place(self, row: int, column: int) -> str:
        """Name the file, the column and the 1-based row of a value, given its indices."""
        named = str(column + 1) if self.column_names is None else shown(self.column_names[column])
        return f"{self.label}, column {named}, row {row + 1}{self.rows_counted}"

    def check_not_empty(self) -> None:
        """Refuse a matrix without values.

        Raises:
            UserError: there are no rows or no columns.
        """
        if self.n_columns < 1:
            raise UserError(f"{self.label}: holds no columns; at least one is needed")
        if self.n_rows < 1:
            raise UserError(f"{self.label}: holds no rows{self.rows_counted}; add data to it")


def check_packing(label: str, n_rows: int, n_columns: int, n_bytes: int) -> None:
    """Refuse a small file that unpacks to a huge matrix, before it does.

    Args:
        label: what errors call the file.
        n_rows: rows that the file claims.
        n_columns: columns that it claims.
        n_bytes: its size.

    Raises:
        UserError: it does.
    """
    many_rows = n_rows > max(_FREE_ROWS, _ROWS_PER_BYTE * n_bytes)
    if many_rows or n_rows * n_columns > max(_FREE_VALUES, _VALUES_PER_BYTE * n_bytes):
        raise UserError(
            f"{label}: its {n_bytes} bytes claim {n_rows} rows of {n_columns} columns, more than "
            "is read from a file of this size; write the matrix with numpy.save"
        )


def is_page_plausible(unpacked: int, n_bytes: int) -> bool:
    """Whether a part of a file of `n_bytes` that is unpacked at once may be as large as this."""
    return unpacked <= max(_FREE_PAGE, _VALUES_PER_BYTE * n_bytes)


@contextmanager
def unreadable(label: str, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn the errors that reading a bad file raises into a user's error.

    Args:
        label: what errors call the file.
        kind: the format that the file should be of.
        errors: exceptions that mean the file is bad.

    Raises:
        UserError: one of the errors was raised inside.
    """
    try:
        yield
    except errors as error:
        raise UserError(
            f"{label}: cannot be read ({reason(error)}); check that you may read it, that it is "
            f"complete and that it really is {kind}"
        ) from error


def reason(error: Exception) -> str:
    """What an exception says, on one line."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return one_line(said) or type(error).__name__


def shown(name: object) -> str:
    """A path, a name or a cell for a message: quoted, on one line, printable; long ones cut."""
    text = str(name)
    return repr(text if len(text) <= 200 else text[:197] + "...")


def one_line(text: str) -> str:
    """Text for a message: on one line, printable; long ones cut."""
    line = " ".join(text.split())
    printable = "".join(letter if letter.isprintable() else "?" for letter in line)
    return printable if len(printable) <= 160 else printable[:157] + "..."
