"""Losses and activations of stacks of models."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from dense_reference import ReferenceNetwork, reference_code, reference_loss
from helpers import random_pair
from torch_tasks import (
    BATCH,
    MEASURES,
    NOISY,
    SPLITS,
    architecture_named,
    dataset_of,
    engine_of,
    few_architectures,
)

from aes_lipi.autoencoders.environments import (
    Architecture,
)
from aes_lipi.autoencoders.network import Network
from aes_lipi.data.dataset import Split
from aes_lipi.engine.protocol import (
    ActivationsTask,
    EvaluateTask,
)
from aes_lipi.engine.torch import engine


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


def exact(
    architecture: Architecture, encoder: Network, decoder: Network
) -> tuple[ReferenceNetwork, ReferenceNetwork]:
    return (
        ReferenceNetwork.of(encoder, architecture.encoder, np.float64),
        ReferenceNetwork.of(decoder, architecture.decoder, np.float64),
    )


@pytest.mark.usefixtures("in_hand")
def test_loss_matrices_match_float64(architecture: Architecture, stacked: bool) -> None:
    tasks, dataset = evaluation_tasks(architecture), dataset_of()
    got = engine_of(architecture, stacked=stacked).loss_matrices(tasks)
    for task, one in zip(tasks, got, strict=True):
        rows = dataset.split(task.split)[task.rows].astype(np.float64)
        expected = [
            [
                reference_loss(architecture, *exact(architecture, encoder, decoder), rows)
                for decoder in task.decoders
            ]
            for encoder in task.encoders
        ]
        assert one.dtype == np.float64
        np.testing.assert_allclose(one, expected, rtol=2e-6)
        assert len(np.unique(one)) == one.size


@pytest.mark.usefixtures("in_hand")
def test_batch_losses_match_float64(architecture: Architecture, stacked: bool) -> None:
    pairs = [random_pair(architecture, seed) for seed in range(5)]
    engine, dataset = engine_of(architecture, stacked=stacked), dataset_of()
    for split, measure in itertools.product(SPLITS, MEASURES):
        rows = dataset.split(split).astype(np.float64)
        batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
        got = engine.batch_losses(pairs, split, measure)
        for pair, one in zip(pairs, got, strict=True):
            both = exact(architecture, pair.encoder, pair.decoder)
            expected = [reference_loss(architecture, *both, batch, measure) for batch in batches]
            assert one.dtype == np.float64
            np.testing.assert_allclose(one, expected, rtol=2e-6)


@pytest.mark.usefixtures("in_hand")
def test_activations_match_float64(architecture: Architecture, stacked: bool) -> None:
    pairs, dataset = [random_pair(architecture, seed) for seed in range(6)], dataset_of()
    splits: list[Split] = ["train", "test", "train", "validation", "test", "train"]
    rows = [[3, 3, 0, 9, 7], [1], [12, 0, 5, 6, 4], [2, 0, 1], [8], [7, 1]]
    tasks = [
        ActivationsTask(pair, np.array(some, np.int32), split)
        for pair, some, split in zip(pairs, rows, splits, strict=True)
    ]
    for task, one in zip(
        tasks, engine_of(architecture, stacked=stacked).activations(tasks), strict=True
    ):
        encoder, decoder = exact(architecture, task.pair.encoder, task.pair.decoder)
        encoded = encoder.forward(dataset.split(task.split)[task.rows].astype(np.float64))
        decoded = decoder.forward(reference_code(architecture, encoded))
        for seen, expected in ((one.encoder, encoded), (one.decoder, decoded)):
            assert seen.dtype == np.float32
            values = np.concatenate(expected[1:], axis=1)
            np.testing.assert_allclose(seen, values, rtol=1e-5, atol=1e-6)


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
