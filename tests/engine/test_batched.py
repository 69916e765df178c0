"""The batched engine against autograd, a float64 computation, and itself in other stacks."""

from __future__ import annotations

import gc
import json
import os
import pickle
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from dense_reference import ReferenceNetwork, train_reference
from helpers import random_pair

from aes_lipi.autoencoders.environments import (
    ENVIRONMENTS,
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.batches import in_batches
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.engine import adam
from aes_lipi.engine.autograd import AutogradEngine
from aes_lipi.engine.functional import code_of, losses_of, parameters_of, run
from aes_lipi.engine.protocol import (
    Activations,
    ActivationsTask,
    Engine,
    EvaluateTask,
    Measure,
    Moments,
    Trained,
    TrainTask,
    Updates,
)
from aes_lipi.engine.torch import BatchedEngine, engine, stack
from aes_lipi.engine.torch.backward import Batch, gradients
from aes_lipi.engine.torch.memory import Halving, is_out_of_memory, padded
from aes_lipi.engine.torch.resident import ResidentMoments, ResidentNetwork
from aes_lipi.engine.torch.update import compiled_update, update_on

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


@pytest.fixture(params=KINDS)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return architecture_named(request.param)


few_architectures = pytest.mark.parametrize(
    "architecture",
    ["AutoencoderBinaryClustering_Large", "LinearCodeAutoencoder", "noisy, variational"],
    indirect=True,
)
"""For what cannot depend on more of an environment than its layers, its loss and its noise."""


@pytest.fixture(params=[False, True], ids=["one by one", "stacked"])
def stacked(request: pytest.FixtureRequest) -> bool:
    value: bool = request.param
    return value


def dataset_of(n_dim: int = N_DIM) -> Dataset:
    rng = np.random.default_rng(0)
    splits = [(rng.random((n, n_dim)) < 0.6).astype(np.float32) for n in (TRAIN, TEST, VALIDATION)]
    return Dataset("bits", *splits)


def engine_of(architecture: Architecture, *, stacked: bool) -> BatchedEngine:
    return BatchedEngine(architecture, dataset_of(architecture.n_dim), BATCH, stacked=stacked)


def autograd_of(architecture: Architecture) -> AutogradEngine:
    return AutogradEngine(architecture, dataset_of(architecture.n_dim), BATCH)


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


# Gradients


ROWS_OF_MODELS = (BATCH, 3, 1, BATCH)


def random_models(architecture: Architecture) -> tuple[torch.Tensor, torch.Tensor]:
    """Genomes of a stack of models, in float64, not small."""
    generator = torch.Generator().manual_seed(1)
    encoders, decoders = (
        0.6 * torch.randn((len(ROWS_OF_MODELS), size), generator=generator, dtype=torch.float64)
        for size in (architecture.encoder.size, architecture.decoder.size)
    )
    return encoders, decoders


def random_batch(architecture: Architecture, *, garbage: int = 0) -> Batch:
    """Batches of several sizes; what stands in the padding depends on `garbage` alone."""
    generator = torch.Generator().manual_seed(2)
    filler = torch.Generator().manual_seed(garbage)
    shape = (len(ROWS_OF_MODELS), BATCH)
    sizes = torch.tensor(ROWS_OF_MODELS).unsqueeze(1)
    present = (torch.arange(BATCH) < sizes).unsqueeze(2)

    def filled(values: torch.Tensor) -> torch.Tensor:
        scale = 10.0 * garbage
        other = torch.randn(values.shape, generator=filler, dtype=torch.float64)
        return torch.where(present, values, scale * other)

    def noise(width: int) -> torch.Tensor:
        return filled(torch.randn((*shape, width), generator=generator, dtype=torch.float64))

    target = torch.rand((*shape, N_DIM), generator=generator, dtype=torch.float64)
    weight = present.double()
    if architecture.loss == "l1":
        weight = weight / (sizes * N_DIM).unsqueeze(2)
    return Batch(
        filled(target),
        present.double(),
        weight,
        noise(N_DIM) if architecture.input_noise else None,
        noise(architecture.latent_size) if architecture.variational else None,
    )


def gradients_by_hand(
    architecture: Architecture, genomes: tuple[torch.Tensor, torch.Tensor], batch: Batch
) -> tuple[torch.Tensor, torch.Tensor]:
    """Written over what stood there before."""
    into = (torch.full_like(genomes[0], torch.nan), torch.full_like(genomes[1], torch.nan))
    gradients(architecture, genomes, batch, into)
    return into


def gradients_by_autograd(
    architecture: Architecture, genomes: tuple[torch.Tensor, torch.Tensor], batch: Batch, model: int
) -> tuple[torch.Tensor, ...]:
    """Of one model on its own rows, without padding."""
    at = (slice(model, model + 1), slice(ROWS_OF_MODELS[model]))
    leaves = [part[at[0]].clone().requires_grad_() for part in genomes]
    x = batch.target[at]
    seen = x if batch.input_noise is None else x + architecture.input_noise * batch.input_noise[at]
    encoded = run(architecture.encoder, parameters_of(leaves[0], architecture.encoder), seen)
    code = code_of(
        architecture, encoded, None if batch.code_noise is None else batch.code_noise[at]
    )
    decoded = run(architecture.decoder, parameters_of(leaves[1], architecture.decoder), code)
    return torch.autograd.grad(losses_of(architecture, encoded, decoded, x).sum(), leaves)


def assert_gradients_are_those_of_autograd(architecture: Architecture) -> None:
    genomes, batch = random_models(architecture), random_batch(architecture, garbage=1)
    got = gradients_by_hand(architecture, genomes, batch)
    for model in range(len(ROWS_OF_MODELS)):
        expected = gradients_by_autograd(architecture, genomes, batch, model)
        for one, other in zip(got, expected, strict=True):
            scale = float(other.abs().max())
            torch.testing.assert_close(one[model], other[0], rtol=1e-12, atol=1e-13 * scale)
    assert all((part != 0).double().mean() > 0.2 for part in got)


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_gradients_are_those_of_autograd_in_float64(name: str, depth: int) -> None:
    assert_gradients_are_those_of_autograd(architecture_named(name, depth))


def test_gradients_of_a_variational_encoder_under_l1_are_those_of_autograd() -> None:
    """A user's environment may be one."""
    kind = Environment(variational=True, loss="l1")
    assert_gradients_are_those_of_autograd(build_architecture(kind, N_DIM, (6,), 3))


@pytest.mark.parametrize("depth", [0, 1, 2])
@pytest.mark.parametrize("name", KINDS)
def test_padded_rows_contribute_exactly_nothing(name: str, depth: int) -> None:
    architecture = architecture_named(name, depth)
    genomes = random_models(architecture)
    got, again = (
        gradients_by_hand(architecture, genomes, random_batch(architecture, garbage=garbage))
        for garbage in (0, 1)
    )
    for one, other in zip(got, again, strict=True):
        assert torch.equal(one, other)


def test_a_model_that_has_no_rows_has_gradient_zero(architecture: Architecture) -> None:
    genomes, batch = random_models(architecture), random_batch(architecture, garbage=1)
    nothing = torch.zeros_like(batch.present)
    for part in gradients_by_hand(
        architecture, genomes, replace(batch, present=nothing, weight=nothing)
    ):
        assert not part.any()


def test_gradients_come_with_the_forward_passes(architecture: Architecture) -> None:
    genomes, batch = random_models(architecture), random_batch(architecture)
    into = (torch.zeros_like(genomes[0]), torch.zeros_like(genomes[1]))
    encoded, decoded = gradients(architecture, genomes, batch, into)
    seen = batch.target
    if batch.input_noise is not None:
        seen = seen + architecture.input_noise * batch.input_noise
    again = run(architecture.encoder, parameters_of(genomes[0], architecture.encoder), seen)
    code = code_of(architecture, again, batch.code_noise)
    then = run(architecture.decoder, parameters_of(genomes[1], architecture.decoder), code)
    assert torch.equal(encoded.nodes(), again.nodes())
    assert torch.equal(decoded.nodes(), then.nodes())


# Training


def tasks_of(architecture: Architecture, **options: Any) -> list[TrainTask]:
    """Tasks with one network a side, with three, and with fewer encoders than decoders."""
    shapes = ((1, 1), (3, 3), (1, 1), (2, 3), (3, 3))
    return [
        task_of(architecture, seed, networks=networks, **options)
        for seed, networks in enumerate(shapes, start=1)
    ]


@pytest.mark.parametrize("observe", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_training_agrees_with_the_autograd_engine(
    architecture: Architecture, kept: bool, masked: bool, observe: bool
) -> None:
    tasks = tasks_of(architecture, kept=kept, masked=masked, observe=observe)
    expected = autograd_of(architecture).train(deepcopy(tasks))
    for stacked in (False, True):
        got = engine_of(architecture, stacked=stacked).train(deepcopy(tasks))
        assert_all_agree(got, expected)
    moved = [
        np.abs(after.genome - before.genome).max()
        for task, trained in zip(tasks, expected, strict=True)
        for before, after in zip(networks_of(task), networks_of(trained), strict=True)
    ]
    assert np.median(moved) > RATE / 2


def test_tasks_that_differ_in_masks_and_observing_share_a_stack(architecture: Architecture) -> None:
    tasks = [
        task_of(architecture, seed, networks=(2, 2), masked=masked, observe=observe, kept=True)
        for seed, (masked, observe) in enumerate(
            [(False, False), (False, True), (True, False), (False, False), (True, True)]
        )
    ]
    got = engine_of(architecture, stacked=True).train(deepcopy(tasks))
    assert_all_agree(got, autograd_of(architecture).train(deepcopy(tasks)))
    assert [trained.encoder_statistics is not None for trained in got] == [
        task.observe for task in tasks
    ]
    assert [trained.encoders[1].mask is not None for trained in got] == [
        task.encoders[1].mask is not None for task in tasks
    ]


def test_a_stack_may_hold_the_same_task_twice(architecture: Architecture) -> None:
    one, other = (task_of(architecture, 3, networks=(2, 2), observe=True) for _ in range(2))
    got = engine_of(architecture, stacked=True).train([one, other])
    assert_same_bits(got[:1], got[1:])


@pytest.mark.parametrize("n_updates", [1, 2, 7, 10, 11, 20, 24])
def test_any_number_of_updates_is_made(n_updates: int, stacked: bool) -> None:
    architecture = architecture_named("AutoencoderBinaryClustering_Large")
    tasks = [task_of(architecture, k, networks=(2, 2), n_updates=n_updates) for k in range(3)]
    got = engine_of(architecture, stacked=stacked).train(tasks)
    assert_all_agree(got, autograd_of(architecture).train(tasks))


@few_architectures
@pytest.mark.parametrize("kept", [False, True])
def test_no_updates_return_the_networks_unchanged(
    architecture: Architecture, stacked: bool, kept: bool
) -> None:
    tasks = [
        task_of(architecture, k, networks=(2, 2), n_updates=0, kept=kept, observe=True)
        for k in range(3)
    ]
    for task, trained in zip(
        tasks, engine_of(architecture, stacked=stacked).train(tasks), strict=True
    ):
        for before, after in zip(networks_of(task), networks_of(trained), strict=True):
            np.testing.assert_array_equal(after.genome, before.genome)
        for was, now in zip(moments_of(task), moments_of(trained), strict=True):
            np.testing.assert_array_equal(now.first, was.first)
            np.testing.assert_array_equal(now.second, was.second)
            assert now.steps == was.steps
        for statistics in trained.encoder_statistics or ():
            assert not statistics.count.any()
            assert not statistics.m2.any()


@few_architectures
@pytest.mark.parametrize("kept", [False, True])
def test_networks_that_no_update_trains_keep_their_bits(
    architecture: Architecture, stacked: bool, kept: bool
) -> None:
    task = task_of(architecture, 1, networks=(3, 3), kept=kept, observe=True)
    ones = np.ones_like(task.updates.encoder)
    updates = replace(task.updates, encoder=ones, decoder=2 * ones)
    neighbour = task_of(architecture, 2, networks=(3, 3), kept=kept)
    trained = engine_of(architecture, stacked=stacked).train(
        [neighbour, replace(task, updates=updates)]
    )[1]
    assert trained.encoder_statistics is not None
    assert trained.decoder_statistics is not None
    sides = (
        (task.encoders, trained.encoders, trained.encoder_statistics, 1),
        (task.decoders, trained.decoders, trained.decoder_statistics, 2),
    )
    for before, after, statistics, chosen in sides:
        for k in range(3):
            assert np.array_equal(after[k].genome, before[k].genome) != (k == chosen)
            counts = [4, 4, 4, 3, 3] if k == chosen else [0] * BATCH
            assert statistics[k].count.tolist() == counts
            assert statistics[k].m2.any() == (k == chosen)
    if kept:
        assert task.encoder_moments is not None
        assert trained.encoder_moments is not None
        for k, more in enumerate((0, 4, 0)):
            was, now = task.encoder_moments[k], trained.encoder_moments[k]
            assert now.steps == was.steps + more
            assert np.array_equal(now.first, was.first) == (more == 0)
            assert np.array_equal(now.second, was.second) == (more == 0)


@few_architectures
def test_observing_and_a_mask_that_freezes_nothing_change_no_bit(
    architecture: Architecture, stacked: bool
) -> None:
    task = task_of(architecture, 1, networks=(2, 2), kept=True)
    free = tuple(replace(each, mask=np.ones(each.size, bool)) for each in task.encoders)
    trained = [
        engine_of(architecture, stacked=stacked).train([deepcopy(each)])[0]
        for each in (task, replace(task, observe=True), replace(task, encoders=free))
    ]
    for other in trained[1:]:
        for one, same in zip(networks_of(trained[0]), networks_of(other), strict=True):
            assert one.genome.tobytes() == same.genome.tobytes()


def padded_task(architecture: Architecture) -> TrainTask:
    """A whole batch, and a smaller one."""
    task = task_of(architecture, 1, n_updates=2, observe=True)
    rows = np.array([[1, 2, 3, 4, 5], [6, 7, -1, -1, -1]], np.int32)
    return replace(task, updates=replace(task.updates, rows=rows))


def test_a_row_of_the_data_that_overflows_does_no_harm_in_batches_without_it(stacked: bool) -> None:
    architecture = architecture_named("VariationalAutoencoderBinaryClustering", 0)
    dataset = dataset_of()
    dataset.train[0], dataset.train[1:, 0] = 1.0, 0.0
    task = padded_task(architecture)
    genome = task.encoders[0].genome.copy()
    architecture.encoder.weight(genome, 1)[:, 0] = 100.0  # the log-variance of the first row
    task = replace(task, encoders=(Network(genome),))
    expected = AutogradEngine(architecture, dataset, BATCH).train([deepcopy(task)])
    assert expected[0].encoders[0].is_finite
    got = BatchedEngine(architecture, dataset, BATCH, stacked=stacked).train([task])
    assert_all_agree(got, expected)


def test_statistics_of_a_network_that_diverges_are_of_the_rows_that_were_there(
    stacked: bool,
) -> None:
    architecture = architecture_named("AutoencoderBinaryClustering")
    task = padded_task(architecture)
    rates = np.full_like(task.updates.learning_rate, np.inf)
    task = replace(task, updates=replace(task.updates, learning_rate=rates))
    [expected] = autograd_of(architecture).train([task])
    [got] = engine_of(architecture, stacked=stacked).train([task])
    assert expected.decoder_statistics is not None
    assert got.decoder_statistics is not None
    np.testing.assert_allclose(
        got.decoder_statistics[0].mean[2:], expected.decoder_statistics[0].mean[2:], rtol=1e-5
    )


def assert_matches_float64(
    got: Trained, expected: Sequence[ReferenceNetwork], tolerance: float
) -> None:
    for network, exact in zip(networks_of(got), expected, strict=True):
        np.testing.assert_allclose(network.genome, exact.genome, rtol=1e-6, atol=tolerance * RATE)
    statistics = (*(got.encoder_statistics or ()), *(got.decoder_statistics or ()))
    for seen, exact in zip(statistics, expected, strict=True):
        for slot in range(BATCH):
            values = np.array([part[slot] for part in exact.seen if len(part) > slot])
            assert seen.count[slot] == len(values)
            if len(values):
                np.testing.assert_allclose(seen.mean[slot], values.mean(axis=0), atol=1e-5)
                spread = ((values - values.mean(axis=0)) ** 2).sum(axis=0)
                np.testing.assert_allclose(seen.m2[slot], spread, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("n_updates", "tolerance"), [(1, 1e-4), (6, 1e-3)])
@pytest.mark.parametrize("kept", [False, True])
def test_a_step_and_a_whole_pass_match_float64(
    architecture: Architecture, stacked: bool, kept: bool, n_updates: int, tolerance: float
) -> None:
    def task(seed: int) -> TrainTask:
        made = task_of(
            architecture, seed, networks=(2, 3), n_updates=n_updates, masked=True, observe=True
        )
        if not kept:
            return made
        zero = [
            tuple(Moments.zero(net.size) for net in side) for side in (made.encoders, made.decoders)
        ]
        return replace(made, encoder_moments=zero[0], decoder_moments=zero[1])

    data = dataset_of().train
    seeds = range(1, 4)
    got = engine_of(architecture, stacked=stacked).train([task(seed) for seed in seeds])
    for seed, trained in zip(seeds, got, strict=True):
        encoders, decoders = train_reference(architecture, data, task(seed))
        assert_matches_float64(trained, encoders + decoders, tolerance)
        for moments, exact in zip(moments_of(trained), encoders + decoders, strict=kept):
            assert moments.steps == exact.steps
            scale = np.abs(exact.first).max() + 1e-12
            np.testing.assert_allclose(moments.first, exact.first, atol=1e-3 * scale)
            np.testing.assert_allclose(moments.second, exact.second, atol=1e-3 * scale**2)


# Stacks


SIZES = [1, 2, 5, 17, 33]


def varied_tasks(architecture: Architecture, n: int, *, kept: bool = True) -> list[TrainTask]:
    """Tasks of one kind; every other is masked, every third observes."""
    return [
        task_of(architecture, k, networks=(2, 2), kept=kept, masked=k % 2 == 1, observe=k % 3 == 0)
        for k in range(n)
    ]


@few_architectures
def test_a_task_in_a_stack_of_any_size_equals_the_task_alone(architecture: Architecture) -> None:
    alone = engine_of(architecture, stacked=False).train(varied_tasks(architecture, max(SIZES)))
    for size in SIZES:
        got = engine_of(architecture, stacked=True).train(varied_tasks(architecture, size))
        assert_all_agree(got, alone[:size])


def test_stacks_are_at_most_an_eighth_larger_than_their_tasks_and_of_few_sizes() -> None:
    sizes = [padded(n) for n in range(1, 4097)]
    assert all(n <= size <= max(n + 1, n * 9 / 8) for n, size in enumerate(sizes, start=1))
    assert all(padded(size) == size for size in sizes)
    assert sizes == sorted(sizes)
    assert len(set(sizes)) <= 8 * 12


@few_architectures
def test_one_by_one_a_task_has_the_same_bits_in_any_stack(architecture: Architecture) -> None:
    def tasks() -> list[TrainTask]:
        return [*varied_tasks(architecture, 5), *tasks_of(architecture, observe=True)]

    engine = engine_of(architecture, stacked=False)
    together = engine.train(tasks())
    assert_same_bits(engine.train(tasks()[::-1])[::-1], together)
    assert_same_bits([engine.train([task])[0] for task in tasks()], together)
    fresh = [engine_of(architecture, stacked=False).train([task])[0] for task in tasks()[:3]]
    assert_same_bits(fresh, together[:3])


def diverged(task: TrainTask) -> TrainTask:
    """The same with weights that are not numbers, and moments that become so."""
    encoders, decoders = (
        tuple(replace(each, genome=np.full_like(each.genome, np.nan)) for each in side)
        for side in (task.encoders, task.decoders)
    )
    return replace(task, encoders=encoders, decoders=decoders)


@few_architectures
@pytest.mark.parametrize("kept", [False, True])
def test_a_stack_has_the_same_bits_on_an_engine_that_was_used(
    architecture: Architecture, stacked: bool, kept: bool
) -> None:
    """Also where it is padded with what a larger stack, of weights that diverged, left behind."""
    n, more = (17, 33) if stacked else (2, 3)

    def stack_of(n: int) -> list[TrainTask]:
        return varied_tasks(architecture, n, kept=kept)

    fresh = engine_of(architecture, stacked=stacked).train(stack_of(n))
    assert all(np.isfinite(array).all() for trained in fresh for array in arrays_of(trained))
    used = engine_of(architecture, stacked=stacked)
    broken = used.train([diverged(replace(task, observe=True)) for task in stack_of(more)])
    assert not any(network.is_finite for network in networks_of(broken[-1]))
    assert_same_bits(used.train(stack_of(n)), fresh)
    used.train(stack_of(1))
    used.train(varied_tasks(architecture, 3, kept=not kept))
    assert_same_bits(used.train(stack_of(n)), fresh)


@few_architectures
def test_larger_stacks_and_smaller_ones_take_turns_on_an_engine(architecture: Architecture) -> None:
    used = engine_of(architecture, stacked=True)
    fresh: dict[int, list[Trained]] = {}
    for n in (3, 17, 3, 33, 17, 3):
        got = used.train(varied_tasks(architecture, n))
        if n not in fresh:
            engine = engine_of(architecture, stacked=True)
            fresh[n] = engine.train(varied_tasks(architecture, n))
        assert_same_bits(got, fresh[n])


def test_a_larger_stack_takes_the_place_of_what_smaller_ones_were_trained_in() -> None:
    """Nothing holds on to tensors that were replaced."""
    architecture = architecture_named("AutoencoderBinaryClustering")
    engine = engine_of(architecture, stacked=True)
    for n, programs in ((3, 1), (5, 1), (3, 2), (5, 2), (17, 1)):
        engine.train(varied_tasks(architecture, n))
        assert len(engine._programs) == programs


@few_architectures
def test_a_task_that_diverges_does_not_touch_its_neighbours(architecture: Architecture) -> None:
    def tasks() -> list[TrainTask]:
        return varied_tasks(architecture, 6)

    engine = engine_of(architecture, stacked=True)
    expected = engine.train(tasks())
    got = engine.train([diverged(task) if k == 2 else task for k, task in enumerate(tasks())])
    assert not any(network.is_finite for network in networks_of(got[2]))
    assert_same_bits([*got[:2], *got[3:]], [*expected[:2], *expected[3:]])


@few_architectures
def test_what_was_trained_stays_when_the_engine_is_used_again(
    architecture: Architecture, stacked: bool
) -> None:
    engine = engine_of(architecture, stacked=stacked)
    expected = engine_of(architecture, stacked=stacked).train(varied_tasks(architecture, 5))
    got = engine.train(varied_tasks(architecture, 5))
    engine.train([diverged(replace(task, observe=True)) for task in varied_tasks(architecture, 9)])
    assert_same_bits(got, expected)


# Evaluation


def evaluation_tasks(architecture: Architecture) -> list[EvaluateTask]:
    """Of several kinds, interleaved."""
    pairs = [random_pair(architecture, seed) for seed in range(7)]
    encoders, decoders = (
        tuple(pair.encoder for pair in pairs),
        tuple(pair.decoder for pair in pairs),
    )
    rows = np.array([3, 3, 0, 9, 7], np.int32)
    return [
        EvaluateTask(encoders[:3], decoders[:2], rows),
        EvaluateTask(encoders[3:4], decoders[5:6], rows[:3], "test"),
        EvaluateTask(encoders[2:5], decoders[4:6], rows[::-1].copy()),
        EvaluateTask(encoders[4:7], decoders[1:3], rows, "test"),
        EvaluateTask(encoders[5:6], decoders[3:4], rows[1:4], "test"),
        EvaluateTask(encoders[:1], decoders, np.arange(3, dtype=np.int32), "validation"),
        EvaluateTask(encoders[1:4], decoders[:2], rows),
    ]


@pytest.fixture(params=[None, 1, 200], ids=["whole", "smallest parts", "parts"])
def in_hand(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much an evaluation has in hand at once."""
    if request.param is not None:
        monkeypatch.setattr(engine, "VALUES_ON_CPU", request.param)


@pytest.mark.usefixtures("in_hand")
def test_loss_matrices_agree_with_the_autograd_engine(
    architecture: Architecture, stacked: bool
) -> None:
    tasks = evaluation_tasks(architecture)
    got = engine_of(architecture, stacked=stacked).loss_matrices(tasks)
    expected = autograd_of(architecture).loss_matrices(tasks)
    for task, one, other in zip(tasks, got, expected, strict=True):
        assert one.shape == (len(task.encoders), len(task.decoders))
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, other, rtol=2e-6)
        assert len(np.unique(one)) == one.size


@pytest.mark.usefixtures("in_hand")
def test_batch_losses_agree_with_the_autograd_engine(
    architecture: Architecture, stacked: bool
) -> None:
    pairs = [random_pair(architecture, seed) for seed in range(5)]
    engine, autograd = engine_of(architecture, stacked=stacked), autograd_of(architecture)
    for split, batches in zip(SPLITS, (3, 2, 1), strict=True):
        for measure in MEASURES:
            got = engine.batch_losses(pairs, split, measure)
            expected = autograd.batch_losses(pairs, split, measure)
            for one, other in zip(got, expected, strict=True):
                assert one.shape == (batches,)
                assert one.dtype == np.float64
                np.testing.assert_allclose(one, other, rtol=2e-6)


@pytest.mark.usefixtures("in_hand")
def test_activations_agree_with_the_autograd_engine(
    architecture: Architecture, stacked: bool
) -> None:
    pairs = [random_pair(architecture, seed) for seed in range(6)]
    splits: list[Split] = ["train", "test", "train", "validation", "test", "train"]
    rows = [[3, 3, 0, 9, 7], [1], [12, 0, 5, 6, 4], [2, 0, 1], [8], [7, 1]]
    tasks = [
        ActivationsTask(pair, np.array(some, np.int32), split)
        for pair, some, split in zip(pairs, rows, splits, strict=True)
    ]
    got = engine_of(architecture, stacked=stacked).activations(tasks)
    expected = autograd_of(architecture).activations(tasks)
    for one, other in zip(got, expected, strict=True):
        assert isinstance(one, Activations)
        for field in ("encoder", "decoder"):
            ours, theirs = getattr(one, field), getattr(other, field)
            assert (ours.shape, ours.dtype) == (theirs.shape, np.float32)
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_one_by_one_an_evaluation_has_the_same_bits_in_any_stack(
    architecture: Architecture,
) -> None:
    engine = engine_of(architecture, stacked=False)
    tasks = evaluation_tasks(architecture)
    for one, other in zip(
        engine.loss_matrices(tasks),
        (engine.loss_matrices([task])[0] for task in tasks),
        strict=True,
    ):
        assert one.tobytes() == other.tobytes()
    pairs = [random_pair(architecture, seed) for seed in range(4)]
    for one, other in zip(
        engine.batch_losses(pairs, "train", "loss"),
        (engine.batch_losses([pair], "train", "loss")[0] for pair in pairs),
        strict=True,
    ):
        assert one.tobytes() == other.tobytes()


@few_architectures
def test_nothing_asked_is_nothing_answered(architecture: Architecture, stacked: bool) -> None:
    engine = engine_of(architecture, stacked=stacked)
    assert engine.train([]) == []
    assert engine.loss_matrices([]) == []
    assert engine.batch_losses([], "train", "loss") == []
    assert engine.activations([]) == []
    assert engine.hold([]) == []
    engine.fetch([])


@pytest.mark.parametrize("name", ["AutoencoderBinaryClustering", NOISY[-1]])
def test_weights_that_are_not_numbers_show_in_the_loss(name: str, stacked: bool) -> None:
    architecture = architecture_named(name)
    pair = random_pair(architecture, 1)
    broken = Network(np.full(architecture.encoder.size, np.nan, np.float32))
    rows = np.arange(BATCH, dtype=np.int32)
    task = EvaluateTask((broken, pair.encoder), (pair.decoder,), rows)
    losses = engine_of(architecture, stacked=stacked).loss_matrices([task])[0]
    assert np.isnan(losses[0]).all()
    assert np.isfinite(losses[1]).all()


# Networks that stay on the device


@few_architectures
def test_training_makes_networks_that_are_fetched_when_they_are_asked_for(
    architecture: Architecture, stacked: bool
) -> None:
    tasks = varied_tasks(architecture, 5)
    engine = engine_of(architecture, stacked=stacked)
    trained = engine.train(tasks)
    for task, made in zip(tasks, trained, strict=True):
        for before, network in zip(networks_of(task), networks_of(made), strict=True):
            assert isinstance(network, ResidentNetwork)
            assert "genome" not in vars(network)
            assert network.size == before.size == network.genome.size
            assert network.genome.tobytes() == network.row.numpy().tobytes()
            assert not np.shares_memory(network.genome, network.row.numpy())
            assert network.genome is network.genome
            assert network.n_pruned == before.n_pruned
            assert (network.mask is None) == (before.mask is None)
            if before.mask is not None:
                np.testing.assert_array_equal(network.mask, before.mask)


@few_architectures
def test_fetching_gives_what_asking_gives(architecture: Architecture, stacked: bool) -> None:
    engine = engine_of(architecture, stacked=stacked)
    asked, fetched = (engine.train(varied_tasks(architecture, 4)) for _ in range(2))
    first = fetched[0].encoders[0].genome
    plain = random_pair(architecture, 1).encoder
    networks = [network for trained in fetched for network in networks_of(trained)]
    engine.fetch([*networks, plain, *networks[:2]])
    assert all("genome" in vars(network) for network in networks)
    assert fetched[0].encoders[0].genome is first
    assert_same_bits(fetched, asked)
    for network in networks:
        assert isinstance(network, ResidentNetwork)
        assert network.genome.tobytes() == network.row.numpy().tobytes()


@few_architectures
def test_zeros_and_broken_weights_are_counted_without_fetching(
    architecture: Architecture, stacked: bool
) -> None:
    """A huge learning rate breaks some networks of a stack."""
    tasks = varied_tasks(architecture, 6)
    for k in (1, 4):
        rates = np.full_like(tasks[k].updates.learning_rate, 3e38)
        tasks[k] = replace(tasks[k], updates=replace(tasks[k].updates, learning_rate=rates))
    trained = engine_of(architecture, stacked=stacked).train(tasks)
    networks = [network for made in trained for network in networks_of(made)]
    facts = [(network.n_zero, network.is_finite) for network in networks]
    assert not any("genome" in vars(network) for network in networks)
    for (n_zero, is_finite), network in zip(facts, networks, strict=True):
        assert (type(n_zero), type(is_finite)) == (int, bool)
        assert n_zero == np.count_nonzero(network.genome == 0)
        assert is_finite == np.isfinite(network.genome).all()
    assert [all(network.is_finite for network in networks_of(made)) for made in trained] == [
        k not in (1, 4) for k in range(6)
    ]
    assert max(n_zero for n_zero, _ in facts) > 0


@few_architectures
def test_elsewhere_they_are_ordinary_networks_and_moments(
    architecture: Architecture, stacked: bool
) -> None:
    for trained in engine_of(architecture, stacked=stacked).train(varied_tasks(architecture, 3)):
        again: Trained = pickle.loads(pickle.dumps(trained))
        assert all(type(network) is Network for network in networks_of(again))
        assert all(type(moments) is Moments for moments in moments_of(again))
        assert_same_bits([again], [trained])
        for one, other in zip(networks_of(again), networks_of(trained), strict=True):
            assert (one.n_zero, one.n_pruned, one.is_finite) == (
                other.n_zero,
                other.n_pruned,
                other.is_finite,
            )


@few_architectures
def test_held_networks_are_the_same_networks(architecture: Architecture) -> None:
    """Whatever is in them, and however large they are."""
    engine = engine_of(architecture, stacked=True)
    networks = [net for task in varied_tasks(architecture, 3) for net in networks_of(task)]
    for value in (np.inf, -np.inf, np.nan, -0.0):
        networks.append(Network(networks[0].genome.copy()))
        networks[-1].genome[3] = value
    held = engine.hold(networks)
    for one, other in zip(held, networks, strict=True):
        assert isinstance(one, ResidentNetwork)
        assert (one.size, one.n_zero, one.n_pruned, one.is_finite) == (
            other.size,
            other.n_zero,
            other.n_pruned,
            other.is_finite,
        )
        assert one.genome.tobytes() == other.genome.tobytes()
        assert (one.mask is None) == (other.mask is None)
        assert one.mask is None or np.array_equal(one.mask, np.array(other.mask))
    mixed = engine.hold([*held[:2], networks[0], *held[2:]])
    assert all(one is other for one, other in zip([*mixed[:2], *mixed[3:]], held, strict=True))


@few_architectures
def test_one_by_one_networks_are_not_held(architecture: Architecture) -> None:
    pair = random_pair(architecture, 1)
    held = engine_of(architecture, stacked=False).hold([pair.encoder, pair.decoder])
    assert held[0] is pair.encoder
    assert held[1] is pair.decoder


def with_networks(task: TrainTask, networks: Sequence[Network]) -> TrainTask:
    e = len(task.encoders)
    return replace(task, encoders=tuple(networks[:e]), decoders=tuple(networks[e:]))


@few_architectures
def test_held_networks_train_and_evaluate_like_those_they_were(architecture: Architecture) -> None:
    engine = engine_of(architecture, stacked=True)
    tasks = varied_tasks(architecture, 5)
    held = [with_networks(task, engine.hold(networks_of(task))) for task in tasks]
    mixed = [
        one if k % 2 else other for k, (one, other) in enumerate(zip(held, tasks, strict=True))
    ]
    expected = engine.train(deepcopy(tasks))
    noise = [np.random.default_rng(k) if architecture.noise_width else None for k in range(5)]
    assert_same_bits(
        engine.train([replace(task, noise=noise[k]) for k, task in enumerate(held)]), expected
    )
    noise = [np.random.default_rng(k) if architecture.noise_width else None for k in range(5)]
    assert_same_bits(
        engine.train([replace(task, noise=noise[k]) for k, task in enumerate(mixed)]), expected
    )
    rows = np.arange(4, dtype=np.int32)
    matrices = [
        engine.loss_matrices([EvaluateTask(task.encoders, task.decoders, rows) for task in some])
        for some in (tasks, held, mixed)
    ]
    pairs = [[Pair(t.encoders[0], t.decoders[1]) for t in some] for some in (tasks, held, mixed)]
    losses = [engine.batch_losses(some, "train", "loss") for some in pairs]
    for answers in (matrices, losses):
        for other in answers[1:]:
            np.testing.assert_array_equal(np.array(other), np.array(answers[0]))


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


@few_architectures
@pytest.mark.parametrize("kept", [False, True])
def test_what_stays_on_the_device_goes_on_like_what_went_through_numpy(
    architecture: Architecture, stacked: bool, kept: bool
) -> None:
    """And like the autograd engine."""

    def trained_thrice(engine: Engine, *, through_numpy: bool) -> list[Trained]:
        tasks = varied_tasks(architecture, 3, kept=kept)
        for _ in range(3):
            trained = engine.train(tasks)
            tasks = [
                continued(task, made, through_numpy=through_numpy)
                for task, made in zip(tasks, trained, strict=True)
            ]
        return trained

    stays, goes = (
        trained_thrice(engine_of(architecture, stacked=stacked), through_numpy=through_numpy)
        for through_numpy in (False, True)
    )
    assert all(isinstance(each, ResidentMoments) for made in stays for each in moments_of(made))
    assert_same_bits(stays, goes)
    if stacked:
        expected = trained_thrice(autograd_of(architecture), through_numpy=True)
        assert_all_agree(stays, expected)


@few_architectures
def test_networks_and_moments_of_another_place_in_another_stack_are_taken_in(
    architecture: Architecture,
) -> None:
    """Some of the moments lie on the device, some come from numpy, some are new."""
    engine = engine_of(architecture, stacked=True)
    tasks = varied_tasks(architecture, 5)
    trained = engine.train(tasks)
    mixed = [
        continued(tasks[4], trained[4], through_numpy=False),
        continued(tasks[1], trained[1], through_numpy=True),
        *varied_tasks(architecture, 1),
        continued(tasks[2], trained[2], through_numpy=False),
    ]
    plain = pickle.loads(pickle.dumps(mixed))
    got, expected = engine.train(mixed), autograd_of(architecture).train(plain)
    assert_all_agree(got, expected)


def test_a_network_on_the_device_can_be_given_other_weights() -> None:
    architecture = architecture_named("AutoencoderBinaryClustering")
    [network] = engine_of(architecture, stacked=True).hold([random_pair(architecture, 1).encoder])
    other = network.with_genome(np.zeros(network.size, np.float32))
    assert not other.genome.any()


def test_networks_are_at_home_on_a_device_whose_number_was_not_said() -> None:
    """As with cpu and cpu:0, so with cuda and cuda:0."""
    architecture = architecture_named("AutoencoderBinaryClustering")
    dataset = dataset_of()
    engine = BatchedEngine(architecture, dataset, BATCH, "cpu:0", stacked=True)
    held = engine.hold([random_pair(architecture, 1).encoder])
    assert engine.hold(held)[0] is held[0]


# Training noise


def next_value(task: TrainTask) -> float:
    """The next value of a task's noise."""
    assert task.noise is not None
    return float(task.noise.standard_normal())


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize(("n_updates", "at_once"), [(6, 6), (13, 1), (20, 10)])
def test_noise_is_drawn_as_by_the_autograd_engine_however_it_is_sent(
    name: str, n_updates: int, at_once: int, stacked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = architecture_named(name)

    def tasks() -> list[TrainTask]:
        return [
            task_of(architecture, k, networks=(2, 2), n_updates=n_updates, rate=1e-3)
            for k in range(2)
        ]

    starts = []
    load = stack.Program._load_noise

    def noted(program: stack.Program, some: Sequence[TrainTask], start: int) -> None:
        starts.append(start)
        load(program, some, start)

    monkeypatch.setattr(stack.Program, "_load_noise", noted)
    given = [tasks() for _ in range(4)]
    whole = engine_of(architecture, stacked=stacked).train(given[0])
    assert set(starts) == {0}
    monkeypatch.setattr(stack, "NOISE_VALUES", 1)
    assert_same_bits(engine_of(architecture, stacked=stacked).train(given[1]), whole)
    assert sorted(set(starts)) == list(range(0, n_updates, at_once))
    of_five_steps = 5 * (2 if stacked else 1) * BATCH * architecture.noise_width
    monkeypatch.setattr(stack, "NOISE_VALUES", of_five_steps)
    starts.clear()
    assert_same_bits(engine_of(architecture, stacked=stacked).train(given[2]), whole)
    assert sorted(set(starts)) == list(range(0, n_updates, max(at_once, 5 // at_once * at_once)))
    assert_all_agree(whole, autograd_of(architecture).train(given[3]))
    for same in zip(*given, strict=True):
        assert len({next_value(task) for task in same}) == 1


@pytest.mark.parametrize("name", NOISY)
def test_an_environment_that_trains_under_noise_needs_a_source_of_it(
    name: str, stacked: bool
) -> None:
    architecture = architecture_named(name)
    tasks = [task_of(architecture, 1), replace(task_of(architecture, 2), noise=None)]
    with pytest.raises(ValueError, match="noise"):
        engine_of(architecture, stacked=stacked).train(tasks)


# Memory that runs out: in a process of its own, whose address space may not grow


LARGE = build_architecture(
    Environment(variational=True, loss="negative_elbo", input_noise=0.4), 1000, (60,), 10
)
N_LARGE, HALVES = 16, (8, 4, 2, 1)
COPY = N_LARGE * 2 * LARGE.n_parameters * 4
"""Bytes of the weights of all large tasks: what the answers take at least."""


class CountedNoise(np.random.Generator):
    """Noise that knows how many values were drawn, those included that were put back."""

    drawn = 0

    def standard_normal(self, *arguments: Any, **options: Any) -> Any:
        values = super().standard_normal(*arguments, **options)
        self.drawn += np.size(values)
        return values


def large_tasks(*, kept: bool = False) -> list[TrainTask]:
    tasks = [
        task_of(LARGE, k, networks=(2, 2), n_updates=3, kept=kept, rate=1e-3)
        for k in range(N_LARGE)
    ]
    return [replace(task, noise=CountedNoise(np.random.PCG64(k))) for k, task in enumerate(tasks)]


def address_space() -> int:
    """Bytes that this process has addresses for."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmSize"))


@contextmanager
def room_for(n_bytes: int) -> Iterator[None]:
    """Let this process's address space grow by no more."""
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space() + n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


Arrays = Sequence[npt.NDArray[Any]]


def share_off(got: Arrays, expected: Arrays) -> float:
    """Of numbers that are not the same; all of them for arrays of other shapes."""
    if [part.shape for part in got] != [part.shape for part in expected]:
        return 1.0
    off = sum(
        np.count_nonzero(~(np.abs(one - other) <= 1e-6 + 1e-5 * np.abs(other)))
        for one, other in zip(got, expected, strict=True)
    )
    return off / sum(part.size for part in expected)


def numbers_of(trained: Sequence[Trained]) -> Arrays:
    return [part for made in trained for part in arrays_of(made) if part.dtype != np.bool_]


def training_facts(room: Sequence[float], *, kept: bool) -> list[dict[str, Any]]:
    """What became of large tasks where there was room for so many copies of their weights."""
    free_tasks = large_tasks(kept=kept)
    expected = numbers_of(engine_of(LARGE, stacked=True).train(free_tasks))
    facts = []
    for copies in room:
        engine, tasks = engine_of(LARGE, stacked=True), large_tasks(kept=kept)
        with room_for(int(copies * COPY)):
            trained = engine.train(tasks)
        sources = [[task.noise for task in some] for some in (tasks, free_tasks)]
        drawn = [
            sum(noise.drawn for noise in some if isinstance(noise, CountedNoise))
            for some in sources
        ]
        states = [[noise.bit_generator.state for noise in some if noise] for some in sources]
        facts.append(
            {
                "most": engine._halving("train").most,
                "off": share_off(numbers_of(trained), expected),
                "drawn": drawn[0] / drawn[1],
                "same streams": states[0] == states[1] and len(states[0]) == N_LARGE,
            }
        )
    return facts


def evaluation_facts(copies: float) -> list[dict[str, Any]]:
    """The same of evaluations, which are not cut into parts beforehand."""
    engine.VALUES_ON_CPU = 1 << 40
    tasks = large_tasks()
    rows = np.arange(BATCH, dtype=np.int32)
    matrices = [EvaluateTask(task.encoders, task.decoders, rows) for task in tasks]
    pairs = [
        Pair(encoder, decoder)
        for task in tasks
        for encoder, decoder in zip(task.encoders, task.decoders, strict=True)
    ]
    seen = [ActivationsTask(pair, rows) for pair in pairs]

    def answers(number: int, engine: BatchedEngine) -> list[npt.NDArray[Any]]:
        if number == 0:
            return [*engine.loss_matrices(matrices)]
        if number == 1:
            return [*engine.batch_losses(pairs, "train", "loss")]
        return [part for each in engine.activations(seen) for part in (each.encoder, each.decoder)]

    facts = []
    for number in range(3):
        expected = answers(number, engine_of(LARGE, stacked=True))
        limited = engine_of(LARGE, stacked=True)
        with room_for(int(copies * COPY)):
            got = answers(number, limited)
        [halving] = limited._halvings.values()
        facts.append({"most": halving.most, "off": share_off(got, expected)})
    return facts


def alone_facts() -> dict[str, Any]:
    """What becomes of one task that does not fit, and of its engine afterwards."""
    used, fresh = (engine_of(LARGE, stacked=True) for _ in range(2))
    task, same = (
        task_of(LARGE, 1, networks=(N_LARGE, N_LARGE), n_updates=3, kept=True) for _ in range(2)
    )
    raised: BaseException | None = None
    with room_for(COPY // 4):
        try:
            used.train([task])
        except (RuntimeError, MemoryError) as error:
            raised = error
    return {
        "is out of memory": raised is not None and is_out_of_memory(raised),
        "afterwards": share_off(numbers_of(used.train([task])), numbers_of(fresh.train([same]))),
    }


def kept_room_facts() -> list[bool]:
    """Whether an evaluation fits beside what is kept for training: not if that is all kept."""
    networks = [network for task in large_tasks() for network in task.encoders]
    decoder = random_pair(LARGE, 1).decoder
    task = EvaluateTask(tuple(networks), (decoder,), np.arange(BATCH, dtype=np.int32))
    fits = []
    for gives_back in (False, True):
        engine = engine_of(LARGE, stacked=True)
        engine.train(large_tasks())
        with pytest.MonkeyPatch.context() as patch, room_for(COPY // 2):
            if not gives_back:
                patch.setattr(engine, "release", lambda: None)
            try:
                engine.loss_matrices([task])
            except (RuntimeError, MemoryError):
                fits.append(False)
            else:
                fits.append(True)
    return fits


def print_facts() -> None:
    """What the tests below are about; called in another process."""
    torch.set_num_threads(1)
    facts = {
        "training": [
            *training_facts((3.0, 2.3, 1.7), kept=False),
            *training_facts((5.0,), kept=True),
        ],
        "alone": alone_facts(),
        "kept room": kept_room_facts(),
        "evaluation": evaluation_facts(0.6),
    }
    print(json.dumps(facts))


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    """Of a process that takes memory from the system for every tensor, and gives it back."""
    path = [str(Path(__file__).parent), *sys.path]
    code = f"import sys; sys.path[:] = {path!r}; import test_batched; test_batched.print_facts()"
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ
        | {
            "MALLOC_MMAP_THRESHOLD_": "131072",
            "MALLOC_ARENA_MAX": "1",
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    made: dict[str, Any] = json.loads(answer.stdout)
    return made


short_of_memory = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not say what is taken"
)
together = pytest.mark.xdist_group("batched memory")


@together
@short_of_memory
def test_a_stack_that_does_not_fit_is_trained_in_halves(facts: dict[str, Any]) -> None:
    """Noise that was drawn for a stack that did not fit is drawn again, from the same stream."""
    for fact in facts["training"]:
        assert fact["most"] in HALVES
        assert fact["off"] < 1e-5
        assert fact["same streams"]
    assert len({fact["most"] for fact in facts["training"]}) > 1
    assert max(fact["drawn"] for fact in facts["training"]) > 1


@together
@short_of_memory
def test_an_evaluation_that_does_not_fit_is_made_in_halves(facts: dict[str, Any]) -> None:
    for fact in facts["evaluation"]:
        assert fact["most"] in (N_LARGE, *HALVES)
        assert fact["off"] == 0


@together
@short_of_memory
def test_a_task_that_does_not_fit_alone_is_refused_and_the_engine_lives_on(
    facts: dict[str, Any],
) -> None:
    assert facts["alone"]["is out of memory"]
    assert facts["alone"]["afterwards"] == 0


@together
@short_of_memory
def test_a_task_that_fits_alone_is_given_the_memory_that_is_kept(facts: dict[str, Any]) -> None:
    beside_what_is_kept, when_that_is_given_back = facts["kept room"]
    assert not beside_what_is_kept
    assert when_that_is_given_back


@few_architectures
def test_memory_that_was_given_back_is_taken_again(
    architecture: Architecture, stacked: bool
) -> None:
    engine = engine_of(architecture, stacked=stacked)
    expected = engine.train(varied_tasks(architecture, 5))
    engine.release()
    assert_same_bits(engine.train(varied_tasks(architecture, 5)), expected)
    assert not engine.is_lost()


def test_a_last_task_alone_is_given_the_memory_that_halves_took() -> None:
    kept: list[int] = []

    def answered(tasks: Sequence[int]) -> list[int]:
        if len(tasks) > 2 or (len(tasks) == 1 and kept):
            raise MemoryError
        kept.extend(tasks)
        return [*tasks]

    assert Halving(kept.clear).ask(answered, range(5)) == [*range(5)]


@pytest.mark.parametrize("name", NOISY)
def test_an_error_of_another_kind_is_raised_and_noise_is_put_back(name: str) -> None:
    architecture = architecture_named(name)
    engine = engine_of(architecture, stacked=True)
    trained_before = task_of(architecture, 5, networks=(2, 2))
    tasks = [trained_before, *(task_of(architecture, k) for k in range(4))]
    short = Network(np.zeros(3, np.float32))
    tasks[2] = replace(tasks[2], encoders=(short,))
    states = [deepcopy(task.noise) for task in tasks]
    with pytest.raises(RuntimeError):
        engine.train(tasks)
    for task, before in zip(tasks, states, strict=True):
        assert next_value(task) == next_value(replace(task, noise=before))
    assert engine._halving("train").most is None


# What is left alone


def frozen(array: npt.NDArray[Any] | None) -> Any:
    """A read-only copy."""
    if array is None:
        return None
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def read_only(task: TrainTask) -> TrainTask:
    def networks(some: Sequence[Network]) -> tuple[Network, ...]:
        return tuple(Network(frozen(n.genome), frozen(n.mask), n.n_pruned) for n in some)

    def moments(some: Sequence[Moments] | None) -> tuple[Moments, ...]:
        return tuple(Moments(frozen(m.first), frozen(m.second), m.steps) for m in some or ())

    return replace(
        task,
        encoders=networks(task.encoders),
        decoders=networks(task.decoders),
        updates=Updates(*(frozen(values) for values in vars(task.updates).values())),
        encoder_moments=moments(task.encoder_moments),
        decoder_moments=moments(task.decoder_moments),
    )


@few_architectures
def test_requests_change_nothing_in_what_they_are_given(
    architecture: Architecture, stacked: bool
) -> None:
    given = [
        read_only(
            task_of(architecture, k, networks=(2, 2), kept=True, masked=k % 2 == 0, observe=True)
        )
        for k in range(3)
    ]
    dataset = Dataset("frozen", *(frozen(rows) for rows in dataset_of().splits))
    before = deepcopy((given, dataset))
    engine = BatchedEngine(architecture, dataset, BATCH, stacked=stacked)
    expected = engine_of(architecture, stacked=stacked).train(deepcopy(given))
    assert_same_bits(engine.train(given), expected)
    rows = frozen(np.array([2, 0, 1], np.int32))
    engine.loss_matrices([EvaluateTask(t.encoders, t.decoders, rows, "test") for t in given])
    pairs = [Pair(task.encoders[0], task.decoders[1]) for task in given]
    engine.batch_losses(pairs, "train", "l1")
    engine.activations([ActivationsTask(pair, rows) for pair in pairs])
    engine.fetch(engine.hold([network for task in given for network in networks_of(task)]))
    np.testing.assert_array_equal(rows, [2, 0, 1])
    for task, was in zip(given, before[0], strict=True):
        for network, old in zip(networks_of(task), networks_of(was), strict=True):
            assert network.genome.tobytes() == old.genome.tobytes()
            assert network.mask is None or np.array_equal(network.mask, np.array(old.mask))
        for moments, kept in zip(moments_of(task), moments_of(was), strict=True):
            assert moments.first.tobytes() == kept.first.tobytes()
            assert moments.second.tobytes() == kept.second.tobytes()
            assert moments.steps == kept.steps
        for one, other in zip(vars(task.updates).values(), vars(was.updates).values(), strict=True):
            assert one.tobytes() == other.tobytes()
    for one, other in zip(dataset.splits, before[1].splits, strict=True):
        assert one.tobytes() == other.tobytes()


@few_architectures
def test_training_leaves_networks_on_the_device_alone(
    architecture: Architecture, stacked: bool
) -> None:
    """What was made of them is new, and so are moments."""
    engine = engine_of(architecture, stacked=stacked)
    tasks = varied_tasks(architecture, 3)
    trained = engine.train(tasks)
    copies = pickle.loads(pickle.dumps(trained))
    for made in trained:  # what was fetched would hide a change
        for each in (*networks_of(made), *moments_of(made)):
            for name in ("genome", "first", "second"):
                vars(each).pop(name, None)
    following = [
        continued(task, made, through_numpy=False)
        for task, made in zip(tasks, trained, strict=True)
    ]
    engine.train(following)
    assert_same_bits(trained, copies)


# The compiled step


compiler_needed = pytest.mark.skipif(shutil.which("g++") is None, reason="there is none")
torch_warns = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # of itself


@pytest.mark.slow
@compiler_needed
@torch_warns
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("kept", [False, True])
def test_a_compiled_step_agrees_with_the_plain_one(kept: bool, masked: bool) -> None:
    plain, compiled = update_on(torch.device("cpu")), compiled_update()
    assert not plain.fused
    assert compiled.fused
    generator = torch.Generator().manual_seed(1)
    for shape in ((1, 7), (5, 7), (6, 130), (33, 64)):
        gradient = torch.randn(shape, generator=generator)
        gradient[:, 0] = 0.0
        gradient[:, 1] = 1e-9
        genomes = torch.randn(shape, generator=generator)
        rates = RATE * torch.rand((shape[0], 1), generator=generator)
        alive = torch.rand(shape, generator=generator) < 0.7 if masked else None
        first = 0.1 * torch.randn(shape, generator=generator)
        steps = torch.randint(1, 50, (shape[0], 1), generator=generator).double()
        corrections = adam.corrections(steps)
        made = []
        for update in (plain, compiled):
            moved, moments = genomes.clone(), (first.clone(), first**2)
            if kept:
                update.kept(moved, gradient, rates, alive, (*moments, *corrections))
            else:
                update.fresh(moved, gradient, rates, alive)
            made.append((moved, *moments))
        for one, other in zip(*made, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-4 * RATE)
        assert not torch.equal(made[1][0], genomes)
        assert kept != torch.equal(made[1][1], first)
        if alive is not None:
            assert torch.equal(made[1][0][~alive], genomes[~alive])


@pytest.mark.slow
@compiler_needed
@torch_warns
@pytest.mark.parametrize("kept", [False, True])
def test_an_engine_with_a_compiled_step_trains_as_with_the_plain_one(kept: bool) -> None:
    architecture = architecture_named("noisy, variational")
    engine, fused = (engine_of(architecture, stacked=True) for _ in range(2))
    fused._tools = replace(fused._tools, update=compiled_update())
    assert fused.is_fused
    assert not engine.is_fused
    for n in (1, 5, 17):
        got, expected = (
            each.train(varied_tasks(architecture, n, kept=kept)) for each in (fused, engine)
        )
        assert_all_agree(got, expected)
