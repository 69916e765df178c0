"""The autograd engine: gradients, optimisers, statistics, and a task's bits in any stack."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from helpers import random_dataset, random_pair

from aes_lipi.autoencoders.environments import ENVIRONMENTS, Architecture, build_architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.batches import in_batches
from aes_lipi.engine import adam
from aes_lipi.engine.autograd import AutogradEngine
from aes_lipi.engine.functional import code_of, losses_of, parameters_of, run
from aes_lipi.engine.protocol import (
    ActivationsTask,
    EvaluateTask,
    Moments,
    Trained,
    TrainTask,
    Updates,
)

N_ROWS, N_DIM, BATCH = 13, 9, 5


def architecture_named(name: str) -> Architecture:
    environment = ENVIRONMENTS[name]
    sizes = tuple(4 + k for k in range(len(environment.hidden_sizes)))
    return build_architecture(environment, N_DIM, sizes, 3)


@pytest.fixture(params=sorted(ENVIRONMENTS))
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return architecture_named(request.param)


def engine_of(architecture: Architecture) -> AutogradEngine:
    return AutogradEngine(architecture, random_dataset(N_ROWS, N_DIM), BATCH)


def task_of(
    architecture: Architecture,
    seeds: tuple[int, ...],
    *,
    kept: bool = False,
    observe: bool = False,
    masked: bool = False,
    rate: float = 1e-3,
) -> TrainTask:
    """Two passes over the rows with as many encoders and decoders as seeds, drawn at random."""
    pairs = [random_pair(architecture, seed) for seed in seeds]
    if masked:
        pairs = [Pair(_masked(pair.encoder, 1), _masked(pair.decoder, 2)) for pair in pairs]
    rng = np.random.default_rng(seeds[0])
    rows = np.concatenate([in_batches(rng.permutation(N_ROWS).astype(np.int32), BATCH)] * 2)
    members = rng.integers(len(seeds), size=(2, len(rows)), dtype=np.int32)
    return TrainTask(
        encoders=tuple(pair.encoder for pair in pairs),
        decoders=tuple(pair.decoder for pair in pairs),
        updates=Updates(rows, members[0], members[1], np.full(len(rows), rate)),
        encoder_moments=tuple(Moments.zero(architecture.encoder.size) for _ in seeds)
        if kept
        else None,
        decoder_moments=tuple(Moments.zero(architecture.decoder.size) for _ in seeds)
        if kept
        else None,
        noise=np.random.default_rng(seeds[0]) if architecture.noise_width else None,
        observe=observe,
    )


def _masked(network: Network, seed: int) -> Network:
    mask = np.random.default_rng(seed).random(network.genome.size) < 0.7
    return Network(np.where(mask, network.genome, np.float32(0)), mask)


def test_gradients_of_every_environment_pass_gradcheck(architecture: Architecture) -> None:
    generator = torch.Generator().manual_seed(1)
    x = (torch.rand((1, 4, N_DIM), generator=generator) < 0.6).double()
    noise = torch.randn((1, 4, 3), generator=generator, dtype=torch.float64)
    pair = random_pair(architecture, 3)

    def loss(encoder: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
        encoded = run(architecture.encoder, parameters_of(encoder, architecture.encoder), x)
        code = code_of(architecture, encoded, noise if architecture.variational else None)
        decoded = run(architecture.decoder, parameters_of(decoder, architecture.decoder), code)
        return losses_of(architecture, encoded, decoded, x)

    genomes = [
        torch.from_numpy(network.genome).double().unsqueeze(0).requires_grad_()
        for network in (pair.encoder, pair.decoder)
    ]
    assert torch.autograd.gradcheck(loss, genomes)


def test_the_elbo_is_cross_entropy_plus_divergence_by_hand() -> None:
    architecture = architecture_named("VariationalAutoencoderBinaryClustering")
    pair = random_pair(architecture, 5)
    engine = engine_of(architecture)
    rows = np.array([2, 7], dtype=np.int32)
    [[loss]] = engine.loss_matrices([EvaluateTask((pair.encoder,), (pair.decoder,), rows)])[0]
    x = random_dataset(N_ROWS, N_DIM).train[rows].astype(np.float64)
    layout: Any = architecture.encoder
    genome: Any = pair.encoder.genome.astype(np.float64)
    hidden = np.maximum(x @ layout.weight(genome, 0).T + layout.bias(genome, 0), 0)
    mean = hidden @ layout.weight(genome, 1).T + layout.bias(genome, 1)
    log_variance = hidden @ layout.weight(genome, 2).T + layout.bias(genome, 2)
    layout, genome = architecture.decoder, pair.decoder.genome.astype(np.float64)
    hidden = np.maximum(mean @ layout.weight(genome, 0).T + layout.bias(genome, 0), 0)
    output = 1 / (1 + np.exp(-(hidden @ layout.weight(genome, 1).T + layout.bias(genome, 1))))
    cross_entropy = -(x * np.log(output) + (1 - x) * np.log(1 - output)).sum()
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum()
    assert loss == pytest.approx(cross_entropy + divergence, rel=1e-5)


def test_per_step_adam_is_the_first_step_of_torch_adam() -> None:
    gradient = torch.tensor([[0.3, -2.0, 0.0, 1e-9, -1e-7]])
    weight = torch.zeros(1, 5, requires_grad=True)
    weight.grad = gradient.clone()
    torch.optim.Adam([weight], lr=0.1, betas=(0.5, 0.999), eps=1e-8).step()
    expected = -weight.detach() / 0.1
    torch.testing.assert_close(adam.new_at_every_step(gradient), expected, rtol=1e-5, atol=1e-7)


def test_kept_adam_follows_torch_adam() -> None:
    generator = torch.Generator().manual_seed(2)
    weight = torch.zeros(1, 6, requires_grad=True)
    optimiser = torch.optim.Adam([weight], lr=0.1, betas=(0.5, 0.999), eps=1e-8)
    ours, first, second = torch.zeros(1, 6), torch.zeros(1, 6), torch.zeros(1, 6)
    for step in range(1, 20):
        gradient = torch.randn((1, 6), generator=generator)
        weight.grad = gradient.clone()
        optimiser.step()
        steps = torch.full((1, 1), float(step), dtype=torch.float64)
        ours = ours - 0.1 * adam.kept(gradient, first, second, adam.corrections(steps))
    torch.testing.assert_close(ours, weight.detach(), rtol=1e-5, atol=1e-6)


def assert_equal_results(left: Trained, right: Trained) -> None:
    for field in dataclasses.fields(Trained):
        ours, theirs = getattr(left, field.name), getattr(right, field.name)
        assert (ours is None) == (theirs is None)
        for one, other in zip(ours or (), theirs or (), strict=True):
            for part in dataclasses.fields(one):
                np.testing.assert_array_equal(getattr(one, part.name), getattr(other, part.name))


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_task_has_the_same_bits_alone_and_in_a_stack(
    architecture: Architecture, kept: bool, masked: bool
) -> None:
    def tasks() -> list[TrainTask]:
        return [
            task_of(architecture, seeds, kept=kept, observe=True, masked=masked)
            for seeds in ((1, 2, 3), (4,), (5, 6, 7))
        ]

    engine = engine_of(architecture)
    together = engine.train(tasks())
    for alone, stacked in zip(tasks(), together, strict=True):
        assert_equal_results(engine.train([alone])[0], stacked)


def test_training_leaves_its_inputs_alone_even_when_read_only(architecture: Architecture) -> None:
    task = task_of(architecture, (1, 2), kept=True)
    before = [network.genome.copy() for network in (*task.encoders, *task.decoders)]
    for network in (*task.encoders, *task.decoders):
        network.genome.flags.writeable = False
    trained = engine_of(architecture).train([task])[0]
    for network, genome in zip((*task.encoders, *task.decoders), before, strict=True):
        np.testing.assert_array_equal(network.genome, genome)
    assert any(
        (new.genome != old.genome).any()
        for new, old in zip(trained.decoders, task.decoders, strict=True)
    )


@pytest.mark.parametrize("kept", [False, True])
def test_frozen_entries_stay_zero(architecture: Architecture, kept: bool) -> None:
    task = task_of(architecture, (1,), kept=kept, masked=True, rate=0.1)
    trained = engine_of(architecture).train([task])[0]
    for network in (*trained.encoders, *trained.decoders):
        assert network.mask is not None
        assert not network.genome[~network.mask].any()
        assert np.count_nonzero(network.genome[network.mask]) > 0


def test_an_untouched_network_keeps_its_weights(architecture: Architecture) -> None:
    task = task_of(architecture, (1, 2), observe=True)
    zeros = np.zeros_like(task.updates.encoder)
    updates = dataclasses.replace(task.updates, encoder=zeros, decoder=zeros)
    trained = engine_of(architecture).train([dataclasses.replace(task, updates=updates)])[0]
    np.testing.assert_array_equal(trained.encoders[1].genome, task.encoders[1].genome)
    assert trained.decoder_statistics is not None
    assert not trained.decoder_statistics[1].count.any()
    assert trained.decoder_statistics[0].count.tolist() == [6, 6, 6, 4, 4]


def test_statistics_are_those_of_the_activations_before_each_update() -> None:
    architecture = architecture_named("AutoencoderBinaryClustering")
    engine = engine_of(architecture)
    task = task_of(architecture, (1,), observe=True, rate=1e-2)
    observed = engine.train([task])[0]
    assert observed.encoder_statistics is not None
    assert observed.decoder_statistics is not None
    pair = Pair(task.encoders[0], task.decoders[0])
    seen: list[list[list[np.ndarray]]] = [[[] for _ in range(BATCH)] for _ in range(2)]
    for s, row in enumerate(task.updates.rows):
        rows = row[row >= 0]
        activations = engine.activations([ActivationsTask(pair, rows)])[0]
        for slot in range(len(rows)):
            seen[0][slot].append(activations.encoder[slot])
            seen[1][slot].append(activations.decoder[slot])
        one = dataclasses.replace(
            task.updates,
            rows=task.updates.rows[s : s + 1],
            encoder=task.updates.encoder[s : s + 1],
            decoder=task.updates.decoder[s : s + 1],
            learning_rate=task.updates.learning_rate[s : s + 1],
        )
        step = TrainTask((pair.encoder,), (pair.decoder,), one)
        trained = engine.train([step])[0]
        pair = Pair(trained.encoders[0], trained.decoders[0])
    for slots, statistics in zip(
        seen, (observed.encoder_statistics[0], observed.decoder_statistics[0]), strict=True
    ):
        expected = np.array([np.std(slot, axis=0, dtype=np.float64) for slot in slots])
        np.testing.assert_allclose(statistics.standard_deviation(), expected, atol=1e-6)


def test_merged_statistics_are_those_of_all_batches() -> None:
    rng = np.random.default_rng(4)
    architecture = architecture_named("AutoencoderBinaryClustering")
    task = task_of(architecture, (1,), observe=True)
    statistics = engine_of(architecture).train([task])[0].encoder_statistics
    assert statistics is not None
    batch = rng.random((3, architecture.encoder.n_nodes)).astype(np.float32)
    merged = statistics[0].merged(statistics[0].of_batch(batch, BATCH))
    assert merged.count.tolist() == [7, 7, 7, 4, 4]
    total = statistics[0].mean[0] * 6 + batch[0]
    np.testing.assert_allclose(merged.mean[0], total / 7)
    np.testing.assert_array_equal(merged.mean[4], statistics[0].mean[4])


def test_a_loss_matrix_holds_every_pairing(architecture: Architecture) -> None:
    engine = engine_of(architecture)
    pairs = [random_pair(architecture, seed) for seed in range(3)]
    rows = np.arange(5, dtype=np.int32)
    task = EvaluateTask(
        tuple(pair.encoder for pair in pairs), tuple(pair.decoder for pair in pairs[:2]), rows
    )
    matrix = engine.loss_matrices([task])[0]
    assert matrix.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            single = EvaluateTask((pairs[i].encoder,), (pairs[j].decoder,), rows)
            [[alone]] = engine.loss_matrices([single])[0]
            assert matrix[i, j] == pytest.approx(alone, rel=1e-6)


def test_batch_losses_go_through_a_split_in_order(architecture: Architecture) -> None:
    engine = engine_of(architecture)
    pair = random_pair(architecture, 1)
    losses = engine.batch_losses([pair], "test", "loss")[0]
    assert losses.shape == (3,)
    last = EvaluateTask(
        (pair.encoder,), (pair.decoder,), np.array([10, 11, 12], dtype=np.int32), "test"
    )
    assert losses[2] == pytest.approx(engine.loss_matrices([last])[0][0, 0], rel=1e-6)


def test_denoising_noise_reaches_the_input_but_not_the_target() -> None:
    architecture = architecture_named("DenoisingAutoencoderBinaryClustering")
    engine = engine_of(architecture)
    pair = random_pair(architecture, 1)
    rows = np.array([[0, 1, 2, 3, 4]], dtype=np.int32)
    zero = np.zeros(1, dtype=np.int32)
    updates = Updates(rows, zero, zero, np.array([1e-3]))
    task = TrainTask((pair.encoder,), (pair.decoder,), updates, noise=np.random.default_rng(8))
    got = engine.train([task])[0]
    x = random_dataset(N_ROWS, N_DIM).train[:5]
    noise = np.random.default_rng(8).standard_normal((5, N_DIM), dtype=np.float32)
    leaves = [
        torch.from_numpy(network.genome.copy()).unsqueeze(0).requires_grad_()
        for network in (pair.encoder, pair.decoder)
    ]
    noisy = torch.from_numpy(x + np.float32(0.4) * noise).unsqueeze(0)
    encoded = run(architecture.encoder, parameters_of(leaves[0], architecture.encoder), noisy)
    decoded = run(
        architecture.decoder, parameters_of(leaves[1], architecture.decoder), encoded.outputs[-1]
    )
    loss = (decoded.outputs[-1] - torch.from_numpy(x)).abs().mean()
    gradient = torch.autograd.grad(loss, leaves[1])[0]
    expected = leaves[1] - 1e-3 * gradient / (gradient.abs() + 1e-8)
    np.testing.assert_allclose(
        got.decoders[0].genome, expected.detach().numpy()[0], rtol=1e-5, atol=1e-6
    )
