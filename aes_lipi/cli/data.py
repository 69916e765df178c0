"""`--create_data`: data sets as files."""

from __future__ import annotations

from pathlib import Path

from aes_lipi.config import Study
from aes_lipi.data import create_paper_datasets, save
from aes_lipi.data.load import dataset_of
from aes_lipi.errors import UserError

NAMING_FIELDS = ("dataset_name", "n_clusters", "n_examples_per_cluster", "n_dim")


def create_data(directory: Path, study: Study, custom: bool) -> None:
    """Write the paper's four data sets, or those that the flags describe.

    Args:
        directory: where; made if need be.
        study: its variants hold the data settings of the flags.
        custom: whether the flags name a data set.
    """
    if not custom:
        variant = study.variants[0]
        paths = create_paper_datasets(
            directory, variant.dataset_seed, variant.noise_probability, variant.test_noise
        )
    else:
        paths = []
        for variant in study.variants:
            dataset = dataset_of(variant)
            path = directory / f"{dataset.name}.npz"
            if path in paths:
                raise UserError(f"{path}: would be written twice; give one value of every flag")
            save(dataset, path)
            paths.append(path)
    for path in paths:
        print(path)
