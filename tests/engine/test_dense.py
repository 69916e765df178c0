"""The dense engine against a float64 computation, torch, numpy and itself."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from dense_reference import (
    ReferenceNetwork,
    make_architecture,
    make_dataset,
    make_network,
    make_updates,
    reference_code,
    reference_loss,
    train_reference,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import (
    ENVIRONMENTS,
    Architecture,
    build_architecture,
)
from aes_lipi.autoencoders.network import Layer, Network, NetworkLayout, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.dense import (
    DenseEngine,
    compile_kernels,
    engine,
    fits,
    kernels,
)
from aes_lipi.engine.dense.target import entry_point
from aes_lipi.engine.protocol import (
    ActivationsTask,
    EvaluateTask,
    Measure,
    Moments,
    Trained,
    TrainTask,
    Updates,
)
from aes_lipi.engine.torch.engine import TorchEngine as AutogradEngine

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


# Updates against float64


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("batch", [1, 4, 5, 7, 16])
def test_one_update_matches_float64(name: str, batch: int) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, batch=batch)
    trained = DenseEngine(architecture, dataset, batch).train([task])[0]
    again = make_task(architecture, dataset, batch=batch)
    encoders, decoders = train_reference(architecture, dataset.train, again)
    assert_close(trained, encoders + decoders, 0.02)
    moved = "one of each" in name or not np.array_equal(
        task.decoders[0].genome, trained.decoders[0].genome
    )
    assert moved


@pytest.mark.parametrize(
    "name", ["standard", "odd widths", "variational", "variational, odd widths"]
)
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("dead", [0.0, 0.6])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_few_updates_with_every_option_match_float64(
    name: str, kept: bool, dead: float, noise: float
) -> None:
    architecture = replace(SHAPES[name], input_noise=noise)
    dataset = make_dataset(50, architecture.n_dim)

    def task() -> TrainTask:
        return make_task(
            architecture, dataset, n_updates=6, batch=7, n_encoders=2, n_decoders=3, dead=dead,
            kept=kept, ragged=True,
        )  # fmt: skip

    trained = DenseEngine(architecture, dataset, 7).train([task()])[0]
    encoders, decoders = train_reference(architecture, dataset.train, task())
    assert_close(trained, encoders + decoders, 0.1)
    moments = (*(trained.encoder_moments or ()), *(trained.decoder_moments or ()))
    assert len(moments) == (5 if kept else 0)
    for got, expected in zip(moments, encoders + decoders, strict=kept):
        assert got.steps == expected.steps
        scale = np.abs(expected.first).max() + 1e-12
        np.testing.assert_allclose(got.first, expected.first, atol=2e-3 * scale)
        np.testing.assert_allclose(got.second, expected.second, atol=2e-3 * scale**2)


@st.composite
def small_tasks(draw: st.DrawFn) -> tuple[Architecture, Dataset, TrainTask]:
    width = st.integers(1, 40)
    architecture = make_architecture(
        draw(width),
        tuple(draw(st.lists(width, max_size=2))),
        draw(width),
        variational=draw(st.booleans()),
    )
    dataset = make_dataset(12, architecture.n_dim)
    task = make_task(
        architecture,
        dataset,
        n_updates=2,
        batch=draw(st.integers(1, 12)),
        n_encoders=draw(st.integers(1, 3)),
        n_decoders=draw(st.integers(1, 3)),
        dead=draw(st.sampled_from([0.0, 0.5])),
        kept=draw(st.booleans()),
        ragged=draw(st.booleans()),
        observe=draw(st.booleans()),
        seed=draw(st.integers(0, 2**32 - 1)),
    )
    return architecture, dataset, task


@settings(max_examples=100, deadline=None)
@given(small_tasks())
def test_small_shapes_match_float64(case: tuple[Architecture, Dataset, TrainTask]) -> None:
    architecture, dataset, task = case
    trained = DenseEngine(architecture, dataset, 5).train([deepcopy(task)])[0]
    encoders, decoders = train_reference(architecture, dataset.train, task)
    # A gradient that is zero but for rounding moves a weight by up to the learning rate; few are.
    got = np.concatenate([network.genome for network in networks_of(trained)])
    expected = np.concatenate([network.genome for network in encoders + decoders])
    off = np.abs(got - expected) > 0.05 * RATE + 1e-6 * np.abs(expected)
    assert off.mean() < 0.02
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=8 * RATE)


@pytest.mark.parametrize("name", [*[*SHAPES][:3], "odd widths", "variational"])
def test_loss_after_200_updates_is_as_close_to_float64_as_torch_is(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(200, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=200)
    start = pair_loss(task.encoders[0], task.decoders[0], architecture, dataset.train)
    loss, torch_loss = (
        pair_loss(t.encoders[0], t.decoders[0], architecture, dataset.train)
        for made in (DenseEngine, AutogradEngine)
        for t in made(architecture, dataset, 5).train([deepcopy(task)])
    )
    encoders, decoders = train_reference(architecture, dataset.train, task)
    rows = dataset.train.astype(np.float64)
    exact = reference_loss(architecture, encoders[0], decoders[0], rows)
    assert loss < start
    assert abs(loss - exact) < 5 * abs(torch_loss - exact) + 0.01 * (start - exact)


@pytest.mark.parametrize("name", ["standard", "variational"])
@pytest.mark.parametrize("kept", [False, True])
def test_updates_agree_with_the_autograd_engine(name: str, kept: bool) -> None:
    """The noise too is used in the same order."""
    architecture = replace(SHAPES[name], input_noise=0.4)
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(
        architecture, dataset, n_updates=6, batch=7, n_encoders=2, n_decoders=3, dead=0.5,
        kept=kept, ragged=True, observe=True,
    )  # fmt: skip
    dense, autograd = (
        made(architecture, dataset, 7).train([deepcopy(task)])[0]
        for made in (DenseEngine, AutogradEngine)
    )
    for one, other in zip(networks_of(dense), networks_of(autograd), strict=True):
        off = np.abs(one.genome - other.genome) > 0.1 * RATE + 1e-6 * np.abs(other.genome)
        assert off.mean() < 1e-3
    for got, expected in zip(arrays_of(dense), arrays_of(autograd), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-3)


# What an update leaves alone


@pytest.mark.parametrize("name", ["odd widths", "variational, odd widths"])
@pytest.mark.parametrize("kept", [False, True])
def test_frozen_weights_never_move_and_others_do(name: str, kept: bool) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=50, dead=0.5, kept=kept)
    trained = DenseEngine(architecture, dataset, 5).train([task])[0]
    for before, after in zip((*task.encoders, *task.decoders), networks_of(trained), strict=True):
        assert after.mask is before.mask
        assert before.mask is not None
        assert not after.genome[~before.mask].any()
    assert np.any(trained.decoders[0].genome != task.decoders[0].genome)


@pytest.mark.parametrize("name", ["odd widths", "variational, odd widths"])
def test_a_mask_that_freezes_nothing_changes_no_bit(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=20)
    masked = replace(
        deepcopy(task),
        encoders=tuple(replace(n, mask=np.ones(n.genome.size, bool)) for n in task.encoders),
    )
    dense = DenseEngine(architecture, dataset, 5)
    assert_same_bits(*dense.train([task, masked]))


def test_networks_that_no_update_trains_keep_their_bits() -> None:
    architecture = SHAPES["odd widths"]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=9, n_encoders=3, n_decoders=3, observe=True)
    chosen = replace(task.updates, encoder=np.full(9, 1, np.int32), decoder=np.full(9, 2, np.int32))
    trained = DenseEngine(architecture, dataset, 5).train([replace(task, updates=chosen)])[0]
    for k in (0, 2):
        assert np.array_equal(trained.encoders[k].genome, task.encoders[k].genome)
    for k in (0, 1):
        assert np.array_equal(trained.decoders[k].genome, task.decoders[k].genome)
    assert trained.encoder_statistics is not None
    assert not trained.encoder_statistics[0].count.any()
    assert trained.encoder_statistics[1].count.tolist() == [9] * 5


def test_no_updates_return_the_networks_unchanged() -> None:
    architecture = SHAPES["standard"]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=0)
    trained = DenseEngine(architecture, dataset, 5).train([task])[0]
    assert np.array_equal(trained.encoders[0].genome, task.encoders[0].genome)
    assert np.array_equal(trained.decoders[0].genome, task.decoders[0].genome)
    assert trained.encoder_moments is None
    assert trained.encoder_statistics is None


def test_an_exact_reconstruction_has_gradient_zero() -> None:
    architecture = make_architecture(20, (4,), 2)
    half = np.full((5, 20), 0.5, np.float32)
    dataset = Dataset("half", half, half, half)
    task = make_task(architecture, dataset)
    task = replace(task, decoders=(Network(np.zeros(architecture.decoder.size, np.float32)),))
    trained = DenseEngine(architecture, dataset, 5).train([task])[0]
    assert not trained.decoders[0].genome.any()
    assert np.array_equal(trained.encoders[0].genome, task.encoders[0].genome)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        *(("odd widths", scale) for scale in (1e2, 1e4, 1e18, 1e37)),
        *(("variational, odd widths", scale) for scale in (1e2, 1e4, 1e18)),
    ],
)
def test_huge_logits_give_no_nan(name: str, scale: float) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=5, observe=scale < 1e10)
    generator = np.random.default_rng(0)
    genome = np.abs(make_network(architecture.encoder, generator).genome)
    last = architecture.decoder.weight_slice(1)
    large = task.decoders[0].genome.copy()
    large[last] *= np.float32(scale)
    task = replace(task, encoders=(Network(genome),), decoders=(Network(large),))
    dense = DenseEngine(architecture, dataset, 5)
    trained = dense.train([task])[0]
    assert all(np.isfinite(array).all() for array in arrays_of(trained))
    pair = Pair(trained.encoders[0], trained.decoders[0])
    assert np.isfinite(dense.batch_losses([pair], "train", "loss")[0]).all()


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("value", [-1e30, -1e3, -87.0, 85.0, 100.0, 1e4, 1e30])
def test_huge_log_variances_give_no_nan_and_are_driven_back(kept: bool, value: float) -> None:
    architecture = SHAPES["variational, odd widths"]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=5, kept=kept)
    genome = task.encoders[0].genome.copy()
    bias = architecture.encoder.bias_slice(2)
    genome[architecture.encoder.weight_slice(2)] = 0.0
    genome[bias] = value
    dense = DenseEngine(architecture, dataset, 5)
    trained = dense.train([replace(task, encoders=(Network(genome),))])[0]
    assert all(np.isfinite(array).all() for array in arrays_of(trained))
    if abs(value) <= 100.0:
        moved = trained.encoders[0].genome[bias] - genome[bias]
        assert (np.sign(moved) == -np.sign(value)).all()
    pair = Pair(trained.encoders[0], trained.decoders[0])
    losses = dense.batch_losses([pair], "train", "loss")[0]
    assert np.isfinite(losses).all()
    if abs(value) < 87.0:
        expected = pair_loss(pair.encoder, pair.decoder, architecture, dataset.train[:5])
        assert losses[0] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("logit", [0.0, 1e-4, 1.0, -5.0, 20.0, -20.0, 90.0, -1e4])
@pytest.mark.parametrize("target", [0.0, 0.3, 1.0])
def test_cross_entropy_is_accurate_to_float32(logit: float, target: float) -> None:
    """Also where it is tiny, or torch's, of a rounded sigmoid, is not."""
    architecture = make_architecture(19, (4,), 2, variational=True)
    rows = np.full((1, 19), target, np.float32)
    decoder = np.zeros(architecture.decoder.size, np.float32)
    decoder[architecture.decoder.bias_slice(1)] = logit
    pair = Pair(Network(np.zeros(architecture.encoder.size, np.float32)), Network(decoder))
    dataset = Dataset("one row", rows, rows, rows)
    loss = DenseEngine(architecture, dataset, 5).batch_losses([pair], "train", "loss")[0][0]
    t, z = float(np.float32(target)), float(np.float32(logit))
    expected = 19 * (t * np.logaddexp(0, -z) + (1 - t) * np.logaddexp(0, z))
    assert loss == pytest.approx(expected, rel=1e-6, abs=1e-24)


@pytest.mark.parametrize("name", ["odd widths", "variational, odd widths"])
def test_nan_weights_show_in_the_loss(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset)
    broken = Network(np.full(architecture.encoder.size, np.nan, np.float32))
    rows = np.arange(5, dtype=np.int32)
    evaluate = EvaluateTask((broken, *task.encoders), task.decoders, rows)
    losses = DenseEngine(architecture, dataset, 5).loss_matrices([evaluate])[0]
    assert np.isnan(losses[0]).all()
    assert np.isfinite(losses[1]).all()


# Moments and noise


@pytest.mark.parametrize("name", ["odd widths", "variational, odd widths"])
def test_kept_moments_continue_where_they_stopped(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    dense = DenseEngine(architecture, dataset, 5)
    task = make_task(architecture, dataset, n_updates=20, kept=True)
    whole = dense.train([deepcopy(task)])[0]
    parts = [
        Updates(*(values[part] for values in vars(task.updates).values()))
        for part in (slice(0, 7), slice(7, 20))
    ]
    first = dense.train([replace(task, updates=parts[0])])[0]
    second = dense.train(
        [
            TrainTask(
                first.encoders, first.decoders, parts[1], first.encoder_moments,
                first.decoder_moments, task.noise,
            )
        ]
    )[0]  # fmt: skip
    assert_same_bits(whole, second)


@pytest.mark.parametrize("name", ["odd widths", "variational, odd widths"])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_noise_is_the_same_however_it_is_cut_into_pieces(
    name: str, noise: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = replace(SHAPES[name], input_noise=noise)
    width = architecture.noise_width
    dataset = make_dataset(50, architecture.n_dim)
    dense = DenseEngine(architecture, dataset, 5)
    whole = dense.train([make_task(architecture, dataset, n_updates=20, ragged=True)])[0]
    monkeypatch.setattr(engine, "NOISE_FLOATS", 3 * 5 * width)
    task = make_task(architecture, dataset, n_updates=20, ragged=True)
    pieces = dense.train([task])[0]
    assert_same_bits(whole, pieces)
    assert (task.noise is None) == (width == 0)
    if task.noise is None:
        return
    rest = np.random.default_rng(99)
    rest.standard_normal(int((task.updates.rows >= 0).sum()) * width, dtype=np.float32)
    assert task.noise.standard_normal() == rest.standard_normal()


# Statistics


@pytest.mark.parametrize("name", ["standard", "odd widths", "whole vectors", "variational"])
@pytest.mark.parametrize("batch", [4, 5, 12])
def test_statistics_match_numpy(name: str, batch: int) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(
        architecture, dataset, n_updates=30, batch=batch, n_encoders=2, n_decoders=2, ragged=True,
        observe=True,
    )  # fmt: skip
    trained = DenseEngine(architecture, dataset, batch).train([deepcopy(task)])[0]
    encoders, decoders = train_reference(architecture, dataset.train, task)
    got = (*(trained.encoder_statistics or ()), *(trained.decoder_statistics or ()))
    for statistics, network in zip(got, encoders + decoders, strict=True):
        for slot in range(batch):
            seen = np.array([a[slot] for a in network.seen if len(a) > slot])
            assert statistics.count[slot] == len(seen)
            if len(seen):
                np.testing.assert_allclose(statistics.mean[slot], seen.mean(axis=0), atol=2e-4)
                spread = ((seen - seen.mean(axis=0)) ** 2).sum(axis=0)
                np.testing.assert_allclose(statistics.m2[slot], spread, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["odd widths", "variational, odd widths"])
def test_statistics_of_fixed_networks_are_accurate(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(500, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=400, observe=True)
    still = replace(task.updates, learning_rate=np.zeros(400))
    trained = DenseEngine(architecture, dataset, 5).train([replace(task, updates=still)])[0]
    encoder = ReferenceNetwork.of(task.encoders[0], architecture.encoder, np.float64)
    values = np.concatenate(
        encoder.forward(dataset.train[still.rows].reshape(-1, 37).astype(np.float64))[1:], axis=1
    ).reshape(400, 5, -1)
    assert trained.encoder_statistics is not None
    deviation = trained.encoder_statistics[0].standard_deviation()
    np.testing.assert_allclose(deviation, values.std(axis=0), rtol=1e-5)
    np.testing.assert_allclose(
        trained.encoder_statistics[0].mean, values.mean(axis=0), rtol=1e-5, atol=1e-7
    )


@pytest.mark.parametrize("name", ["standard", "variational"])
def test_observing_changes_no_bit(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=20)
    observed = replace(deepcopy(task), observe=True)
    seen, unseen = DenseEngine(architecture, dataset, 5).train([observed, task])
    assert np.array_equal(seen.encoders[0].genome, unseen.encoders[0].genome)
    assert np.array_equal(seen.decoders[0].genome, unseen.decoders[0].genome)


# Bits


def mixed_tasks(architecture: Architecture, dataset: Dataset) -> list[TrainTask]:
    return [
        make_task(architecture, dataset, n_updates=8, batch=5, seed=1, observe=True),
        make_task(architecture, dataset, n_updates=5, batch=12, n_encoders=3, seed=2, ragged=True),
        make_task(architecture, dataset, n_updates=7, batch=5, n_decoders=4, seed=3, kept=True),
        make_task(architecture, dataset, n_updates=7, batch=7, dead=0.5, seed=4, observe=True),
        make_task(architecture, dataset, n_updates=8, batch=5, seed=1, observe=True),
    ]


@pytest.mark.parametrize(
    "name",
    ["standard", "odd widths", "wide in the middle", "variational", "variational, wide code"],
)
def test_a_task_has_the_same_bits_alone_and_in_any_stack(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    tasks = mixed_tasks(architecture, dataset)
    dense = DenseEngine(architecture, dataset, 5)
    stack = dense.train(deepcopy(tasks))
    again = dense.train(deepcopy(tasks)[::-1])[::-1]
    alone = [DenseEngine(architecture, dataset, 5).train([task])[0] for task in tasks]
    for one, two, three in zip(stack, again, alone, strict=True):
        assert_same_bits(one, two)
        assert_same_bits(one, three)
    assert_same_bits(stack[0], stack[4])


@pytest.mark.parametrize("name", ["standard", "variational"])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_read_only_and_misaligned_inputs_give_the_same_bits_and_stay_unchanged(
    name: str, offset: int
) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_updates=5, dead=0.3, kept=True, observe=True)
    expected = DenseEngine(architecture, dataset, 5).train([deepcopy(task)])[0]
    moved = Dataset(
        "moved", *(displaced(rows, offset) for rows in (dataset.train, dataset.test, dataset.test))
    )

    def moved_networks(networks: tuple[Network, ...]) -> tuple[Network, ...]:
        return tuple(
            Network(displaced(n.genome, offset), None if n.mask is None else displaced(n.mask, 1))
            for n in networks
        )

    def moved_moments(moments: tuple[Moments, ...] | None) -> tuple[Moments, ...]:
        return tuple(
            Moments(displaced(m.first, offset), displaced(m.second, offset), m.steps)
            for m in moments or ()
        )

    other = TrainTask(
        moved_networks(task.encoders),
        moved_networks(task.decoders),
        Updates(*(displaced(values, offset) for values in vars(task.updates).values())),
        moved_moments(task.encoder_moments),
        moved_moments(task.decoder_moments),
        task.noise,
        observe=True,
    )
    before = digest(other)
    assert_same_bits(expected, DenseEngine(architecture, moved, 5).train([other])[0])
    assert digest(other) == before
    assert moved.train.tobytes() == dataset.train.tobytes()


def displaced(array: npt.NDArray[Any], offset: int) -> npt.NDArray[Any]:
    """A read-only copy that starts `offset` bytes after an aligned address."""
    raw = np.zeros(array.nbytes + 16, np.uint8)
    copy = raw[offset : offset + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    copy.flags.writeable = False
    return copy


def digest(task: TrainTask) -> str:
    """Of every array of a task."""
    state = hashlib.sha256()
    for network in (*task.encoders, *task.decoders):
        state.update(network.genome.tobytes())
        state.update(b"" if network.mask is None else network.mask.tobytes())
    for moments in (*(task.encoder_moments or ()), *(task.decoder_moments or ())):
        state.update(moments.first.tobytes() + moments.second.tobytes())
    for values in vars(task.updates).values():
        state.update(values.tobytes())
    return state.hexdigest()


def trained_digest() -> str:
    """Of the answers to tasks of every kind."""
    state = hashlib.sha256()
    for name in ("odd widths", "variational, odd widths"):
        architecture = SHAPES[name]
        dataset = make_dataset(50, architecture.n_dim)
        tasks = mixed_tasks(architecture, dataset)
        for trained in DenseEngine(architecture, dataset, 5).train(tasks):
            for array in arrays_of(trained):
                state.update(array.tobytes())
    return state.hexdigest()


def test_another_process_computes_the_same_bits() -> None:
    path = [str(Path(__file__).parent), *sys.path]
    code = (
        f"import sys; sys.path[:] = {path!r}; import test_dense; print(test_dense.trained_digest())"
    )
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)
    assert answer.stdout.strip() == trained_digest()


# Evaluation


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("batch", [3, 5, 12])
def test_losses_match_float64(name: str, batch: int) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_encoders=3, n_decoders=2)
    dense = DenseEngine(architecture, dataset, batch)
    rows = np.arange(batch, dtype=np.int32)[::-1]
    one = EvaluateTask(task.encoders, task.decoders, rows)
    other = EvaluateTask(task.encoders[1:], task.decoders, rows[:1])
    matrix, smaller = dense.loss_matrices([one, other])
    assert matrix.shape == (3, 2)
    assert smaller.shape == (2, 2)
    for i, encoder in enumerate(task.encoders):
        for j, decoder in enumerate(task.decoders):
            expected = pair_loss(encoder, decoder, architecture, dataset.train[rows])
            assert matrix[i, j] == pytest.approx(expected, rel=1e-5)
    pairs = [Pair(task.encoders[0], task.decoders[1]), Pair(task.encoders[2], task.decoders[0])]
    batches = [dataset.test[k : k + batch] for k in range(0, len(dataset.test), batch)]
    measures: tuple[Measure, ...] = ("l1", "loss")
    for measure in measures:
        for pair, losses in zip(pairs, dense.batch_losses(pairs, "test", measure), strict=True):
            values = [
                pair_loss(pair.encoder, pair.decoder, architecture, b, measure) for b in batches
            ]
            np.testing.assert_allclose(losses, values, rtol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_evaluation_agrees_with_the_autograd_engine(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset, n_encoders=3, n_decoders=2)
    engines = [made(architecture, dataset, 7) for made in (DenseEngine, AutogradEngine)]
    rows = np.array([3, 3, 0, 11, 7, 1, 2], np.int32)
    pair = Pair(task.encoders[2], task.decoders[1])
    evaluate = EvaluateTask(task.encoders, task.decoders, rows, "test")
    one, other = (
        (
            made.loss_matrices([evaluate])[0],
            made.batch_losses([pair], "validation", "l1")[0],
            made.batch_losses([pair], "validation", "loss")[0],
            *vars(made.activations([ActivationsTask(pair, rows, "test")])[0]).values(),
        )
        for made in engines
    )
    for got, expected in zip(one, other, strict=True):
        assert got.dtype == expected.dtype
        np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", SHAPES)
def test_activations_match_float64(name: str) -> None:
    architecture = SHAPES[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(architecture, dataset)
    rows = np.array([3, 3, 0, 11, 7, 1, 2], np.int32)
    pair = Pair(task.encoders[0], task.decoders[0])
    answer = DenseEngine(architecture, dataset, 5).activations(
        [ActivationsTask(pair, rows, "validation")]
    )[0]
    encoder = ReferenceNetwork.of(pair.encoder, architecture.encoder, np.float64)
    decoder = ReferenceNetwork.of(pair.decoder, architecture.decoder, np.float64)
    coded = encoder.forward(dataset.validation[rows].astype(np.float64))
    decoded = decoder.forward(reference_code(architecture, coded))
    assert answer.encoder.dtype == answer.decoder.dtype == np.float32
    np.testing.assert_allclose(answer.encoder, np.concatenate(coded[1:], axis=1), atol=2e-6)
    np.testing.assert_allclose(answer.decoder, np.concatenate(decoded[1:], axis=1), atol=2e-6)


# Choice and compilation


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_fits_the_environments_of_the_paper(name: str) -> None:
    e = ENVIRONMENTS[name]
    assert fits(build_architecture(e, 100, e.hidden_sizes, e.latent_size))


def unfit_architectures() -> dict[str, Architecture]:
    plain, variational = SHAPES["odd widths"], SHAPES["variational, odd widths"]
    hidden, mean, log_variance = variational.encoder.layers

    def with_encoder(base: Architecture, *layers: Layer) -> Architecture:
        return replace(base, encoder=NetworkLayout(layers))

    return {
        "linear hidden layer": with_encoder(
            plain, Layer("hidden_1", 37, 7, "linear", -1), Layer("latent", 7, 3, "relu", 0)
        ),
        "sigmoid code": with_encoder(plain, Layer("latent", 37, 3, "sigmoid", -1)),
        "one head": with_encoder(variational, log_variance),
        "head that reads the other": with_encoder(
            variational, hidden, mean, replace(log_variance, reads=1)
        ),
        "ReLU head": with_encoder(
            variational, hidden, replace(mean, activation="relu"), log_variance
        ),
        "heads of different widths": with_encoder(
            variational, hidden, replace(mean, n_out=4), log_variance
        ),
        "skipping decoder": replace(
            plain,
            decoder=NetworkLayout(
                tuple(replace(layer, reads=-1) for layer in plain.decoder.layers)
            ),
        ),
        "wrong output width": replace(plain, decoder=make_architecture(36, (7,), 3).decoder),
        "variational with L1": replace(variational, loss="l1"),
        "negative ELBO without heads": replace(plain, loss="negative_elbo"),
    }


@pytest.mark.parametrize("name", unfit_architectures())
def test_refuses_an_architecture_that_it_does_not_fit(name: str) -> None:
    unfit = unfit_architectures()[name]
    assert not fits(unfit)
    with pytest.raises(ValueError, match="autograd engine"):
        DenseEngine(unfit, make_dataset(10, 37), 5)


def test_the_entry_point_is_compiled_once() -> None:
    compile_kernels()
    for name in ("standard", "odd widths", "variational"):
        architecture = SHAPES[name]
        dataset = make_dataset(50, architecture.n_dim)
        dense = DenseEngine(architecture, dataset, 5)
        tasks = mixed_tasks(architecture, dataset)
        dense.train(tasks)
        dense.loss_matrices(
            [EvaluateTask(t.encoders, t.decoders, t.updates.rows[1, :2]) for t in tasks]
        )
        pairs = [Pair(t.encoders[0], t.decoders[0]) for t in tasks]
        dense.batch_losses(pairs, "test", "l1")
        dense.batch_losses(pairs, "test", "loss")
        dense.activations(
            [ActivationsTask(pair, np.arange(3, dtype=np.int32), "test") for pair in pairs]
        )
    compiled: Any = kernels.run_batches
    assert len(compiled.signatures) == 1


def test_without_a_place_for_the_cache_it_compiles_all_the_same() -> None:
    namespace: dict[str, object] = {}
    exec(compile("def double(x): return 2 * x", "<no file>", "exec"), namespace)
    function = namespace["double"]
    assert callable(function)
    assert entry_point(function)(21) == 42
