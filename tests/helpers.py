"""Small studies and data for the tests."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import settings

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair, initial_genome
from aes_lipi.coevolution.state import Setup
from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.data import Dataset
from aes_lipi.data.load import load_dataset
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.execution.inputs import architecture_of

TINY: dict[str, Any] = {
    "n_clusters": 2,
    "n_examples_per_cluster": 6,
    "n_dim": 7,
    "hidden_sizes": (4,),
    "latent_size": 3,
    "population_size": 4,
    "epochs": 3,
    "batch_size": 5,
    "learning_rate": 0.01,
    "record_interval": 1,
}


def examples(quick: int) -> int:
    """How many of a property that costs much: in `make test` so many, four times in the slow one.

    Args:
        quick: where others have 25.
    """
    return quick * settings().max_examples // 25


def tiny_variant(**settings: Any) -> Variant:
    """A ring of four small autoencoders on 12 rows of 7 values, for three generations."""
    return Variant.model_validate(TINY | settings)


def tiny_study(trials: int = 2, **settings: Any) -> Study:
    """`tiny_variant` as a study; lists are swept."""
    file = StudyFile(trials=trials, settings={**TINY, "hidden_sizes": [4], **settings})
    return resolve_study("tiny", file, {})


def setup_of(variant: Variant) -> Setup:
    """A variant on the engine torch."""
    dataset = load_dataset(variant)
    architecture = architecture_of(variant, dataset.n_dim)
    engine = TorchEngine(architecture, dataset, variant.batch_size)
    return Setup(variant, architecture, dataset, engine)


def random_pair(architecture: Architecture, seed: int) -> Pair:
    """A pair with initial weights."""
    rng = np.random.default_rng(seed)
    return Pair(
        Network(initial_genome(architecture.encoder, rng)),
        Network(initial_genome(architecture.decoder, rng)),
    )


def random_dataset(n_rows: int, n_dim: int, seed: int = 0) -> Dataset:
    """Rows of random bits."""
    rng = np.random.default_rng(seed)
    splits = [(rng.random((n_rows, n_dim)) < 0.6).astype(np.float32) for _ in range(3)]
    return Dataset("bits", *splits)
