"""Matrices from `.npy` and `.npz` files.

Headers are read here and not by `numpy.load`, which would evaluate them, and would allocate
whatever size a damaged one claims. Nothing is ever unpickled.
"""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float64
from aes_lipi.data.source import Source, check_packing, one_line, shown, unreadable
from aes_lipi.errors import UserError

Numbers = npt.NDArray[Any]

_MAGIC = b"\x93NUMPY"
_MAX_HEADER = 2**16
_CHUNK = 2**20
_MAX_DEFLATE_RATIO = 1032
_DTYPE = re.compile(r"['\"]descr['\"]\s*:\s*['\"]([<>|=]?)([A-Za-z?])([0-9]*)")
_FORTRAN_ORDER = re.compile(r"['\"]fortran_order['\"]\s*:\s*(True|False)")
_SHAPE = re.compile(r"['\"]shape['\"]\s*:\s*\(([0-9L,\s]*)\)")
_READABLE = frozenset(
    {*("?", "b1", "i1", "i2", "i4", "i8"), *("u1", "u2", "u4", "u8", "f2", "f4", "f8")}
)
_UNREADABLE = {
    "O": "Python objects",
    "c": "complex numbers",
    "S": "text",
    "U": "text",
    "M": "dates",
    "m": "durations",
    "f": "numbers of unusual precision",
}
_ZIP_ERRORS = (
    *(OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, struct.error),
    *(NotImplementedError, RuntimeError, IndexError, KeyError, OverflowError, MemoryError),
)


class _Stream(Protocol):
    def read(self, n: int = ..., /) -> bytes: ...


@dataclass(frozen=True)
class _Header:
    """What the header of an `.npy` file says of the matrix that follows.

    Attributes:
        dtype: a real number's.
        shape: (rows, columns).
        order: of the values: "C" by rows, "F" by columns.
        length: bytes of the header, with its magic.
    """

    dtype: np.dtype[Any]
    shape: tuple[int, int]
    order: Literal["C", "F"]
    length: int

    def check_size(self, label: str, n_bytes: int) -> None:
        """Refuse a header that claims another size than the bytes that are there."""
        claimed = self.shape[0] * self.shape[1] * self.dtype.itemsize
        if claimed != n_bytes:
            raise UserError(
                f"{label}: its header claims {claimed} bytes for the shape {self.shape}, but "
                f"{n_bytes} follow; the file is truncated or damaged: write it again"
            )


def npy_source(path: Path) -> Source:
    """The matrix of an `.npy` file, mapped into memory.

    Raises:
        UserError: the file cannot be read, or holds no two-dimensional array of numbers.
    """
    label = shown(path)
    with unreadable(label, "a .npy file", OSError, ValueError), path.open("rb") as stream:
        header = _read_header(stream, label)
        header.check_size(label, os.fstat(stream.fileno()).st_size - header.length)
        values = _mapped(path, header)
    return _source(label, values)


def npz_sources(path: Path) -> dict[str, Source]:
    """The matrices of an `.npz` file by their names.

    Raises:
        UserError: the file cannot be read, an array has no name of its own, or an array is no
            two-dimensional one of numbers.
    """
    arrays: dict[str, Source] = {}
    label = shown(path)
    with unreadable(label, "a .npz file", *_ZIP_ERRORS), zipfile.ZipFile(path) as archive:
        for info in _members(archive, label).values():
            name = info.filename.removesuffix(".npy")
            place = f"{label}, array {shown(name)}"
            with unreadable(place, "a .npz file", *_ZIP_ERRORS):
                arrays[name] = _source(place, _member(archive, info, place))
    return arrays


def npz_names(path: Path) -> tuple[str, ...]:
    """The names of an `.npz` file's arrays, without reading these.

    Raises:
        UserError: the file cannot be read, or holds something else than arrays.
    """
    label = shown(path)
    with unreadable(label, "a .npz file", *_ZIP_ERRORS), zipfile.ZipFile(path) as archive:
        return tuple(name.removesuffix(".npy") for name in _members(archive, label))


def _members(archive: zipfile.ZipFile, label: str) -> Mapping[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if not info.filename.endswith(".npy") or info.filename in members:
            raise UserError(
                f"{label}: holds {shown(info.filename)}, which is no array or stands there twice; "
                "write the file with numpy.savez"
            )
        members[info.filename] = info
    return members


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, label: str) -> Numbers:
    """One array of an archive; its size is checked before memory is taken for it."""
    if info.flag_bits & 1:
        raise UserError(f"{label}: is encrypted; write it again without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UserError(f"{label}: is compressed in an unusual way; write it with numpy.savez")
    with archive.open(info) as stream:
        header = _read_header(stream, label)
        packed = min(info.compress_size, Path(str(archive.filename)).stat().st_size)
        possible = min(info.file_size, _MAX_DEFLATE_RATIO * packed + _CHUNK)
        header.check_size(label, possible - header.length)
        check_packing(label, *header.shape, packed)
        content = bytearray()
        while chunk := stream.read(_CHUNK):
            content += chunk
    header.check_size(label, len(content))
    flat = np.frombuffer(content, dtype=header.dtype)
    return flat.reshape(header.shape, order=header.order)


def _mapped(path: Path, header: _Header) -> Numbers:
    if 0 in header.shape:
        return np.empty(header.shape, dtype=header.dtype)
    return np.memmap(
        path,
        dtype=header.dtype,
        mode="r",
        offset=header.length,
        shape=header.shape,
        order=header.order,
    )


def _source(label: str, values: Numbers) -> Source:
    def read_block(start: int, stop: int) -> Float64:
        with np.errstate(invalid="ignore"):  # some NaN warn when they are converted
            return values[:, start:stop].astype(np.float64)

    n_rows, n_columns = values.shape
    source = Source(label, n_rows, n_columns, read_block)
    source.check_not_empty()
    return source


def _read_header(stream: _Stream, label: str) -> _Header:
    start = stream.read(8)
    if start[:6] != _MAGIC or start[6:7] not in (b"\x01", b"\x02", b"\x03"):
        raise UserError(f"{label}: is not in the .npy format; write it with numpy.save")
    size = stream.read(2 if start[6] == 1 else 4)
    n_bytes = int.from_bytes(size, "little")
    text = stream.read(n_bytes).decode("latin-1") if n_bytes <= _MAX_HEADER else ""
    return _parsed_header(text, label, len(start) + len(size) + n_bytes)


def _parsed_header(text: str, label: str, length: int) -> _Header:
    dtype, order, shape = (part.search(text) for part in (_DTYPE, _FORTRAN_ORDER, _SHAPE))
    if re.search(r"['\"]descr['\"]\s*:\s*[\[(]", text):
        raise _not_numbers(label, "records with fields")
    if dtype is None or order is None or shape is None:
        raise UserError(f"{label}: its header is damaged; write the file again with numpy.save")
    byte_order, kind, size = dtype.groups()
    if kind + size not in _READABLE:
        raise _not_numbers(label, _UNREADABLE.get(kind, "values of an unknown type"))
    lengths = tuple(int(number) for number in re.findall("[0-9]+", shape[1]))
    if len(lengths) != 2:
        raise UserError(
            f"{label}: holds an array of {len(lengths)} dimensions, shape "
            f"{one_line(str(lengths))}, where a matrix of rows and columns is needed; reshape it "
            "to 2 dimensions"
        )
    return _Header(
        dtype=np.dtype(byte_order + kind + size),
        shape=(lengths[0], lengths[1]),
        order="F" if order[1] == "True" else "C",
        length=length,
    )


def _not_numbers(label: str, what: str) -> UserError:
    return UserError(f"{label}: holds {what}; save a 2-D array of real numbers, such as float32")
