"""The data set of a variant."""

from __future__ import annotations

from pathlib import Path

from aes_lipi.config import Variant
from aes_lipi.datasets.binary_clustering import BinaryClustering, generate
from aes_lipi.datasets.dataset import Dataset
from aes_lipi.datasets.files import file_digest, load_file
from aes_lipi.errors import UserError


def load_dataset(variant: Variant) -> Dataset:
    """Generate a variant's data, or read it from the user's file.

    Raises:
        UserError: the data cannot be generated, or the file is unfit or no longer the one that the
            study was made for.
    """
    if variant.data is None:
        return generate(
            clustering_of(variant),
            variant.dataset_seed,
            variant.noise_probability,
            variant.test_noise,
        )
    path = Path(variant.data)
    if variant.data_digest is not None and file_digest(path) != variant.data_digest:
        raise UserError(f"{path}: changed since the study was made; choose another --output_dir")
    return load_file(
        path,
        seed=variant.dataset_seed,
        test_fraction=variant.test_fraction,
        validation_fraction=variant.validation_fraction,
        scale=variant.scale,
    )


def clustering_of(variant: Variant) -> BinaryClustering:
    """The generated problem that a variant asks for."""
    if variant.n_clusters is None or variant.n_examples_per_cluster is None or not variant.n_dim:
        raise ValueError("the variant's data come from a file")
    return BinaryClustering(variant.n_clusters, variant.n_examples_per_cluster, variant.n_dim)
