"""Matrices from Parquet, `.npy` and `.npz` files, and to `.npz`: pyarrow and numpy read them.

Nothing is ever unpickled.
"""

from __future__ import annotations

import itertools
import struct
import tokenize
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from numpy.lib.npyio import NpzFile

from aes_lipi.arrays import Array, Float32, Float64
from aes_lipi.data.columns import EVERYTHING, Wanted, check_categories, untaken
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.source import (
    BLOCK_VALUES,
    Block,
    Source,
    array_source,
    float64_block,
    left_out_index,
    numbered,
    quoted,
    unreadable,
)
from aes_lipi.errors import UserError, printable
from aes_lipi.io.files import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow.parquet import ParquetFile

_NUMBERS_WANTED = "save a 2-D array of real numbers, such as float32"
_ARRAY_ERRORS = (
    *(OSError, ValueError, EOFError, OverflowError, MemoryError),
    *(SyntaxError, tokenize.TokenError),  # of a header
)
_ZIP_ERRORS = (
    *(*_ARRAY_ERRORS, LookupError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)
_LABELS = 200
"""Values by which an index is told."""


def parquet_source(path: Path, wanted: Wanted = EVERYTHING) -> Source:
    """Look into a Parquet file whose columns are numbers, truth values, or lists of as many.

    If they are wanted, columns of text and of categories are taken as well.

    A list is a column for each of its values, `name[0]` and so on. An index that pandas stored with
    the table is left out, whoever wrote the file again.

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
        fields, index = _fields(file, label, wanted)
        n_rows = file.metadata.num_rows
    names = [name for field in fields for name in field.column_names]

    def blocks() -> Iterator[Block]:
        with (
            unreadable(label, "a Parquet file", *errors),
            parquet.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file,
        ):
            start = 0
            for group in _groups(fields, n_rows):
                columns = slice(start, start := start + sum(field.width for field in group))
                if group[0].is_list:
                    for rows, block in _lists(file, label, group[0]):
                        yield rows, columns, block
                else:
                    table = file.read([field.name for field in group], use_threads=False)
                    block = float64_block([_numbers(table[each.name], each) for each in group])
                    if len(block) != n_rows:
                        raise EOFError("it holds fewer rows than it says")
                    yield slice(0, n_rows), columns, block

    categories = tuple(field.texts for field in fields for _ in field.column_names)
    texts = categories if any(each is not None for each in categories) else ()
    return Source(label, n_rows, len(names), blocks, tuple(names), index=index, categories=texts)


def _numbers(column: pa.ChunkedArray, field: _Field) -> Any:
    return column if field.texts is None else numbered(column, field.texts)


@dataclass(frozen=True)
class _Field:
    """A column of a Parquet file.

    Attributes:
        name: of the column.
        width: how many columns of the matrix it is.
        is_list: whether its values are lists.
        texts: of a column of text, all that there are, in the order of their letters.
    """

    name: str
    width: int = 1
    is_list: bool = False
    texts: tuple[str, ...] | None = None

    @property
    def column_names(self) -> list[str]:
        """Of the matrix."""
        return [f"{self.name}[{k}]" for k in range(self.width)] if self.is_list else [self.name]


def _groups(fields: Sequence[_Field], n_rows: int) -> Iterator[Sequence[_Field]]:
    """Columns to be read together: lists alone, others as many as fit into a block."""
    width = max(1, BLOCK_VALUES // max(1, n_rows))
    for is_list, alike in itertools.groupby(fields, key=lambda field: field.is_list):
        group = list(alike)
        step = 1 if is_list else width
        for start in range(0, len(group), step):
            yield group[start : start + step]


def _fields(file: ParquetFile, label: str, wanted: Wanted) -> tuple[list[_Field], tuple[str, ...]]:
    """The columns that hold data, and the names of those that are an index.

    Raises:
        UserError: columns do not hold numbers, or two have the same name.
    """
    schema, n_rows = file.schema_arrow, file.metadata.num_rows
    names = [field.name for field in schema]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(
                f"{label}, column {quoted(name)}: {count} columns have this name; "
                "rename or drop all but one"
            )
    stored = _pandas_index(schema)
    kept = [name for name in names if name not in stored]
    left_out = left_out_index(kept, lambda j: _first_values(file, kept[j]))
    index = [*(name for name in names if name in stored), *(kept[j] for j in left_out)]
    data = [name for name in kept if name not in index]
    taken = [data[j] for j in wanted.places(label, data)] if data else []
    refused = {name: n_rows for name in taken if not _is_taken(schema.field(name).type, wanted)}
    if refused:
        first = next(iter(refused))
        problem = f"{label}, column {quoted(first)}: holds {printable(schema.field(first).type)}"
        missing = {name: n for name in taken if not wanted.fills and (n := _n_missing(file, name))}
        text = {name: n for name, n in refused.items() if _is_text(schema.field(name).type)}
        other = {name: n for name, n in refused.items() if name not in text}
        raise untaken(f"{problem}, not numbers", text=text, other=other, missing=missing)
    return [_field(file, label, name) for name in taken], tuple(index)


def _is_taken(kind: pa.DataType, wanted: Wanted) -> bool:
    """Whether a column holds numbers, or text where that is wanted."""
    import pyarrow as pa  # noqa: PLC0415

    if wanted.one_hot and _is_text(kind):
        return True
    while _is_list(kind):
        kind = kind.value_type
    tests = (
        *(pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null),
        pa.types.is_decimal,
    )
    return any(test(kind) for test in tests)


def _is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text, or categories that text or whole numbers name."""
    import pyarrow as pa  # noqa: PLC0415

    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type) or pa.types.is_integer(kind.value_type)
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _n_missing(file: ParquetFile, name: str) -> int:
    """How many values of a column the file's statistics say are null."""
    metadata = file.metadata
    place = file.schema_arrow.names.index(name)
    if metadata.num_columns != len(file.schema_arrow.names):  # there are lists or structures
        return 0
    groups = (metadata.row_group(k).column(place) for k in range(metadata.num_row_groups))
    return sum(each.statistics.null_count or 0 for each in groups if each.statistics is not None)


def _texts_of(file: ParquetFile, label: str, name: str) -> tuple[str, ...]:
    """All texts of a column.

    Raises:
        UserError: there are too many; leave it out.
    """
    import pyarrow as pa  # noqa: PLC0415

    found: set[str] = set()
    for batch in file.iter_batches(BLOCK_VALUES, columns=[name], use_threads=False):
        found.update(batch.column(0).cast(pa.string()).unique().drop_null().to_pylist())
        check_categories(f"{label}, column {quoted(name)}", len(found))
    return tuple(sorted(found))


def _field(file: ParquetFile, label: str, name: str) -> _Field:
    """A column that holds data."""
    kind = file.schema_arrow.field(name).type
    if _is_text(kind):
        return _Field(name, texts=_texts_of(file, label, name))
    if not _is_list(kind):
        return _Field(name)
    if file.metadata.num_rows == 0:
        return _Field(name, 0, is_list=True)
    first = _first(file, 1, name)
    return _Field(name, _flat(first, f"{label}, column {quoted(name)}", 0)[1], is_list=True)


def _is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa  # noqa: PLC0415

    tests = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in tests)


def _lists(file: ParquetFile, label: str, field: _Field) -> Iterator[tuple[slice, Float64]]:
    """The rows of a column of lists, a part at a time.

    Raises:
        UserError: a list is missing, or has more or fewer values than the first.
    """
    place = f"{label}, column {quoted(field.name)}"
    height = max(1, BLOCK_VALUES // max(1, field.width))
    row = 0
    for batch in file.iter_batches(height, columns=[field.name], use_threads=False):
        values, width = _flat(batch.column(0), place, row)
        if width != field.width:
            raise _unequal(place, row, width, field.width)
        yield slice(row, row + len(batch)), float64_block([values]).reshape(-1, width)
        row += len(batch)


def _flat(lists: pa.Array, place: str, row: int) -> tuple[pa.Array, int]:
    """The values of lists, one after another, and how many each holds.

    Raises:
        UserError: a list is missing, or has more or fewer values than the first.
    """
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.compute as pc  # noqa: PLC0415

    n_rows, width = len(lists), 1
    while _is_list(lists.type):
        if lists.null_count:
            missing = row + int(np.argmax(np.asarray(lists.is_null()))) // width
            raise UserError(f"{place}, row {missing + 1}: a list is missing; drop the row")
        if pa.types.is_fixed_size_list(lists.type):
            size = lists.type.list_size
        else:
            sizes = np.asarray(pc.list_value_length(lists))
            size = int(sizes[0]) if len(sizes) else 0
            if (sizes != size).any():
                bad = int(np.argmax(sizes != size))
                raise _unequal(place, row + bad // width, int(sizes[bad]), size)
        lists, width = lists.flatten(), width * size
    if width < 1 or len(lists) != n_rows * width:
        raise UserError(f"{place}: holds lists without values; drop the column")
    return lists, width


def _unequal(place: str, row: int, n: int, expected: int) -> UserError:
    return UserError(
        f"{place}, row {row + 1}: a list of {n} values where the first has {expected}; give all "
        "as many"
    )


def _first_values(file: ParquetFile, name: str) -> list[object]:
    """Of a column, as many as an index is told by."""
    import pyarrow as pa  # noqa: PLC0415

    kind = file.schema_arrow.field(name).type
    is_label = pa.types.is_integer(kind) or pa.types.is_string(kind)
    if not is_label or file.metadata.num_rows == 0:
        return []
    return list(_first(file, _LABELS, name).to_pylist())


def _first(file: ParquetFile, n_rows: int, name: str) -> pa.Array:
    """The first values of a column.

    Raises:
        EOFError: there are none, though the file says that it has rows.
    """
    for batch in file.iter_batches(n_rows, columns=[name], use_threads=False):
        return batch.column(0)
    raise EOFError("it holds fewer rows than it says")


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
    """The same, if it is a matrix of real numbers, or one of rows that have more dimensions."""
    if values.dtype.kind not in "fiub":
        raise UserError(f"{label}: holds values of type {values.dtype}; {_NUMBERS_WANTED}")
    if values.ndim < 2:
        raise UserError(
            f"{label}: holds an array of {values.ndim} dimensions, shape "
            f"{printable(values.shape)}, where a matrix of rows and columns is needed; reshape "
            "it to 2 dimensions"
        )
    return values


_OURS = b"data set of aes_lipi"
"""The comment of an archive that is written here."""


def check_own_archive(path: Path) -> None:
    """Refuse to replace an `.npz` file that is somebody else's: ours says so.

    Raises:
        UserError: it does not, or cannot be read; move it away, or choose another folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            ours = archive.comment == _OURS
    except (FileNotFoundError, NotADirectoryError):
        return
    except (*_ZIP_ERRORS, NotImplementedError):
        ours = False
    if not ours:
        raise UserError(
            f"{quoted(path)}: does not say that aes_lipi wrote it, and stays as it is; move it "
            "away, or choose another folder"
        )


def save(dataset: Dataset, path: Path) -> None:
    """Write a data set so that `load_dataset` gives it back bit for bit.

    Its name comes back too if the file is named after it. The file appears under its name only
    when it is whole.

    Args:
        dataset: what to write.
        path: a file that ends in `.npz`; replaced if it is there and was written by this.

    Raises:
        UserError: the path has another ending, there is a file of somebody else's, or the file
            cannot be written; end it with .npz, choose another folder, or make room.
    """
    if path.suffix.lower() != ".npz":
        raise UserError(f"{quoted(path)}: a data set is written as .npz; end the name with .npz")
    check_own_archive(path)
    train, test, validation = map(_compact, dataset.splits)

    def write(partial: Path) -> None:
        with partial.open("xb") as stream:
            np.savez_compressed(stream, train=train, test=test, validation=validation)
        with zipfile.ZipFile(partial, "a") as archive:
            archive.comment = _OURS

    write_atomically(path, write)


def _compact(rows: Float32) -> Float32 | npt.NDArray[np.uint8]:
    """The rows as uint8 if that loses nothing, not even the sign of a zero."""
    is_binary = ((rows == 0) & ~np.signbit(rows)) | (rows == 1)
    return rows.astype(np.uint8) if is_binary.all() else rows
