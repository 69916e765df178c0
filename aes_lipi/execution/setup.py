"""From a variant to what its cells share: data, layouts and engine."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from aes_lipi.autoencoders.environments import ENVIRONMENTS, Architecture, build_architecture
from aes_lipi.autoencoders.networks import Pair
from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.config.variant import DATA_FIELDS
from aes_lipi.datasets.choice import clustering_of, load_dataset
from aes_lipi.datasets.dataset import Dataset
from aes_lipi.engine.choice import check_engine, choose_engine
from aes_lipi.execution.digests import check_unchanged
from aes_lipi.models import load_pairs


def prepare(variant: Variant) -> Setup:
    """Everything that a variant's trials share; that of the last few variants is kept.

    Raises:
        UserError: data or engine cannot be had.
    """
    return _prepared(variant)


@lru_cache(maxsize=8)
def _prepared(variant: Variant) -> Setup:
    dataset = _dataset(_data_settings(variant))
    architecture = architecture_of(variant, dataset.n_dim)
    return Setup(variant, architecture, dataset, choose_engine(variant, architecture, dataset))


def _data_settings(variant: Variant) -> Variant:
    """The settings that the data depend on; all others at their defaults."""
    settings = variant.model_dump(include=set(DATA_FIELDS))
    if variant.data is not None:
        del settings["dataset_name"]
    return Variant.model_validate(settings)


@lru_cache(maxsize=2)
def _dataset(data_settings: Variant) -> Dataset:
    return load_dataset(data_settings)


def check_feasible(variant: Variant) -> None:
    """Find out, before anything is computed or written, whether a variant can be set up.

    Raises:
        UserError: its data file, its saved models or its device cannot be had or are unfit.
    """
    if variant.data is None:
        n_dim = clustering_of(variant).n_dim
    else:
        n_dim = _dataset(_data_settings(variant)).n_dim
    architecture = architecture_of(variant, n_dim)
    if variant.ann_path is not None:
        load_pairs(Path(variant.ann_path), architecture)
    check_engine(variant, architecture)


def architecture_of(variant: Variant, n_dim: int) -> Architecture:
    """The layouts of a variant's networks for data of a given width."""
    environment = ENVIRONMENTS[variant.environment]
    sizes = environment.hidden_sizes if variant.hidden_sizes is None else variant.hidden_sizes
    return build_architecture(
        environment, n_dim, sizes, variant.latent_size or environment.latent_size
    )


def warm_start(setup: Setup) -> list[Pair]:
    """The saved pairs that a variant starts from, if any.

    Raises:
        UserError: they cannot be read, or do not fit.
    """
    check_unchanged(setup.variant)
    path = setup.variant.ann_path
    return [] if path is None else load_pairs(Path(path), setup.architecture)
