"""Matrices from Parquet, `.npy` and `.npz` files, and to `.npz`: pyarrow and numpy read them.

Nothing is ever unpickled.
"""

from __future__ import annotations

import struct
import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from aes_lipi.arrays import Array, Float32
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.source import (
    BLOCK_VALUES,
    Block,
    Source,
    array_source,
    float64_block,
    quoted,
    unreadable,
)
from aes_lipi.errors import UserError, printable
from aes_lipi.io.files import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS_WANTED = "save a 2-D array of real numbers, such as float32"
_ARRAY_ERRORS = (
    *(OSError, ValueError, EOFError, OverflowError, MemoryError),
    *(SyntaxError, tokenize.TokenError),  # of a header
)
_ZIP_ERRORS = (
    *(*_ARRAY_ERRORS, LookupError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


def parquet_source(path: Path) -> Source:
    """Look into a Parquet file whose columns are numbers or truth values.

    An index that pandas stored with the table is left out.

    Raises:
        UserError: the file cannot be read, or a column holds something else; drop it.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    from pyarrow import parquet  # noqa: PLC0415

    label = quoted(path)
    errors = (pa.ArrowException, OSError, ValueError, EOFError, RecursionError, OverflowError)
    with (
        unreadable(label, "a Parquet file", *errors),
        parquet.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file,
    ):
        names = _data_columns(file.schema_arrow, label)
        n_rows = file.metadata.num_rows
    width = max(1, BLOCK_VALUES // max(1, n_rows))

    def blocks() -> Iterator[Block]:
        with (
            unreadable(label, "a Parquet file", *errors),
            parquet.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file,
        ):
            for start in range(0, len(names), width):
                wanted = names[start : start + width]
                table = file.read(wanted, use_threads=False)
                columns = slice(start, start + len(wanted))
                yield slice(0, n_rows), columns, float64_block([table[name] for name in wanted])

    return Source(label, n_rows, len(names), blocks, tuple(names))


def _data_columns(schema: pa.Schema, label: str) -> list[str]:
    """Names of the columns that hold data.

    Raises:
        UserError: a column does not hold numbers, or two have the same name.
    """
    import pyarrow as pa  # noqa: PLC0415

    index = _pandas_index(schema)
    fields = [field for field in schema if field.name not in index]
    for field in fields:
        kind = field.type
        tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
        if not any(test(kind) for test in tests):
            raise UserError(
                f"{label}, column {quoted(field.name)}: holds {printable(kind)}, not numbers; "
                "drop the column or encode it as numbers"
            )
    names = [field.name for field in fields]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(
                f"{label}, column {quoted(name)}: {count} columns have this name; "
                "rename or drop all but one"
            )
    return names


def _pandas_index(schema: pa.Schema) -> frozenset[str]:
    """Names of the columns in which pandas stored the table's index."""
    metadata = schema.pandas_metadata
    stored = metadata.get("index_columns") if isinstance(metadata, dict) else None
    names = stored if isinstance(stored, list) else []
    return frozenset(name for name in names if isinstance(name, str))


def npy_source(path: Path) -> Source:
    """The matrix of an `.npy` file, mapped into memory.

    Raises:
        UserError: the file cannot be read, or holds no two-dimensional array of numbers, or more
            than one; write it with numpy.save.
    """
    label = quoted(path)
    with _told(label, "a .npy file of numbers, as numpy.save writes it", *_ARRAY_ERRORS):
        values = np.lib.format.open_memmap(path, mode="r")
        left_over = path.stat().st_size - values.offset - values.nbytes
    if left_over:
        raise UserError(
            f"{label}: holds {left_over} bytes behind its array; write one array with numpy.save"
        )
    return array_source(label, _matrix(label, values))


def npz_sources(path: Path) -> dict[str, Source]:
    """The one matrix of an `.npz` file, or its three splits, read whole; by their names.

    Raises:
        UserError: the file cannot be read, holds other arrays, or an array is no two-dimensional
            one of
            numbers; write it with numpy.savez.
    """
    label = quoted(path)
    with (
        unreadable(label, "a .npz file", *_ZIP_ERRORS),
        path.open("rb") as stream,
        NpzFile(stream) as archive,
    ):
        _check_names(label, archive.files)
        return {name: _member(archive, label, name) for name in archive.files}


def _check_names(label: str, names: Sequence[str]) -> None:
    if len(names) == 1 or set(names) == {"train", "test", "validation"}:
        return
    listed = ", ".join(quoted(name) for name in names[:10]) or "no arrays"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    raise UserError(
        f"{label}: holds {listed}{more}; a matrix is one array alone, and a split data set is "
        "three, named train, test and validation"
    )


def _member(archive: NpzFile, label: str, name: str) -> Source:
    place = f"{label}, array {quoted(name)}"
    with _told(place, "a .npz file of numbers, as numpy.savez writes it", *_ZIP_ERRORS):
        values = np.asarray(archive[name])
    return array_source(place, _matrix(place, values))


@contextmanager
def _told(label: str, kind: str, *errors: type[Exception]) -> Iterator[None]:
    """Turn what numpy raises into a user's error; what it warns of, a file can have."""
    with (
        unreadable(label, kind, *errors),
        np.errstate(invalid="ignore", over="ignore"),  # of a size that is absurd
        warnings.catch_warnings(action="ignore"),  # of a header that Python 2 wrote
    ):
        yield


def _matrix(label: str, values: Array) -> Array:
    """The same, if it is a matrix of real numbers."""
    if values.dtype.kind not in "fiub":
        raise UserError(f"{label}: holds values of type {values.dtype}; {_NUMBERS_WANTED}")
    if values.ndim != 2:
        raise UserError(
            f"{label}: holds an array of {values.ndim} dimensions, shape "
            f"{printable(values.shape)}, where a matrix of rows and columns is needed; reshape "
            "it to 2 dimensions"
        )
    return values


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set so that `load_dataset` gives it back bit for bit.

    Its name comes back too if the file is named after it. The file appears under its name only
    when it is whole.

    Args:
        dataset: what to write.
        path: a file that ends in `.npz`; replaced if it is there.

    Raises:
        UserError: the path has another ending, or the file cannot be written; end it with .npz, or
            make room.
    """
    if path.suffix.lower() != ".npz":
        raise UserError(f"{quoted(path)}: a data set is written as .npz; end the name with .npz")
    train, test, validation = map(_compact, dataset.splits)

    def write(partial: Path) -> None:
        with partial.open("xb") as stream:
            np.savez_compressed(stream, train=train, test=test, validation=validation)

    write_atomically(path, write)


def _compact(rows: Float32) -> Float32 | npt.NDArray[np.uint8]:
    """The rows as uint8 if that loses nothing, not even the sign of a zero."""
    is_binary = ((rows == 0) & ~np.signbit(rows)) | (rows == 1)
    return rows.astype(np.uint8) if is_binary.all() else rows
