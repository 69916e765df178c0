"""Data sets that users add, held to the rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aes_lipi.arrays import Array
from aes_lipi.config import Variant
from aes_lipi.data.columns import Wanted
from aes_lipi.data.dataset import DataPurpose, Dataset, data_stream
from aes_lipi.data.load import already_split, load_dataset, split_source
from aes_lipi.data.source import array_source
from aes_lipi.data.tensors import data_file_digest
from aes_lipi.errors import UserError
from aes_lipi.extension import Kind, Plugin, called, load, settled

_Matrices = Mapping[str, Array]
"""Matrices by the names of their splits; one alone is named `rows`."""

_WANTED = "give a numpy array of numbers from 0 to 1, of shape (rows, columns) or (rows, ...)"


def dataset_of(variant: Variant) -> Dataset:
    """A variant's data, where need be made by a plug-in.

    Raises:
        UserError: the plug-in cannot be imported, breaks a rule, or makes other data than when the
            study was begun; see also `load_dataset`.
    """
    if "dataset_name" not in variant.added:
        return load_dataset(variant)
    dataset = _made(variant)
    if variant.data_digest not in (None, _content_digest(dataset)):
        raise UserError(
            f"dataset_name {variant.dataset_name}: makes other data than when the study was begun; "
            "it must follow from rng and from files that stay the same, or choose another "
            "--output_dir"
        )
    return dataset


def _made(variant: Variant) -> Dataset:
    """What a plug-in makes: split by seed, unless it is split already."""
    matrices = load(_KIND, variant.dataset_name)(variant.dataset_seed)
    name = variant.dataset_name.rpartition(":")[2]
    label, wanted = f"{_KIND.field} {variant.dataset_name}", Wanted.of(variant)
    if "rows" in matrices:
        return split_source(wanted.of_numbers(array_source(label, matrices["rows"])), name, variant)
    sources = {
        each: wanted.of_numbers(array_source(f"{label}, {each}", rows))
        for each, rows in matrices.items()
    }
    return already_split(sources, name, variant)


def data_digest(variant: Variant) -> str | None:
    """SHA-256 of data of a user's, in hexadecimal digits; None where they are generated.

    Of a file it is that of its content, of what a plug-in makes that of the rows and their shapes.

    Raises:
        UserError: the file cannot be read, or the plug-in cannot be imported or breaks a rule.
    """
    if "dataset_name" in variant.added:
        return _content_digest(_made(variant))
    return None if variant.data is None else data_file_digest(Path(variant.data))


def _content_digest(dataset: Dataset) -> str:
    digest = hashlib.sha256()
    for rows in dataset.splits:
        digest.update(f"{rows.shape}\n".encode())
        digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _checked(plugin: Plugin) -> Callable[[int], _Matrices]:
    """What makes a user's data of a seed: the plug-in is called, or is the data."""
    if isinstance(plugin.value, Dataset):
        matrices = _matrices(plugin, plugin.value)
        return lambda _: matrices
    function = plugin.function("rng")

    def make(seed: int) -> _Matrices:
        def once() -> _Matrices:
            rng = data_stream(seed, DataPurpose.PLUG_IN)
            return _matrices(plugin, called(plugin, {}, lambda _: function(rng)))

        return settled(plugin, once, _same)

    return make


def _same(one: _Matrices, other: _Matrices) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )


def _matrices(plugin: Plugin, result: Any) -> _Matrices:
    """Matrices of numbers, each with as many columns; rows of more dimensions are laid out later.

    Raises:
        UserError: an array has another shape, type or range, which is named with the plug-in.
    """
    if not isinstance(result, Dataset):
        return {"rows": _matrix(plugin, "", result)}
    given = {"train": result.train, "test": result.test, "validation": result.validation}
    splits = {name: _matrix(plugin, f" as {name}", rows) for name, rows in given.items()}
    if len({rows.shape[1:] for rows in splits.values()}) > 1:
        widths = ", ".join(
            f"{' x '.join(map(str, rows.shape[1:]))} columns in {name}"
            for name, rows in splits.items()
        )
        raise plugin.error(f"gives {widths}; give all splits the same columns")
    return splits


def _matrix(plugin: Plugin, where: str, result: Any) -> Array:
    if not isinstance(result, np.ndarray):
        raise plugin.error(f"gives a value of type {type(result).__name__}{where}; {_WANTED}")
    if result.dtype.kind not in "fiub":
        raise plugin.error(f"gives an array of {result.dtype}{where}; {_WANTED}")
    if result.ndim < 2:
        raise plugin.error(f"gives an array of shape {result.shape}{where}; {_WANTED}")
    return result.copy()


_KIND = Kind("dataset_name", _checked, {})
"""Without built-in choices: generated data have a form of name, `binary_clustering_K_N_X`."""
