"""Tasks for the dense engine: shapes of networks, updates, and what is compared of the answers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from dense_reference import (
    ReferenceNetwork,
    make_architecture,
    make_dataset,
    make_network,
    make_updates,
    reference_loss,
)

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import (
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.dense import (
    DenseEngine,
)
from aes_lipi.engine.protocol import (
    ActivationsTask,
    EvaluateTask,
    Measure,
    Moments,
    Trained,
    TrainTask,
)

RATE = 1e-4
SHAPES = {
    "standard": make_architecture(1000),
    "Small": make_architecture(1000, latent=2),
    "Large": make_architecture(1000, (60, 30)),
    "no hidden layer": make_architecture(200, ()),
    "odd widths": make_architecture(37, (7,), 3),
    "one of each": make_architecture(1, (1,), 1),
    "whole vectors": make_architecture(64, (16, 32), 16),
    "wide in the middle": make_architecture(11, (40,), 20),
    "many tiles": make_architecture(2100, (130,), 33),
    "linear code": make_architecture(1000, linear_code=True),
    "linear code, odd widths": make_architecture(37, (7,), 3, linear_code=True),
    "linear code, no hidden layer": make_architecture(200, (), linear_code=True),
    "linear code, two hidden layers": make_architecture(64, (60, 30), 16, linear_code=True),
    "linear code, wide": make_architecture(11, (40,), 45, linear_code=True),
    "linear code, one of each": make_architecture(1, (1,), 1, linear_code=True),
    "variational": make_architecture(1000, variational=True),
    "variational, odd widths": make_architecture(37, (7,), 3, variational=True),
    "variational, no hidden layer": make_architecture(200, (), variational=True),
    "variational, two hidden layers": make_architecture(64, (60, 30), 16, variational=True),
    "variational, wide code": make_architecture(11, (40,), 45, variational=True),
    "variational, one of each": make_architecture(1, (1,), 1, variational=True),
}

TRAINED_OTHERWISE = {
    "tanh, mse": build_architecture(
        Environment(hidden_activation="tanh", loss="mse"), 64, (30, 16), 10
    ),
    "gelu, huber, linear": build_architecture(
        Environment(hidden_activation="gelu", loss="huber", output_activation="linear"), 37, (7,), 3
    ),
    "leaky_relu, bce": build_architecture(
        Environment(hidden_activation="leaky_relu", loss="bce"), 37, (7,), 3
    ),
}
"""On other losses and with other activations than the paper's."""


def make_task(
    architecture: Architecture,
    dataset: Dataset,
    *,
    n_updates: int = 1,
    batch: int = 5,
    n_encoders: int = 1,
    n_decoders: int = 1,
    dead: float = 0.0,
    kept: bool = False,
    ragged: bool = False,
    observe: bool = False,
    seed: int = 1,
) -> TrainTask:
    generator = np.random.default_rng(seed)
    encoders = [make_network(architecture.encoder, generator, dead) for _ in range(n_encoders)]
    decoders = [make_network(architecture.decoder, generator, dead) for _ in range(n_decoders)]
    updates = make_updates(
        generator,
        n_updates,
        batch,
        len(dataset.train),
        n_encoders=n_encoders,
        n_decoders=n_decoders,
        rate=RATE,
        ragged=ragged,
    )
    return TrainTask(
        tuple(encoders),
        tuple(decoders),
        updates,
        tuple(Moments.zero(n.genome.size) for n in encoders) if kept else None,
        tuple(Moments.zero(n.genome.size) for n in decoders) if kept else None,
        np.random.default_rng(99) if architecture.noise_width else None,
        observe,
    )


def networks_of(trained: Trained) -> tuple[Network, ...]:
    return (*trained.encoders, *trained.decoders)


def assert_close(trained: Trained, reference: list[ReferenceNetwork], tolerance: float) -> None:
    """Weights within a fraction of the learning rate of the reference, but for rounding."""
    for network, expected in zip(networks_of(trained), reference, strict=True):
        np.testing.assert_allclose(
            network.genome, expected.genome, rtol=1e-6, atol=tolerance * RATE
        )


def pair_loss(
    encoder: Network,
    decoder: Network,
    architecture: Architecture,
    rows: Float32,
    measure: Measure = "loss",
) -> float:
    """The loss of a pair in float64."""
    return reference_loss(
        architecture,
        ReferenceNetwork.of(encoder, architecture.encoder, np.float64),
        ReferenceNetwork.of(decoder, architecture.decoder, np.float64),
        rows.astype(np.float64),
        measure,
    )


def arrays_of(trained: Trained) -> Iterator[npt.NDArray[Any]]:
    """Every array of an answer, in a fixed order."""
    for network in networks_of(trained):
        yield network.genome
    for moments in (*(trained.encoder_moments or ()), *(trained.decoder_moments or ())):
        yield moments.first
        yield moments.second
    for statistics in (*(trained.encoder_statistics or ()), *(trained.decoder_statistics or ())):
        yield from (statistics.count, statistics.mean, statistics.m2)


def assert_same_bits(one: Trained, other: Trained) -> None:
    for left, right in zip(arrays_of(one), arrays_of(other), strict=True):
        assert left.tobytes() == right.tobytes()


def mixed_tasks(architecture: Architecture, dataset: Dataset) -> list[TrainTask]:
    return [
        make_task(architecture, dataset, n_updates=8, batch=5, seed=1, observe=True),
        make_task(architecture, dataset, n_updates=5, batch=12, n_encoders=3, seed=2, ragged=True),
        make_task(architecture, dataset, n_updates=7, batch=5, n_decoders=4, seed=3, kept=True),
        make_task(architecture, dataset, n_updates=7, batch=7, dead=0.5, seed=4, observe=True),
        make_task(architecture, dataset, n_updates=8, batch=5, seed=1, observe=True),
    ]


def answers_digest() -> str:
    """Of the answers to requests of every kind."""
    state = hashlib.sha256()
    shapes = ("odd widths", "variational, odd widths", "standard", "variational")
    for name in (*shapes, *TRAINED_OTHERWISE):
        known = TRAINED_OTHERWISE.get(name) or SHAPES[name]
        architecture = replace(known, input_noise=0.2 if "odd" in name else 0.0)
        dataset = make_dataset(50, architecture.n_dim)
        dense = DenseEngine(architecture, dataset, 5)
        for task, trained in zip(
            tasks := mixed_tasks(architecture, dataset), dense.train(tasks), strict=True
        ):
            for array in arrays_of(trained):
                state.update(array.tobytes())
            rows = task.updates.rows[0]
            evaluate = EvaluateTask(trained.encoders, trained.decoders, rows[rows >= 0])
            state.update(dense.loss_matrices([evaluate])[0].tobytes())
            pair = Pair(trained.encoders[0], trained.decoders[0])
            measures: tuple[Measure, ...] = ("l1", "loss", "mse")
            for measure in measures:
                state.update(dense.batch_losses([pair], "test", measure)[0].tobytes())
            answer = dense.activations([ActivationsTask(pair, evaluate.rows)])[0]
            state.update(answer.encoder.tobytes() + answer.decoder.tobytes())
    return state.hexdigest()


if __name__ == "__main__":
    print(answers_digest())
