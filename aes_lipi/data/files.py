"""A user's own file before it is read: that it is there, what format it is of, and its bytes."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from aes_lipi.data.source import quoted, reason, unreadable
from aes_lipi.errors import UserError, nearest

Format = Literal["text", "parquet", "npy", "npz", "pt"]

_TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat")
_BINARY: dict[str, Format] = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".npy": "npy",
    ".npz": "npz",
    ".pt": "pt",
}
_ARCHIVES = (".npz", ".pt")
_COMPRESSED = (".gz", ".gzip", ".bz2", ".xz", ".zst", ".zip")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

_FORMATS: dict[bytes, Format] = {b"PAR1": "parquet", b"\x93NUMPY": "npy"}
_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\3\4": "zip",
    b"PK\5\6": "zip",
}

COMPRESSION_ERRORS = (EOFError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
"""What a compressed file that is damaged, or locked by a password, makes its reader raise."""


@dataclass(frozen=True)
class DataFile:
    """A file that is there.

    Attributes:
        path: where.
        format: of its content, whatever its name says.
        compression: of text: gzip, bzip2, xz, zstd or zip; None for none.
    """

    path: Path
    format: Format
    compression: str | None = None

    @contextmanager
    def opened(self) -> Iterator[IO[bytes]]:
        """The text's bytes, as they were before they were compressed.

        Raises:
            UserError: a zip file holds more than one file; give the one to read.
        """
        with self.path.open("rb") as stream:
            if self.compression is None:
                yield stream
            else:
                with _decompressed(self, stream) as content:
                    yield content


def _decompressed(file: DataFile, stream: IO[bytes]) -> Any:
    if file.compression == "zip":
        return _member(file.path, stream)
    if file.compression == "zstd":
        import pyarrow as pa  # noqa: PLC0415 - slow to import

        return pa.CompressedInputStream(pa.PythonFile(stream, "r"), "zstd")
    if file.compression == "gzip":
        return gzip.open(stream)
    return bz2.open(stream) if file.compression == "bzip2" else lzma.open(stream)


@contextmanager
def _member(path: Path, stream: IO[bytes]) -> Iterator[IO[bytes]]:
    with zipfile.ZipFile(stream) as archive:
        names = [each for each in archive.namelist() if not each.endswith("/")]
        if len(names) != 1:
            raise UserError(f"{quoted(path)}: holds {len(names)} files; give the one to read")
        with archive.open(names[0]) as member:
            yield member


def data_file(path: Path) -> DataFile:
    """Look at a file.

    Raises:
        UserError: it is an address, missing, a folder, empty, or of no format that is known.
    """
    label = quoted(path)
    _check_is_file(path)
    with unreadable(label, "a file", OSError, ValueError), path.open("rb") as stream:
        start = stream.read(8)
    for magic, found in _FORMATS.items():
        if start.startswith(magic):
            return DataFile(path, found)
    compression = next((c for magic, c in _COMPRESSIONS.items() if start.startswith(magic)), None)
    endings = [each.lower() for each in path.suffixes]
    last = endings[-1] if endings else ""
    if last in _COMPRESSED:
        endings.pop()
        last = endings[-1] if endings else ".csv"
    if last in _BINARY:
        if compression is not None and path.suffix.lower() not in _ARCHIVES:
            raise UserError(f"{label}: is compressed as a whole; decompress it")
        return DataFile(path, _BINARY[last])
    if last not in _TEXT:
        known = ", ".join(each for each in (*_BINARY, *_TEXT) if each != ".pt")  # holds a pickle
        raise UserError(
            f"{label}: unknown extension {path.suffix!r}; convert it to one of {known} (text may "
            "be compressed, as .csv.gz)"
        )
    return DataFile(path, "text", compression)


def _check_is_file(path: Path) -> None:
    label = quoted(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        if _ADDRESS.match(str(path)):
            said = "is an address; download the file, and give its path"
            raise UserError(f"{label}: {said}") from None
        raise UserError(f"{label}: there is no such file{_nearby(path)}; check the path") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{label}: {reason(error)}; check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{label}: is a directory; name one file in it")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{label}: is not a regular file; copy its content into one")
    if status.st_size == 0:
        raise UserError(f"{label}: the file is empty; write it again")


def _nearby(path: Path) -> str:
    try:
        names = [each.name for each in path.parent.iterdir()][:1000]
    except (OSError, ValueError):
        return ""
    return nearest(path.name, names, cutoff=0.8)


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        UserError: the file cannot be read; check the path.
    """
    _check_is_file(path)
    with unreadable(quoted(path), "a file", OSError, ValueError), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
