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
    return _Reader(stream.read(length)).structure()


def _size(column: _Structure) -> int:
    """Bytes of a column's values at most: texts may all be as long as everything that is packed."""
    each = column[_UNPACKED] if column[_TYPE] in _OF_ANY_LENGTH else 8
    return int(column[_VALUES] * each)


def _pages(stream: IO[bytes], column: _Structure) -> Iterator[int]:
    """What the pages of a column claim, in their order."""
    place = column[_DATA]
    if 0 < column.get(_DICTIONARY, 0) < place:
        place = column[_DICTIONARY]
    end = place + column[_PACKED]
    while place < end and column[_VALUES] > 0:
        stream.seek(place)
        header = _Reader(stream.read(_LONGEST_HEADER))
        sizes = header.structure()
        if sizes[_PAGE_PACKED] < 0:
            raise ValueError("a page claims less than nothing")
        yield sizes[_PAGE_UNPACKED]
        place += header.place + sizes[_PAGE_PACKED]


class _Reader:
    """Reads values one after another.

    Args:
        content: holds them.
    """

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.place = 0

    def structure(self) -> _Structure:
        """The values of a structure by their fields."""
        found: dict[int, Any] = {}
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._signed()
            kind = head & 15
            found[field] = kind == _TRUE if kind in (_TRUE, _FALSE) else self._value(kind)
        return found

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._signed()
        if kind == _BINARY:
            return self._bytes(self._unsigned())
        if kind == _STRUCTURE:
            return self.structure()
        if kind in _LISTS:
            head = self._byte()
            length = self._unsigned() if head >> 4 == 15 else head >> 4
            return [self._value(head & 15) for _ in range(length)]
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind == _DOUBLE:
            return self._bytes(8)
        raise ValueError("a value is of no known kind")

    def _signed(self) -> int:
        number = self._unsigned()
        return number >> 1 ^ -(number & 1)

    def _unsigned(self) -> int:
        byte = self._byte()
        if byte < 128:
            return byte
        number, shift = byte & 127, 7
        while (byte := self._byte()) & 128:
            number |= (byte & 127) << shift
            shift += 7
            if shift > 63:
                raise ValueError("a number is too long")
        return number | byte << shift

    def _byte(self) -> int:
        byte = self._content[self.place]
        self.place += 1
        return byte

    def _bytes(self, length: int) -> bytes:
        end = self.place + length
        if end > len(self._content):
            raise ValueError("a structure is cut off")
        content = self._content[self.place : end]
        self.place = end
        return content
