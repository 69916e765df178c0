"""Networks that stay on the device, and what requests leave alone."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from helpers import random_pair
from torch_tasks import (
    BATCH,
    architecture_named,
    assert_all_agree,
    assert_same_bits,
    continued,
    dataset_of,
    engine_of,
    few_architectures,
    moments_of,
    networks_of,
    oracle_of,
    task_of,
    varied_tasks,
)

from aes_lipi.autoencoders.environments import (
    Architecture,
)
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.protocol import (
    ActivationsTask,
    Engine,
    EvaluateTask,
    Moments,
    Trained,
    TrainTask,
    Updates,
)
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.engine.torch.device import DeviceMoments, DeviceNetwork


@few_architectures
def test_training_makes_networks_that_are_fetched_when_they_are_asked_for(
    architecture: Architecture, stacked: bool
) -> None:
    tasks = varied_tasks(architecture, 5)
    engine = engine_of(architecture, stacked=stacked)
    trained = engine.train(tasks)
    for task, made in zip(tasks, trained, strict=True):
        for before, network in zip(networks_of(task), networks_of(made), strict=True):
            assert isinstance(network, DeviceNetwork)
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
        assert isinstance(network, DeviceNetwork)
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
        assert isinstance(one, DeviceNetwork)
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


@few_architectures
@pytest.mark.parametrize("kept", [False, True])
def test_what_stays_on_the_device_goes_on_like_what_went_through_numpy(
    architecture: Architecture, stacked: bool, kept: bool
) -> None:
    """And like gradients by autograd."""

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
    assert all(isinstance(each, DeviceMoments) for made in stays for each in moments_of(made))
    assert_same_bits(stays, goes)
    if stacked:
        expected = trained_thrice(oracle_of(architecture), through_numpy=True)
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
    got, expected = engine.train(mixed), oracle_of(architecture).train(plain)
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
    engine = TorchEngine(architecture, dataset, BATCH, "cpu:0", stacked=True)
    held = engine.hold([random_pair(architecture, 1).encoder])
    assert engine.hold(held)[0] is held[0]


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
    engine = TorchEngine(architecture, dataset, BATCH, stacked=stacked)
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
