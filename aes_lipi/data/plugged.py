"""Data sets that users add, held to the rules."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float64
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.files import already_split, split_source
from aes_lipi.data.scaling import Scale
from aes_lipi.data.source import Source
from aes_lipi.data.streams import DataPurpose, data_stream
from aes_lipi.errors import UserError
from aes_lipi.extension.guard import called, settled
from aes_lipi.extension.loading import Plugin, load

Numbers = npt.NDArray[Any]
Matrices = Mapping[str, Numbers]
"""Matrices by the names of their splits; one alone is named `rows`."""

WANTED = "give a numpy array of numbers from 0 to 1, of shape (rows, columns)"


@dataclass(frozen=True)
class Recipe:
    """What a data set of a user's follows from: see `Variant`."""

    dataset_name: str
    dataset_seed: int
    test_fraction: float
    validation_fraction: float
    scale: Scale

    @classmethod
    def of(cls, variant: Variant) -> Recipe:
        """What a variant's data set follows from."""
        return cls(*(getattr(variant, field.name) for field in fields(cls)))


def plugged_dataset(variant: Variant) -> Dataset:
    """The data set of a user's that a variant names.

    Raises:
        UserError: it cannot be made, or is not the one that the study was begun with.
    """
    dataset = made(Recipe.of(variant))
    if variant.data_digest not in (None, content_digest(dataset)):
        raise UserError(
            f"dataset_name {variant.dataset_name}: makes other data than when the study was begun; "
            "it must follow from rng and from files that stay the same, or choose another "
            "--output_dir"
        )
    return dataset


@lru_cache(maxsize=2)
def made(recipe: Recipe) -> Dataset:
    """A data set of a user's: split by seed, unless it is split already; the last two are kept.

    Raises:
        UserError: it cannot be imported, breaks a rule, or is no matrix of numbers in [0, 1].
    """
    plugin = load("dataset_name", recipe.dataset_name)
    name = plugin.name.rpartition(":")[2]
    matrices = _given(plugin, recipe.dataset_seed)
    sources = {each: _source(plugin, each, rows) for each, rows in matrices.items()}
    if "rows" not in sources:
        return already_split(sources, name, recipe.scale)
    return split_source(
        sources["rows"],
        name,
        seed=recipe.dataset_seed,
        test_fraction=recipe.test_fraction,
        validation_fraction=recipe.validation_fraction,
        scale=recipe.scale,
    )


def content_digest(dataset: Dataset) -> str:
    """SHA-256 of a data set's rows and their shapes, in hexadecimal digits."""
    digest = hashlib.sha256()
    for rows in dataset.splits:
        digest.update(f"{rows.shape}\n".encode())
        digest.update(np.ascontiguousarray(rows).reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _given(plugin: Plugin, seed: int) -> Matrices:
    """What the plug-in is, or gives when it is called."""
    if isinstance(plugin.value, Dataset):
        return _matrices(plugin, plugin.value)
    make = plugin.function("rng")

    def once() -> Matrices:
        rng = data_stream(seed, DataPurpose.PLUG_IN)
        return _matrices(plugin, called(plugin, {}, lambda _: make(rng)))

    return settled(plugin, once, _same)


def _same(one: Matrices, other: Matrices) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(one[name], other[name], equal_nan=True) for name in one
    )


def _matrices(plugin: Plugin, result: Any) -> Matrices:
    """Matrices of numbers, each with as many columns.

    Raises:
        UserError: they are not.
    """
    if not isinstance(result, Dataset):
        return {"rows": _matrix(plugin, "", result)}
    given = {"train": result.train, "test": result.test, "validation": result.validation}
    splits = {name: _matrix(plugin, f" as {name}", rows) for name, rows in given.items()}
    if len({rows.shape[1] for rows in splits.values()}) > 1:
        widths = ", ".join(f"{rows.shape[1]} columns in {name}" for name, rows in splits.items())
        raise plugin.error(f"gives {widths}; give all splits the same columns")
    return splits


def _matrix(plugin: Plugin, where: str, result: Any) -> Numbers:
    if not isinstance(result, np.ndarray):
        raise plugin.error(f"gives a value of type {type(result).__name__}{where}; {WANTED}")
    if result.dtype.kind not in "fiub":
        raise plugin.error(f"gives an array of {result.dtype}{where}; {WANTED}")
    if result.ndim != 2:
        raise plugin.error(f"gives an array of shape {result.shape}{where}; {WANTED}")
    return result.copy()


def _source(plugin: Plugin, name: str, values: Numbers) -> Source:
    """A matrix as files have it, so that it is checked and read as theirs are."""

    def read_block(start: int, stop: int) -> Float64:
        return values[:, start:stop].astype(np.float64)

    label = f"{plugin.field} {plugin.name}" + (f", {name}" if name != "rows" else "")
    n_rows, n_columns = values.shape
    source = Source(label, n_rows, n_columns, read_block)
    source.check_not_empty()
    return source
