"""The dense engine's training against a float64 computation, torch, numpy and itself."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from dense_reference import (
    ReferenceNetwork,
    make_architecture,
    make_dataset,
    make_network,
    reference_loss,
    train_reference,
)
from dense_tasks import (
    RATE,
    SHAPES,
    arrays_of,
    assert_close,
    assert_same_bits,
    make_task,
    networks_of,
    pair_loss,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.autoencoders.environments import (
    Architecture,
)
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.dense import (
    DenseEngine,
    engine,
)
from aes_lipi.engine.protocol import (
    TrainTask,
    Updates,
)
from aes_lipi.engine.torch.engine import TorchEngine as AutogradEngine

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
    assert off.sum() <= max(1, 0.02 * off.size)
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
