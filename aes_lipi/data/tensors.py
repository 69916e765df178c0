"""Data sets of the published code: a file of torch for each split."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from aes_lipi.data.files import file_digest
from aes_lipi.data.source import Source, array_source, quoted
from aes_lipi.errors import UserError
from aes_lipi.io.torch_files import read_torch

_SPLITS = ("train", "test", "validation")

_NAMED = re.compile(r"(?:train|test|validation)(_T_|_)(binary_clustering_\d+_\d+_\d+)\.pt")


def files_of(path: Path) -> list[Path]:
    """The files of a data set: those of its three splits, if `path` is named as one of them is."""
    named = _NAMED.fullmatch(path.name)
    if named is None:
        return [path]
    return [path.with_name(f"{each}{named[1]}{named[2]}.pt") for each in _SPLITS]


def set_name(path: Path) -> str:
    """The name of the data set that a file is a split of; else that of the file."""
    named = _NAMED.fullmatch(path.name)
    return path.stem if named is None else named[2]


def data_file_digest(path: Path) -> str:
    """SHA-256 of a data file; where a data set has a file for each split, of their digests.

    Raises:
        UserError: a file is missing or cannot be read; check the path.
    """
    first, *others = [file_digest(each) for each in _present(path)]
    return hashlib.sha256("".join([first, *others]).encode()).hexdigest() if others else first


def torch_sources(path: Path) -> dict[str, Source]:
    """The one matrix of a file of torch, or those of a data set's three splits, by their names.

    A tensor of three dimensions, (clusters, examples, columns), is the matrix of all its examples.

    Raises:
        UserError: torch is not installed, a split is missing, or a file holds no such tensor.
    """
    return {name: _source(each) for name, each in zip(_SPLITS, _present(path), strict=False)}


def _present(path: Path) -> list[Path]:
    """The files of a data set.

    Raises:
        UserError: a split is missing; put the three together.
    """
    files = files_of(path)
    for each in files:
        if len(files) > 1 and path.exists() and not each.exists():
            raise UserError(
                f"{quoted(path)}: {each.name} is missing beside it; put the three splits together, "
                "or rename the file to have its rows split"
            )
    return files


def _source(path: Path) -> Source:
    """The matrix of a file.

    Raises:
        UserError: it holds none of numbers; save one tensor.
    """
    values = read_torch(path)
    if isinstance(values, dict) or values.ndim not in (2, 3) or values.dtype.kind not in "fiub":
        raise UserError(
            f"{quoted(path)}: holds no matrix; a data set is one tensor of rows and columns, or of "
            "clusters, examples and columns"
        )
    return array_source(quoted(path), values.reshape(-1, values.shape[-1]))
