"""The data set of a variant."""

from __future__ import annotations

from pathlib import Path

from aes_lipi.config import Variant
from aes_lipi.data.binary_clustering import BinaryClustering, generate
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.files import file_digest, load_file
from aes_lipi.data.plugged import plugged_dataset
from aes_lipi.errors import UserError


def dataset_of(variant: Variant) -> Dataset:
    """A variant's data, where need be made by a plug-in.

    Raises:
        UserError: the plug-in cannot be imported or breaks a rule; see also `load_dataset`.
    """
    return plugged_dataset(variant) if "dataset_name" in variant.added else load_dataset(variant)


def load_dataset(variant: Variant) -> Dataset:
    """Generate a variant's data, or read it from the user's file; no plug-in is imported for it.

    So it is safe for settings that come with results or models of somebody else's.

    Raises:
        UserError: the data cannot be generated, a plug-in makes it, or the file is unfit or no
            longer the one that the study was made for.
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
        raise ValueError("the variant's data are not generated")
    return BinaryClustering(variant.n_clusters, variant.n_examples_per_cluster, variant.n_dim)
