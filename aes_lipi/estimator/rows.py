"""Rows that an estimator is given, as a data set and a block at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from aes_lipi.arrays import Array, Float32, Float64
from aes_lipi.config import Variant
from aes_lipi.data.dataset import DataPurpose, Dataset, data_stream
from aes_lipi.data.encoding import Encoding, known_source, learn_encoding, table_source
from aes_lipi.data.fitting import learn_scaling, read_scaled
from aes_lipi.data.source import BLOCK_VALUES, Block, Source, array_source
from aes_lipi.models.model import Units


def is_table(rows: Any) -> bool:
    """Whether rows have names for their columns: a pandas or polars table."""
    return hasattr(rows, "columns")


def source_of(rows: Any, names: tuple[str, ...] | None, *, one_hot: bool) -> Source:
    """Rows as a matrix that is read a block at a time, with texts by number.

    Args:
        rows: a table, an array or a sparse matrix in rows, as scikit-learn has checked it.
        names: of an array's columns.
        one_hot: whether a table's columns of text are taken.

    Raises:
        UserError: a table holds text that is not taken, or something else; all columns are named.
    """
    if is_table(rows):
        table = rows if hasattr(rows, "iloc") else rows.to_pandas()
        return table_source("X", table, one_hot=one_hot)
    if not _is_sparse(rows):
        dense = array_source("X", rows)
        return Source("X", dense.n_rows, dense.n_columns, dense.blocks, column_names=names)
    n_rows, n_columns = rows.shape

    def blocks() -> Iterator[Block]:
        for part in _parts(rows):
            yield part, slice(0, n_columns), rows[part].toarray().astype(np.float64)

    return Source("X", n_rows, n_columns, blocks, column_names=names)


def encoded_source(
    rows: Any, names: tuple[str, ...] | None, encoding: Encoding | None, *, one_hot: bool
) -> Source:
    """The same, encoded as is known: a table's columns are found by their names.

    Raises:
        UserError: as `source_of`; or a table's columns are not those that the encoding knows.
    """
    if encoding is None:
        return source_of(rows, names, one_hot=one_hot)
    if is_table(rows):
        return known_source("X", rows if hasattr(rows, "iloc") else rows.to_pandas(), encoding)
    return encoding.source(source_of(rows, names, one_hot=one_hot))


def in_parts(function: Callable[[Any], Array], rows: Any) -> Array:
    """What a function makes of rows: of a sparse matrix, of a dense part of it after another."""
    if not _is_sparse(rows):
        return function(rows)
    return np.concatenate([function(rows[part].toarray()) for part in _parts(rows)])


def _is_sparse(rows: Any) -> bool:
    return hasattr(rows, "toarray")


def _parts(rows: Any) -> Iterator[slice]:
    """Rows that are dense at a time, of a sparse matrix."""
    n_rows, n_columns = rows.shape
    height = max(1, BLOCK_VALUES // max(1, n_columns))
    for start in range(0, n_rows, height):
        yield slice(start, min(start + height, n_rows))


def split_rows(
    source: Source,
    variant: Variant,
    *,
    weights: Float64 | None = None,
    validation: Callable[[Encoding | None], Source] | None = None,
    units: Units | None = None,
    spares: bool = True,
) -> Dataset:
    """Rows encoded, scaled, and split by seed; test rows are the validation rows.

    Args:
        source: the rows; encoded, where that is known.
        variant: settings.
        weights: by what each row counts in the loss, above 0, (rows,); None for all alike.
        validation: gives the rows to validate on, encoded.
        units: encoding and scaling that are known; by default they are learned.
        spares: whether a share of the rows validates where no others do, and is not trained on.

    Raises:
        UserError: a value is missing or infinite, or text that is not taken; fill it in, or say
            what becomes of it.
    """
    n_rows = source.n_rows
    order = data_stream(variant.dataset_seed, DataPurpose.FILE_SPLIT).permutation(n_rows)
    n_validation = min(round(variant.validation_fraction * n_rows), n_rows - 1)
    n_train = n_rows - (n_validation if spares and validation is None else 0)
    encoding, scaling = (None, None) if units is None else (units.encoding, units.scaling)
    if units is None and (variant.one_hot or variant.impute != "none"):
        encoding = learn_encoding(source, order[:n_train], variant.impute)
    encoded = source if encoding is None or units is not None else encoding.source(source)
    if units is None and variant.scale != "none":
        scaling = learn_scaling(encoded, order[:n_train], variant.scale)
    scaled = read_scaled(encoded, scaling, order)
    spared = scaled[n_train:] if n_train < n_rows else scaled
    if validation is not None:
        spared = read_scaled(validation(encoding), scaling)
    return Dataset(
        "X",
        *(scaled[:n_train], spared, spared),
        columns=encoded.column_names,
        scaling=scaling,
        encoding=encoding,
        weights=None if weights is None else _of_mean_one(weights[order[:n_train]]),
    )


def _of_mean_one(weights: Float64) -> Float32 | None:
    """Weights by what they are of their mean; None where all are the same."""
    if (weights == weights[0]).all():
        return None
    shares: Float64 = weights / weights.max()
    of_mean: Float32 = (shares / shares.mean()).astype(np.float32)
    return of_mean
