"""Tasks for the engine torch, and when two answers agree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import random_pair

from aes_lipi.autoencoders.environments import (
    ENVIRONMENTS,
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Network
from aes_lipi.coevolution.cell import in_batches
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.engine.protocol import Measure, Moments, Trained, TrainTask, Updates
from aes_lipi.engine.torch import TorchEngine, gradients

N_DIM, BATCH, RATE = 9, 5, 1e-2
TRAIN, TEST, VALIDATION = 13, 10, 3
"""Rows: a smaller last batch, none, and no whole batch."""

SPLITS: tuple[Split, ...] = ("train", "test", "validation")
MEASURES: tuple[Measure, ...] = ("loss", "l1")
KINDS: dict[str, Environment] = {
    **ENVIRONMENTS,
    "noisy, variational": Environment(variational=True, loss="negative_elbo", input_noise=0.4),
}
NOISY = [name for name, kind in KINDS.items() if kind.input_noise or kind.variational]


def architecture_named(name: str, depth: int | None = None) -> Architecture:
    """A small one, of the environment's number of hidden layers or of another."""
    n_hidden = len(KINDS[name].hidden_sizes) if depth is None else depth
    latent = min(KINDS[name].latent_size, 3)
    return build_architecture(KINDS[name], N_DIM, (6, 4)[:n_hidden], latent)


few_architectures = pytest.mark.parametrize(
    "architecture",
    ["AutoencoderBinaryClustering_Large", "LinearCodeAutoencoder", "noisy, variational"],
    indirect=True,
)
"""For what cannot depend on more of an environment than its layers, its loss and its noise."""


def dataset_of(n_dim: int = N_DIM) -> Dataset:
    rng = np.random.default_rng(0)
    splits = [(rng.random((n, n_dim)) < 0.6).astype(np.float32) for n in (TRAIN, TEST, VALIDATION)]
    return Dataset("bits", *splits)


def engine_of(architecture: Architecture, *, stacked: bool) -> TorchEngine:
    return TorchEngine(architecture, dataset_of(architecture.n_dim), BATCH, stacked=stacked)


def oracle_of(architecture: Architecture) -> TorchEngine:
    """An engine that differentiates, one task after another."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delitem(gradients._OF_ERROR, architecture.loss)
        return engine_of(architecture, stacked=False)


def task_of(
    architecture: Architecture,
    seed: int,
    *,
    networks: tuple[int, int] = (1, 1),
    n_updates: int = 4,
    kept: bool = False,
    masked: bool = False,
    observe: bool = False,
    rate: float = RATE,
) -> TrainTask:
    """Passes over the rows, of which every third batch is smaller."""
    rng = np.random.default_rng(seed)
    passes = [
        in_batches(rng.permutation(TRAIN).astype(np.int32), BATCH)
        for _ in range(n_updates // 3 + 1)
    ]
    encoder, decoder = (rng.integers(n, size=n_updates, dtype=np.int32) for n in networks)
    pairs = [random_pair(architecture, 100 * seed + k) for k in range(max(networks))]
    sides = (
        [pair.encoder for pair in pairs[: networks[0]]],
        [pair.decoder for pair in pairs[: networks[1]]],
    )
    encoders, decoders = (
        tuple(_masked(network, rng) if masked else network for network in side) for side in sides
    )
    return TrainTask(
        encoders,
        decoders,
        Updates(
            np.concatenate(passes)[:n_updates],
            encoder,
            decoder,
            rng.uniform(rate / 2, rate, n_updates),
        ),
        _moments(encoders, rng) if kept else None,
        _moments(decoders, rng) if kept else None,
        np.random.default_rng(seed) if architecture.noise_width else None,
        observe,
    )


def _masked(network: Network, rng: np.random.Generator) -> Network:
    mask = rng.random(network.size) < 0.7
    return Network(np.where(mask, network.genome, np.float32(0)), mask, n_pruned=7)


def _moments(networks: Sequence[Network], rng: np.random.Generator) -> tuple[Moments, ...]:
    """Of a new optimiser for the first network, as after some updates for the others."""
    kept = [Moments.zero(networks[0].size)]
    for network in networks[1:]:
        first = rng.normal(0, 1e-2, network.size).astype(np.float32)
        steps = int(rng.integers(1, 9))
        kept.append(Moments(first, np.float32(1e-3 * steps) * (first**2 + np.float32(1e-5)), steps))
    return tuple(kept)


def next_value(task: TrainTask) -> float:
    """The next value of a task's noise."""
    assert task.noise is not None
    return float(task.noise.standard_normal())


def networks_of(trained: Trained | TrainTask) -> tuple[Network, ...]:
    return (*trained.encoders, *trained.decoders)


def moments_of(trained: Trained | TrainTask) -> tuple[Moments, ...]:
    return (*(trained.encoder_moments or ()), *(trained.decoder_moments or ()))


def arrays_of(trained: Trained) -> Iterator[npt.NDArray[Any]]:
    """Every array of an answer, in a fixed order."""
    for network in networks_of(trained):
        yield network.genome
        yield np.array([]) if network.mask is None else network.mask
    for moments in moments_of(trained):
        yield from (moments.first, moments.second, np.array(moments.steps))
    for statistics in (*(trained.encoder_statistics or ()), *(trained.decoder_statistics or ())):
        yield from (statistics.count, statistics.mean, statistics.m2)


def assert_same_bits(ones: Sequence[Trained], others: Sequence[Trained]) -> None:
    for one, other in zip(ones, others, strict=True):
        for left, right in zip(arrays_of(one), arrays_of(other), strict=True):
            assert (left.dtype, left.shape) == (right.dtype, right.shape)
            assert left.tobytes() == right.tobytes()


def assert_agree(got: Trained, expected: Trained, tolerance: float = 1e-3) -> None:
    """Weights within a fraction of the learning rate, but for rounding, and all else."""
    for one, other in zip(networks_of(got), networks_of(expected), strict=True):
        assert one.genome.dtype == np.float32
        np.testing.assert_allclose(one.genome, other.genome, rtol=1e-6, atol=tolerance * RATE)
        assert one.n_pruned == other.n_pruned
        assert (one.mask is None) == (other.mask is None)
        if one.mask is not None and other.mask is not None:
            np.testing.assert_array_equal(one.mask, other.mask)
            assert not one.genome[~one.mask].any()
    for field in ("encoder_moments", "decoder_moments"):
        ours, theirs = getattr(got, field), getattr(expected, field)
        assert (ours is None) == (theirs is None)
        for one, other in zip(ours or (), theirs or (), strict=True):
            assert one.steps == other.steps
            scale = np.abs(other.first).max()
            np.testing.assert_allclose(one.first, other.first, rtol=1e-4, atol=1e-5 * scale)
            scale = other.second.max()
            np.testing.assert_allclose(one.second, other.second, rtol=1e-4, atol=1e-5 * scale)
    for field in ("encoder_statistics", "decoder_statistics"):
        ours, theirs = getattr(got, field), getattr(expected, field)
        assert (ours is None) == (theirs is None)
        for one, other in zip(ours or (), theirs or (), strict=True):
            np.testing.assert_array_equal(one.count, other.count)
            np.testing.assert_allclose(one.mean, other.mean, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(one.m2, other.m2, rtol=1e-3, atol=1e-5)


def assert_all_agree(got: Sequence[Trained], expected: Sequence[Trained]) -> None:
    for one, other in zip(got, expected, strict=True):
        assert_agree(one, other)


def tasks_of(architecture: Architecture, **options: Any) -> list[TrainTask]:
    """Tasks with one network a side, with three, and with fewer encoders than decoders."""
    shapes = ((1, 1), (3, 3), (1, 1), (2, 3), (3, 3))
    return [
        task_of(architecture, seed, networks=networks, **options)
        for seed, networks in enumerate(shapes, start=1)
    ]


def varied_tasks(architecture: Architecture, n: int, *, kept: bool = True) -> list[TrainTask]:
    """Tasks of one kind; every other is masked, every third observes."""
    return [
        task_of(architecture, k, networks=(2, 2), kept=kept, masked=k % 2 == 1, observe=k % 3 == 0)
        for k in range(n)
    ]


def diverged(task: TrainTask) -> TrainTask:
    """The same with weights that are not numbers, and moments that become so."""
    encoders, decoders = (
        tuple(replace(each, genome=np.full_like(each.genome, np.nan)) for each in side)
        for side in (task.encoders, task.decoders)
    )
    return replace(task, encoders=encoders, decoders=decoders)


def continued(task: TrainTask, trained: Trained, *, through_numpy: bool) -> TrainTask:
    """The task again with what was made of its networks and moments."""

    def networks(some: Sequence[Network]) -> tuple[Network, ...]:
        if not through_numpy:
            return tuple(some)
        return tuple(Network(net.genome.copy(), net.mask, net.n_pruned) for net in some)

    def moments(some: Sequence[Moments] | None) -> tuple[Moments, ...] | None:
        if some is None or not through_numpy:
            return None if some is None else tuple(some)
        return tuple(Moments(m.first.copy(), m.second.copy(), m.steps) for m in some)

    return replace(
        task,
        encoders=networks(trained.encoders),
        decoders=networks(trained.decoders),
        encoder_moments=moments(trained.encoder_moments),
        decoder_moments=moments(trained.decoder_moments),
    )
