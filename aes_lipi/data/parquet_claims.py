"""What a Parquet file claims to hold, before any of it is unpacked.

Arrow takes memory by what the headers of pages and the footer say, which need not agree with each
other or with the file's size. They are structures in Thrift's compact protocol and are read here,
since pyarrow ends the process when it shows the metadata of some damaged columns.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, Any

_LONGEST_HEADER = 2**14  # bytes of a page's header; Arrow writes statistics of some 4 KB at most

# Fields of the format's structures, by their numbers.
_ROWS, _GROUPS, _CHUNKS, _COLUMN = 3, 4, 1, 3
_TYPE, _VALUES, _UNPACKED, _PACKED, _DATA, _DICTIONARY = 1, 5, 6, 7, 9, 11
_PAGE_UNPACKED, _PAGE_PACKED = 2, 3
_OF_ANY_LENGTH = (6, 7)  # types

# Thrift's kinds of values.
_TRUE, _FALSE, _BYTE, _NUMBERS, _DOUBLE, _BINARY, _LISTS, _STRUCTURE = (
    *(1, 2, 3, (4, 5, 6), 7, 8, (9, 10), 12),
)

_Structure = Mapping[int, Any]


@dataclass(frozen=True)
class Claims:
    """What a file claims.

    Attributes:
        n_rows: rows of the table, or values of a column if those are more.
        size: bytes of the table at most, once it is unpacked.
        largest_page: bytes of the largest page, once it is unpacked.
    """

    n_rows: int
    size: int
    largest_page: int


def parquet_claims(stream: IO[bytes]) -> Claims:
    """Read what a file claims.

    Raises:
        ValueError: it is no Parquet file, or damaged.
    """
    try:
        return _claims(stream)
    except (LookupError, TypeError, AttributeError, OverflowError, RecursionError, OSError):
        raise ValueError("its footer or a page's header is damaged") from None


def _claims(stream: IO[bytes]) -> Claims:
    footer = _footer(stream)
    groups = [[chunk[_COLUMN] for chunk in group[_CHUNKS]] for group in footer[_GROUPS]]
    columns = [column for group in groups for column in group]
    longest = sum(max((column[_VALUES] for column in group), default=0) for group in groups)
    return Claims(
        n_rows=max(longest, footer[_ROWS]),
        size=sum(map(_size, columns)),
        largest_page=max((page for each in columns for page in _pages(stream, each)), default=0),
    )


def _footer(stream: IO[bytes]) -> _Structure:
    end = stream.seek(-8, io.SEEK_END)
    length = int.from_bytes(stream.read(4), "little")
    stream.seek(end - length)
    return _structure(stream.read(length), 0)[0]


def _size(column: _Structure) -> int:
    """Bytes of a column's values at most: texts may all be as long as everything that is packed."""
    n_values, each = column[_VALUES], column[_UNPACKED] if column[_TYPE] in _OF_ANY_LENGTH else 8
    if not (isinstance(each, int) and isinstance(n_values, int)):
        raise ValueError("a column's size is no number")
    if each < 0 or n_values < 0:
        raise ValueError("a column claims less than nothing")
    return each * n_values


def _pages(stream: IO[bytes], column: _Structure) -> Iterator[int]:
    """What the pages of a column claim, in their order."""
    place = column[_DATA]
    if 0 < column.get(_DICTIONARY, 0) < place:
        place = column[_DICTIONARY]
    end = place + column[_PACKED]
    while place < end and column[_VALUES] > 0:
        stream.seek(place)
        sizes, length = _structure(stream.read(_LONGEST_HEADER), 0)
        if sizes[_PAGE_PACKED] < 0:
            raise ValueError("a page claims less than nothing")
        yield sizes[_PAGE_UNPACKED]
        place += length + sizes[_PAGE_PACKED]


# These functions are called for every field of every column of every file of a study: they hand on
# places in the content rather than keep them, and read short numbers inline.


def _structure(content: bytes, place: int) -> tuple[dict[int, Any], int]:
    """The values of a structure by their fields, and the place behind it."""
    found: dict[int, Any] = {}
    field = 0
    while head := content[place]:
        place += 1
        kind = head & 15
        if head >> 4:
            field += head >> 4
        else:
            field, place = _signed(content, place)
        if kind in _NUMBERS:
            number = content[place]
            place += 1
            if number & 128:
                number, place = _unsigned(content, place - 1)
            found[field] = number >> 1 ^ -(number & 1)
        elif kind in (_TRUE, _FALSE):
            found[field] = kind == _TRUE
        else:
            found[field], place = _value(content, place, kind)
    return found, place + 1


def _value(content: bytes, place: int, kind: int) -> tuple[Any, int]:
    """A value of a kind, and the place behind it."""
    if kind == _BINARY:
        length, place = _unsigned(content, place)
        return _bytes(content, place, length)
    if kind == _STRUCTURE:
        return _structure(content, place)
    if kind in _LISTS:
        return _list(content, place)
    if kind in _NUMBERS:
        return _signed(content, place)
    if kind in (_TRUE, _FALSE, _BYTE):
        return content[place], place + 1
    if kind == _DOUBLE:
        return _bytes(content, place, 8)
    raise ValueError("a value is of no known kind")


def _list(content: bytes, place: int) -> tuple[list[Any], int]:
    head = content[place]
    place += 1
    length, kind = head >> 4, head & 15
    if length == 15:
        length, place = _unsigned(content, place)
    values = []
    for _ in range(length):
        value, place = _value(content, place, kind)
        values.append(value)
    return values, place


def _signed(content: bytes, place: int) -> tuple[int, int]:
    number, place = _unsigned(content, place)
    return number >> 1 ^ -(number & 1), place


def _unsigned(content: bytes, place: int) -> tuple[int, int]:
    number, shift = 0, 0
    while (byte := content[place]) & 128:
        number |= (byte & 127) << shift
        place += 1
        shift += 7
        if shift > 63:
            raise ValueError("a number is too long")
    return number | byte << shift, place + 1


def _bytes(content: bytes, place: int, length: int) -> tuple[bytes, int]:
    end = place + length
    if end > len(content):
        raise ValueError("a structure is cut off")
    return content[place:end], end
