"""Training against a float64 computation, and against differentiated gradients."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from dense_reference import ReferenceNetwork, train_reference
from torch_tasks import (
    BATCH,
    NOISY,
    RATE,
    architecture_named,
    assert_all_agree,
    assert_same_bits,
    dataset_of,
    engine_of,
    few_architectures,
    moments_of,
    networks_of,
    next_value,
    oracle_of,
    task_of,
    tasks_of,
)

from aes_lipi.autoencoders.environments import (
    Architecture,
)
from aes_lipi.autoencoders.network import Network
from aes_lipi.engine.protocol import (
    Moments,
    Trained,
    TrainTask,
)
from aes_lipi.engine.torch import TorchEngine, training


@pytest.mark.parametrize(
    ("kept", "masked", "observe"),
    [(True, True, False), (True, False, True), (False, True, True)],
)
def test_training_agrees_with_gradients_by_autograd(
    architecture: Architecture, kept: bool, masked: bool, observe: bool
) -> None:
    tasks = tasks_of(architecture, kept=kept, masked=masked, observe=observe)
    expected = oracle_of(architecture).train(deepcopy(tasks))
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
    assert_all_agree(got, oracle_of(architecture).train(deepcopy(tasks)))
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


@pytest.mark.parametrize("n_updates", [1, 7, 10, 11, 20])
def test_any_number_of_updates_is_made(n_updates: int, stacked: bool) -> None:
    architecture = architecture_named("AutoencoderBinaryClustering_Large")
    tasks = [task_of(architecture, k, networks=(2, 2), n_updates=n_updates) for k in range(3)]
    got = engine_of(architecture, stacked=stacked).train(tasks)
    assert_all_agree(got, oracle_of(architecture).train(tasks))


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
    expected = TorchEngine(architecture, dataset, BATCH, stacked=False).train([deepcopy(task)])
    assert expected[0].encoders[0].is_finite
    got = TorchEngine(architecture, dataset, BATCH, stacked=stacked).train([task])
    assert_all_agree(got, expected)


def test_statistics_of_a_network_that_diverges_are_of_the_rows_that_were_there(
    stacked: bool,
) -> None:
    architecture = architecture_named("AutoencoderBinaryClustering")
    task = padded_task(architecture)
    rates = np.full_like(task.updates.learning_rate, np.inf)
    task = replace(task, updates=replace(task.updates, learning_rate=rates))
    [expected] = oracle_of(architecture).train([task])
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


@pytest.mark.parametrize(
    ("kept", "n_updates", "tolerance"), [(False, 1, 1e-4), (False, 6, 1e-3), (True, 6, 1e-3)]
)
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


# Training noise


@pytest.mark.parametrize("name", NOISY)
@pytest.mark.parametrize(("n_updates", "at_once"), [(6, 6), (13, 1), (20, 10)])
def test_noise_is_drawn_from_a_tasks_own_source_however_it_is_sent(
    name: str, n_updates: int, at_once: int, stacked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = architecture_named(name)

    def tasks() -> list[TrainTask]:
        return [
            task_of(architecture, k, networks=(2, 2), n_updates=n_updates, rate=1e-3)
            for k in range(2)
        ]

    starts = []
    load = training._Program._load_noise

    def noted(program: training._Program, some: Sequence[TrainTask], start: int) -> None:
        starts.append(start)
        load(program, some, start)

    monkeypatch.setattr(training._Program, "_load_noise", noted)
    given = [tasks() for _ in range(4)]
    whole = engine_of(architecture, stacked=stacked).train(given[0])
    assert set(starts) == {0}
    monkeypatch.setattr(training, "NOISE_ON_CPU", 1)
    assert_same_bits(engine_of(architecture, stacked=stacked).train(given[1]), whole)
    assert sorted(set(starts)) == list(range(0, n_updates, at_once))
    of_five_steps = 5 * (2 if stacked else 1) * BATCH * architecture.noise_width
    monkeypatch.setattr(training, "NOISE_ON_CPU", of_five_steps)
    starts.clear()
    assert_same_bits(engine_of(architecture, stacked=stacked).train(given[2]), whole)
    assert sorted(set(starts)) == list(range(0, n_updates, max(at_once, 5 // at_once * at_once)))
    assert_all_agree(whole, oracle_of(architecture).train(given[3]))
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
