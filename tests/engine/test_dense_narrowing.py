"""Pruned networks are trained without their dead nodes, and come out as if with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dense_reference import make_architecture, make_dataset
from dense_tasks import RATE, SHAPES, TRAINED_OTHERWISE, make_task

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, NetworkLayout
from aes_lipi.engine.dense import DenseEngine, engine
from aes_lipi.engine.dense.narrowing import Narrowing, narrowing
from aes_lipi.engine.protocol import TrainTask
from aes_lipi.pruning.contract import keep_nodes

WIDE = {
    **{name: SHAPES[name] for name in ("standard", "odd widths", "variational, two hidden layers")},
    **TRAINED_OTHERWISE,
    "noisy": replace(make_architecture(23, (18, 9), 5), input_noise=0.3),
}


def pruned(network: Network, layout: NetworkLayout, seed: int, share: float = 0.5) -> Network:
    """A network of which some hidden nodes are frozen at zero, and some weights."""
    rng = np.random.default_rng(seed)
    keep = keep_nodes(layout, rng.random(layout.n_nodes) < share, "hidden_node")
    keep &= rng.random(layout.size) < 0.9
    return Network(np.where(keep, network.genome, np.float32(0)), keep)


def pruned_task(
    architecture: Architecture, *, kept: bool = False, n_encoders: int = 1, share: float = 0.5
) -> TrainTask:
    dataset = make_dataset(50, architecture.n_dim)
    task = make_task(
        architecture, dataset, n_updates=12, batch=7, kept=kept, ragged=True, n_encoders=n_encoders
    )
    encoders = [pruned(each, architecture.encoder, 1, share) for each in task.encoders]
    decoders = [pruned(each, architecture.decoder, 2, share) for each in task.decoders]
    return replace(task, encoders=tuple(encoders), decoders=tuple(decoders))


@pytest.mark.parametrize("name", WIDE)
@pytest.mark.parametrize("kept", [False, True])
def test_training_is_the_same_without_dead_nodes(
    name: str, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = WIDE[name]
    dataset = make_dataset(50, architecture.n_dim)
    task = pruned_task(architecture, kept=kept, n_encoders=2)
    assert narrowing(architecture, task) is not None
    narrow = DenseEngine(architecture, dataset, 7).train([task])[0]
    monkeypatch.setattr(engine, "narrowing", lambda *_: None)
    whole = DenseEngine(architecture, dataset, 7).train(
        [pruned_task(architecture, kept=kept, n_encoders=2)]
    )[0]
    for before, one, other in zip(
        (*task.encoders, *task.decoders),
        (*narrow.encoders, *narrow.decoders),
        (*whole.encoders, *whole.decoders),
        strict=True,
    ):
        assert one.mask is not None
        assert one.mask is before.mask
        assert not one.genome[~one.mask].any()
        assert not np.array_equal(one.genome, before.genome)
        np.testing.assert_allclose(one.genome, other.genome, rtol=1e-5, atol=0.2 * RATE)
    for steps, others in zip(
        (*(narrow.encoder_moments or ()), *(narrow.decoder_moments or ())),
        (*(whole.encoder_moments or ()), *(whole.decoder_moments or ())),
        strict=True,
    ):
        assert kept
        assert steps.steps == others.steps
        scale = np.abs(others.first).max()
        np.testing.assert_allclose(steps.first, others.first, rtol=1e-3, atol=2e-3 * scale)


def found(architecture: Architecture, task: TrainTask) -> Narrowing:
    made = narrowing(architecture, task)
    assert made is not None
    return made


def test_what_is_left_is_what_compaction_leaves_of_hidden_layers() -> None:
    architecture = WIDE["standard"]
    task = pruned_task(architecture)
    left = found(architecture, task).architecture
    for layout, network, smaller in (
        (architecture.encoder, task.encoders[0], left.encoder),
        (architecture.decoder, task.decoders[0], left.decoder),
    ):
        living = layout.living_nodes(network.genome)
        hidden = [int(living[nodes].sum()) for nodes in layout.node_slices()[:-1]]
        assert smaller.hidden_sizes == tuple(hidden)
        assert (smaller.n_in, smaller.n_out) == (layout.n_in, layout.n_out)


def test_a_node_that_lives_in_one_network_of_a_task_stays_in_all() -> None:
    architecture = WIDE["standard"]
    task = pruned_task(architecture, n_encoders=2)
    other = replace(task, encoders=(task.encoders[0], Network(task.encoders[1].genome)))
    assert found(architecture, other).architecture.encoder == architecture.encoder
    assert found(architecture, task).architecture.encoder != architecture.encoder


def test_a_layer_of_which_all_nodes_are_dead_keeps_one() -> None:
    architecture = WIDE["standard"]
    task = pruned_task(architecture, share=1.1)
    left = found(architecture, task).architecture
    assert {*left.encoder.hidden_sizes, *left.decoder.hidden_sizes} == {1}
    dense = DenseEngine(architecture, make_dataset(50, architecture.n_dim), 7)
    trained = dense.train([task])[0]
    assert np.array_equal(trained.encoders[0].genome[:-10] != 0, task.encoders[0].genome[:-10] != 0)


def test_nothing_is_taken_out_where_nodes_are_observed_or_nothing_is_dead() -> None:
    architecture = WIDE["standard"]
    assert narrowing(architecture, replace(pruned_task(architecture), observe=True)) is None
    assert narrowing(architecture, make_task(architecture, make_dataset(50, 200))) is None
