"""The data of a variant: generated, or read from the user's own file and split by seed."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from aes_lipi.arrays import Array
from aes_lipi.config import DATA_FIELDS, Scale, Variant
from aes_lipi.data.binary_clustering import BinaryClustering, generate
from aes_lipi.data.columnar import npy_source, npz_sources, parquet_source
from aes_lipi.data.columns import EVERYTHING, Wanted
from aes_lipi.data.csv import csv_source
from aes_lipi.data.dataset import DataPurpose, Dataset, data_stream
from aes_lipi.data.dialect import look_at
from aes_lipi.data.encoding import Encoding, learn_encoding
from aes_lipi.data.files import data_file
from aes_lipi.data.fitting import Rows, learn_scaling, read_scaled
from aes_lipi.data.scaling import Scaling
from aes_lipi.data.source import Source, quoted, summary
from aes_lipi.data.tensors import data_file_digest, torch_sources
from aes_lipi.errors import UserError

_SPLITS = ("train", "test", "validation")


def load_dataset(variant: Variant) -> Dataset:
    """Generate a variant's data, or read it from the user's file; no plug-in is imported for it.

    So it is safe for settings that come with results or models of somebody else's.

    Raises:
        UserError: the data cannot be generated, a plug-in makes it, or the file is unfit or no
            longer the one that the study was made for; choose another --output_dir.
    """
    if "dataset_name" in variant.added:
        raise UserError(
            f"{variant.dataset_name}: is a plug-in, and these are imported to run studies only"
        )
    if variant.data is None:
        return generate(
            clustering_of(variant),
            variant.dataset_seed,
            variant.noise_probability,
            variant.test_noise,
        )
    path = Path(variant.data)
    if variant.data_digest is not None and data_file_digest(path) != variant.data_digest:
        raise UserError(f"{path}: changed since the study was made; choose another --output_dir")
    return _load_file(path, variant)


_MOST_REBUILT = 50_000_000


def rebuilt_dataset(variant: Variant) -> Dataset:
    """The data of settings that come with results or models of somebody else's, within a bound.

    A file of a few bytes may ask for any number of generated rows, and may name any file.

    Raises:
        UserError: as `load_dataset`; or the data would be more than 50 million values, or are a
            file that is not known by its content.
    """
    if variant.data is not None and variant.data_digest is None:
        raise UserError(f"{variant.data}: is not known by its content")
    n_values = 1
    for name in ("n_clusters", "n_examples_per_cluster", "n_dim"):
        n_values *= getattr(variant, name) or 1
    if variant.data is None and n_values > _MOST_REBUILT:
        raise UserError(
            f"{variant.dataset_name}: more values ({n_values:.1e}) than are made again from what a "
            f"file says ({_MOST_REBUILT:.1e})"
        )
    return load_dataset(variant)


def data_key(variant: Variant) -> Hashable:
    """Equal for variants whose trials have the same data."""
    return tuple(getattr(variant, name) for name in DATA_FIELDS)


def clustering_of(variant: Variant) -> BinaryClustering:
    """The generated problem that a variant asks for."""
    if variant.n_clusters is None or variant.n_examples_per_cluster is None or not variant.n_dim:
        raise ValueError("the variant's data are not generated")
    return BinaryClustering(variant.n_clusters, variant.n_examples_per_cluster, variant.n_dim)


def _load_file(path: Path, variant: Variant) -> Dataset:
    """Read a matrix from a file and split its rows by seed; see `split_source`.

    An `.npz` file that holds arrays
    named train, test and validation, as `save` writes it, is taken as it is split there.

    Args:
        path: text, Parquet, `.npy`, `.npz` or, of the published code, `.pt`.
        variant: how it is split and scaled.

    Raises:
        UserError: the file cannot be read, holds something else than a matrix of such values, or
            has too few rows to split; one line names the file, the place and the remedy.
    """
    source = file_source(path, variant.header, variant.separator, Wanted.of(variant))
    if isinstance(source, Source):
        sources, dataset = [source], split_source(source, variant.dataset_name, variant)
    else:
        sources = [source[each] for each in _SPLITS]
        dataset = already_split(source, variant.dataset_name, variant)
    read = summary(path.name, sources, dataset.n_constant)
    if dataset.encoding is not None and (texts := dataset.encoding.flags.sum()):
        n_texts = sum(column.categories is not None for column in dataset.encoding.columns)
        read = f"{read}, {n_texts:,} of text as {texts:,}"
    return replace(dataset, read=read)


def labels_of_test_rows(variant: Variant) -> tuple[str | None, ...]:
    """What the column `label` of a user's file says of each test row; None where it says nothing.

    Raises:
        UserError: the file cannot be read, or has no such column; choose one of its columns.
    """
    if variant.data is None or variant.label is None:
        return ()
    wanted = Wanted(columns=(variant.label,), one_hot=True, fills=True)
    source = file_source(Path(variant.data), variant.header, variant.separator, wanted)
    if isinstance(source, Source):
        order, n_train, n_test = _order(source, variant)
        said = _said(source)[order[n_train : n_train + n_test]]
    else:
        said = _said(source["test"])
    return tuple(said)


def _said(source: Source) -> Array:
    """The one column of a table as text, (rows,)."""
    numbers = np.concatenate([block[:, 0] for _, _, block in source.blocks()])
    texts = source.categories[0] if source.categories else None

    def text(number: float) -> str | None:
        if np.isnan(number):
            return None
        return f"{number:.15g}" if texts is None else texts[int(number)]

    return np.array([text(each) for each in numbers], dtype=object)


def file_source(
    path: Path, header: str = "auto", separator: str = "auto", wanted: Wanted = EVERYTHING
) -> Source | dict[str, Source]:
    """The matrix of a file, or those of its splits.

    Args:
        path: of the file.
        header: see `dialect.look_at`.
        separator: the same.
        wanted: which of its columns are taken.

    Raises:
        UserError: the file cannot be read, it lacks such columns, or `header` or `separator` are
            given and it is no text; leave them out.
    """
    file = data_file(path)
    if file.format == "text":
        return csv_source(file, header, separator, wanted)
    for flag, value in (("header", header), ("separator", separator)):
        if value != "auto":
            raise UserError(f"{quoted(path)}: is no text; leave out --{flag}")
    if file.format in ("npz", "pt"):
        sources = npz_sources(path) if file.format == "npz" else torch_sources(path)
        taken = {name: wanted.of_numbers(each) for name, each in sources.items()}
        return taken if len(taken) > 1 else next(iter(taken.values()))
    if file.format == "npy":
        return wanted.of_numbers(npy_source(path))
    return parquet_source(path, wanted)


def settled_dialect(path: Path, header: str, separator: str) -> tuple[str, str]:
    """The least that must be said of a text file for it to be read as it is by these two.

    Raises:
        UserError: the file cannot be read so.
    """
    file = data_file(path)
    if file.format != "text":
        return header, separator
    wanted = look_at(file, header, separator)
    for less in (("auto", "auto"), (header, "auto"), ("auto", separator)):
        with suppress(UserError):
            if look_at(file, *less) == wanted:
                return less
    return header, separator


def split_source(source: Source, name: str, variant: Variant) -> Dataset:
    """Read a matrix and split its rows in the order of a permutation by `dataset_seed`.

    Args:
        source: the matrix.
        name: of the data set.
        variant: `test_fraction` and `validation_fraction`, shares of the rows in (0, 1), rounded
            to whole rows; and `scale`: `none`, values must be in [0, 1]; or a kind of `Scaling`,
            which is learned on the training rows.

    Raises:
        UserError: a value is missing, infinite or outside [0, 1], or there are too few rows; see
            `load_dataset`.
    """
    order, n_train, n_test = _order(source, variant)
    encoding = _encoding(source, variant, order[:n_train])
    source = source if encoding is None else encoding.source(source)
    scaling = _scaling(source, variant.scale, order[:n_train])
    values = read_scaled(source, scaling, order)
    return Dataset(
        name,
        train=values[:n_train],
        test=values[n_train : n_train + n_test],
        validation=values[n_train + n_test :],
        columns=source.column_names,
        scaling=scaling,
        encoding=encoding,
    )


def already_split(sources: Mapping[str, Source], name: str, variant: Variant) -> Dataset:
    """A data set of three matrices; the scaling is learned on its training rows.

    Args:
        sources: named train, test and validation.
        name: of the data set.
        variant: its `scale`, as `split_source` has it.

    Raises:
        UserError: a value is missing, infinite or outside [0, 1], or the splits differ in their
            columns; give all the same.
    """
    first = sources["train"]
    for source in sources.values():
        if source.n_columns != first.n_columns:
            raise UserError(
                f"{source.label}: has {source.n_columns} columns where array 'train' has "
                f"{first.n_columns}; give all splits the same columns"
            )
    encoding = _encoding(first, variant, np.arange(first.n_rows))
    if encoding is not None:
        sources = {each: encoding.source(source) for each, source in sources.items()}
    scaling = _scaling(sources["train"], variant.scale)
    train, test, validation = (read_scaled(sources[each], scaling) for each in _SPLITS)
    names = sources["train"].column_names
    return Dataset(name, train, test, validation, columns=names, scaling=scaling, encoding=encoding)


def _encoding(source: Source, variant: Variant, rows: Rows) -> Encoding | None:
    """How a table becomes numbers, where it is not taken as it is."""
    if Wanted.of(variant).is_all:
        return None
    return learn_encoding(source, rows, variant.impute)


def _scaling(
    source: Source, kind: Literal["none", Scale], rows: Rows | None = None
) -> Scaling | None:
    return None if kind == "none" else learn_scaling(source, rows, kind)


def _order(source: Source, variant: Variant) -> tuple[Rows, int, int]:
    """The rows in the order train, test, validation, and the sizes of the first two.

    Raises:
        UserError: a fraction is not in (0, 1), or a split would be empty; change the fractions.
    """
    fractions = {
        "test_fraction": variant.test_fraction,
        "validation_fraction": variant.validation_fraction,
    }
    n_test, n_validation = (round(fraction * source.n_rows) for fraction in fractions.values())
    n_train = source.n_rows - n_test - n_validation
    if min(n_train, n_test, n_validation) < 1:
        learn_scaling(source)  # the more telling error, if there is a bad value too
        raise UserError(
            f"{source.label}: its {source.n_rows} rows leave {n_train} to train, {n_test} to test "
            f"and {n_validation} to validate, where each needs 1; change test_fraction or "
            "validation_fraction, or add rows"
        )
    order = data_stream(variant.dataset_seed, DataPurpose.FILE_SPLIT).permutation(source.n_rows)
    return order, n_train, n_test
