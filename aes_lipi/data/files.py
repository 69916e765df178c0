"""A user's own data: a matrix from a file, split by seed."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from aes_lipi.arrays import Float32
from aes_lipi.data.csv_files import csv_source
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.numpy_files import npy_source, npz_names, npz_sources
from aes_lipi.data.parquet_files import parquet_source
from aes_lipi.data.scaling import Rows, Scale, check_finite, learn_scaling, unit_interval
from aes_lipi.data.source import Source, reason, shown, unreadable
from aes_lipi.data.streams import DataPurpose, data_stream
from aes_lipi.errors import UserError

_SPLITS = ("train", "test", "validation")
_CHUNK = 2**20


def load_file(
    path: str | Path,
    *,
    seed: int,
    test_fraction: float,
    validation_fraction: float,
    scale: Scale,
) -> Dataset:
    """Read a matrix from a file and split its rows by seed.

    The data set is named after the file, without its extension. An `.npz` file that holds arrays
    named train, test and validation, as `save` writes it, is taken as it is split there.

    Args:
        path: a Parquet, CSV, `.npy` or `.npz` file.
        seed: of the permutation that the rows are split in.
        test_fraction: share of the rows kept for the test, in (0, 1); rounded to whole rows.
        validation_fraction: share kept for validation, the same.
        scale: `none`, values must be in [0, 1]; or `minmax`, every column is scaled to [0, 1] by
            its smallest and largest value in the training rows, other rows are clipped to [0, 1],
            and columns constant in the training rows become 0.

    Raises:
        UserError: the file cannot be read, holds something else than a matrix of such values, or
            has too few rows to split; one line that names the file, the place and the remedy.
    """
    path = Path(path)
    _check_file(path)
    if path.suffix.lower() == ".npz" and set(npz_names(path)) == set(_SPLITS):
        return _load_split(path, scale)
    with _source(path) as source:
        return split_source(
            source,
            path.stem,
            seed=seed,
            test_fraction=test_fraction,
            validation_fraction=validation_fraction,
            scale=scale,
        )


def split_source(
    source: Source,
    name: str,
    *,
    seed: int,
    test_fraction: float,
    validation_fraction: float,
    scale: Scale,
) -> Dataset:
    """Read a matrix and split its rows by seed; see `load_file`.

    Raises:
        UserError: it holds other values, or too few rows.
    """
    order, n_train, n_test = _split(source, seed, test_fraction, validation_fraction)
    scaling = learn_scaling(source, order[:n_train]) if scale == "minmax" else None
    values = unit_interval(source, scaling, order)
    return Dataset(
        name=name,
        train=values[:n_train],
        test=values[n_train : n_train + n_test],
        validation=values[n_train + n_test :],
        columns=source.column_names,
        scaling=scaling,
    )


def read_matrix(path: str | Path, scale: Scale) -> Float32:
    """Read all rows of a matrix from a Parquet, CSV, `.npy` or `.npz` file.

    Args:
        path: the file.
        scale: `none`, values must be in [0, 1]; or `minmax`, every column is scaled to [0, 1] by
            its smallest and largest value, and constant columns become 0.

    Returns:
        float32 in [0, 1], shape (rows, columns), C-contiguous.

    Raises:
        UserError: the file cannot be read, or holds something else than a matrix of such values;
            one line that names the file, the place and the remedy.
    """
    path = Path(path)
    _check_file(path)
    with _source(path) as source:
        return unit_interval(source, learn_scaling(source) if scale == "minmax" else None)


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        UserError: the file cannot be read.
    """
    path = Path(path)
    digest = hashlib.sha256()
    with unreadable(shown(path), "a file", OSError, ValueError), path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _load_split(path: Path, scale: Scale) -> Dataset:
    """A data set that is split already; the scaling is learned on its training rows."""
    sources = npz_sources(path)
    first = sources["train"]
    for source in sources.values():
        if source.n_columns != first.n_columns:
            raise UserError(
                f"{source.label}: has {source.n_columns} columns where array 'train' has "
                f"{first.n_columns}; give all splits the same columns"
            )
    return already_split(sources, path.stem, scale)


def already_split(sources: Mapping[str, Source], name: str, scale: Scale) -> Dataset:
    """A data set of three matrices; the scaling is learned on its training rows.

    Args:
        sources: named train, test and validation, of as many columns each.
        name: of the data set.
        scale: as `load_file` has it.

    Raises:
        UserError: a value is missing, infinite or outside [0, 1].
    """
    scaling = learn_scaling(sources["train"]) if scale == "minmax" else None
    train, test, validation = (unit_interval(sources[each], scaling) for each in _SPLITS)
    return Dataset(name, train, test, validation, scaling=scaling)


def _split(
    source: Source, seed: int, test_fraction: float, validation_fraction: float
) -> tuple[Rows, int, int]:
    """The rows in the order train, test, validation, and the sizes of the first two.

    Raises:
        UserError: a fraction is not in (0, 1), or a split would be empty.
    """
    fractions = {"test_fraction": test_fraction, "validation_fraction": validation_fraction}
    for name, fraction in fractions.items():
        if not 0.0 < fraction < 1.0:
            raise UserError(f"{source.label}: {name} {fraction} is not between 0 and 1; try 0.1")
    n_test, n_validation = (round(fraction * source.n_rows) for fraction in fractions.values())
    n_train = source.n_rows - n_test - n_validation
    if min(n_train, n_test, n_validation) < 1:
        check_finite(source)  # the more telling error, if there is a bad value too
        raise UserError(
            f"{source.label}: its {source.n_rows} rows leave {n_train} to train, {n_test} to test "
            f"and {n_validation} to validate, where each needs 1; change test_fraction or "
            "validation_fraction, or add rows"
        )
    order = data_stream(seed, DataPurpose.FILE_SPLIT).permutation(source.n_rows)
    return order, n_train, n_test


def _check_file(path: Path) -> None:
    """Refuse what is no file that could be read.

    Raises:
        UserError: there is no such file, it is empty, or its extension is unknown.
    """
    label = shown(path)
    try:
        status = path.stat()
    except FileNotFoundError:
        raise UserError(f"{label}: there is no such file; check the path") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{label}: {reason(error)}; check the path") from error
    if stat.S_ISDIR(status.st_mode):
        raise UserError(f"{label}: is a directory; name one file in it")
    if path.suffix.lower() not in _OPENERS:
        known = ", ".join(_OPENERS)
        raise UserError(f"{label}: unknown extension {path.suffix!r}; convert it to one of {known}")
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{label}: is not a regular file; copy its content into one")
    if status.st_size == 0:
        raise UserError(f"{label}: the file is empty; write it again")


def _source(path: Path) -> AbstractContextManager[Source]:
    return _OPENERS[path.suffix.lower()](path)


@contextmanager
def _open_npy(path: Path) -> Iterator[Source]:
    yield npy_source(path)


@contextmanager
def _open_npz(path: Path) -> Iterator[Source]:
    """The one matrix of an archive.

    Raises:
        UserError: it holds none, or several.
    """
    names = npz_names(path)
    if len(names) != 1:
        listed = ", ".join(shown(name) for name in names[:10]) or "no arrays"
        more = f" and {len(names) - 10} more" if len(names) > 10 else ""
        raise UserError(
            f"{shown(path)}: holds {listed}{more}; a matrix is one array alone, and a split data "
            "set is three, named train, test and validation"
        )
    yield npz_sources(path)[names[0]]


_OPENERS: dict[str, Callable[[Path], AbstractContextManager[Source]]] = {
    ".parquet": parquet_source,
    ".csv": csv_source,
    ".npy": _open_npy,
    ".npz": _open_npz,
}
