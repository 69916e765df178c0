"""Evaluations that draw a variational code, and losses of the batches of training; both engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dense_reference import ReferenceNetwork, make_dataset, reference_code, reference_loss
from dense_tasks import SHAPES, TRAINED_OTHERWISE, arrays_of, make_task

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.dense import DenseEngine
from aes_lipi.engine.dense import engine as dense_engine
from aes_lipi.engine.protocol import (
    ActivationsTask,
    Engine,
    EvaluateTask,
    Measure,
    TrainTask,
    Updates,
)
from aes_lipi.engine.torch import engine as torch_engine
from aes_lipi.engine.torch.engine import TorchEngine

Make = Callable[[Architecture, Dataset, int], Engine]
ENGINES: dict[str, Make] = {
    "dense": DenseEngine,
    "torch": TorchEngine,
    "torch, stacks": lambda *of: TorchEngine(*of, stacked=True),
}
every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
BATCH = 7
VARIATIONAL = SHAPES["variational, odd widths"]
DATASET = make_dataset(50, VARIATIONAL.n_dim)
NOISY_ROWS = replace(VARIATIONAL, input_noise=0.3)
ROWS = np.array([3, 0, 11, 7, 1], np.int32)


@pytest.fixture(params=[False, True], ids=["whole", "in pieces"])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How much an engine does at once."""
    if request.param:
        monkeypatch.setattr(dense_engine, "WORK", 1)
        monkeypatch.setattr(torch_engine, "VALUES_ON_CPU", 1)


def drawn(*shape: int) -> Any:
    rng = np.random.default_rng(5)
    return rng.standard_normal((*shape, VARIATIONAL.latent_size), dtype=np.float32)


def in_float64(encoder: Network, decoder: Network) -> tuple[ReferenceNetwork, ReferenceNetwork]:
    return (
        ReferenceNetwork.of(encoder, VARIATIONAL.encoder, np.float64),
        ReferenceNetwork.of(decoder, VARIATIONAL.decoder, np.float64),
    )


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("architecture", [VARIATIONAL, NOISY_ROWS], ids=["rows", "noisy rows"])
@every_engine
def test_every_pair_has_codes_of_its_own(engine: Make, architecture: Architecture) -> None:
    """And what noise training adds to rows is not added."""
    task = make_task(architecture, DATASET, n_encoders=3, n_decoders=2)
    noise, rows = drawn(3, 2, len(ROWS)), DATASET.test[ROWS].astype(np.float64)
    asked = EvaluateTask(task.encoders, task.decoders, ROWS, "test", noise)
    plain = replace(asked, code_noise=None)
    made = engine(architecture, DATASET, BATCH)
    of_mean, got, again = made.loss_matrices([plain, asked, replace(asked, rows=ROWS.copy())])
    assert got.tobytes() == again.tobytes()
    assert not np.any(got == of_mean)
    for i, encoder in enumerate(task.encoders):
        for j, decoder in enumerate(task.decoders):
            both = in_float64(encoder, decoder)
            exact = reference_loss(architecture, *both, rows, "loss", noise=noise[i, j])
            assert got[i, j] == pytest.approx(exact, rel=1e-5)


@pytest.mark.usefixtures("pieces")
@every_engine
def test_batches_of_a_split_are_drawn_row_by_row_in_their_order(engine: Make) -> None:
    task = make_task(VARIATIONAL, DATASET, n_encoders=3, n_decoders=3)
    pairs = [Pair(*both) for both in zip(task.encoders, task.decoders, strict=True)]
    order = np.random.default_rng(3).permutation(len(DATASET.train)).astype(np.int32)
    noise = [drawn(len(order)), None, 2 * drawn(len(order))]
    made = engine(VARIATIONAL, DATASET, BATCH)
    measures: tuple[Measure, ...] = ("loss", "l1")
    for measure in measures:
        got = made.batch_losses(pairs, "train", measure, order, noise)
        for pair, given, losses in zip(pairs, noise, got, strict=True):
            both = in_float64(pair.encoder, pair.decoder)
            values = np.zeros((len(order), VARIATIONAL.latent_size)) if given is None else given
            exact = [
                reference_loss(
                    VARIATIONAL,
                    *both,
                    DATASET.train[order[k : k + BATCH]].astype(np.float64),
                    measure,
                    noise=values[k : k + BATCH],
                )
                for k in range(0, len(order), BATCH)
            ]
            np.testing.assert_allclose(losses, exact, rtol=1e-5)


@every_engine
def test_a_codes_mean_does_not_depend_on_draws_beside_it(engine: Make) -> None:
    """Though the variance, with which nothing is drawn, is beyond float32."""
    task = make_task(VARIATIONAL, DATASET, n_encoders=2, n_decoders=2)
    wide = task.encoders[0].genome.copy()
    wide[VARIATIONAL.encoder.bias_slice(len(VARIATIONAL.encoder.layers) - 1)] = 200.0
    pairs = [Pair(Network(wide), task.decoders[0]), Pair(task.encoders[1], task.decoders[1])]
    made = engine(VARIATIONAL, DATASET, BATCH)
    [alone] = made.batch_losses(pairs[:1], "test", "l1")
    beside = made.batch_losses(pairs, "test", "l1", None, [None, drawn(len(DATASET.test))])
    assert np.isfinite(alone).all()
    assert np.array_equal(alone, beside[0])


@pytest.mark.usefixtures("pieces")
@every_engine
def test_activations_are_of_the_drawn_code(engine: Make) -> None:
    task, rows = make_task(VARIATIONAL, DATASET), np.arange(17, dtype=np.int32)
    noise, pair = drawn(len(rows)), Pair(task.encoders[0], task.decoders[0])
    asked = ActivationsTask(pair, rows, "train", noise)
    [seen] = engine(VARIATIONAL, DATASET, BATCH).activations([asked])
    encoder, decoder = in_float64(pair.encoder, pair.decoder)
    coded = encoder.forward(DATASET.train[rows].astype(np.float64))
    decoded = decoder.forward(reference_code(VARIATIONAL, coded, noise))
    np.testing.assert_allclose(seen.encoder, np.concatenate(coded[1:], axis=1), atol=2e-6)
    np.testing.assert_allclose(seen.decoder, np.concatenate(decoded[1:], axis=1), atol=5e-6)


def first_updates(task: TrainTask, number: int) -> TrainTask:
    of = task.updates
    updates = Updates(
        of.rows[:number], of.encoder[:number], of.decoder[:number], of.learning_rate[:number]
    )
    return replace(task, updates=updates)


SHAPED = {"odd widths": SHAPES["odd widths"], "variational": VARIATIONAL, **TRAINED_OTHERWISE}


@pytest.mark.usefixtures("pieces")
@pytest.mark.parametrize("weighs", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("name", SHAPED)
@every_engine
def test_losses_of_training_are_those_before_each_update(
    engine: Make, name: str, weighs: bool
) -> None:
    """An evaluation says the same of the networks as the updates before have left them."""
    architecture = SHAPED[name]
    dataset = make_dataset(50, architecture.n_dim)
    if weighs:
        dataset = replace(dataset, weights=np.linspace(0.5, 1.5, 50, dtype=np.float32))
    made = engine(architecture, dataset, BATCH)

    whole = make_task(
        *(architecture, dataset),
        n_updates=5,
        n_encoders=2,
        n_decoders=3,
        dead=0.3,
        ragged=True,
    )
    stream = np.random.default_rng(99)
    task = replace(whole, measure=True, noise=np.random.default_rng(99) if whole.noise else None)
    [trained] = made.train([task])
    assert trained.losses is not None
    assert trained.losses.dtype == np.float64
    for s, slots in enumerate(whole.updates.rows):
        noise = np.random.default_rng(99) if whole.noise else None
        [before] = made.train([first_updates(replace(whole, noise=noise), s)])
        rows = slots[slots >= 0]
        code = None
        if architecture.noise_width:
            code = stream.standard_normal((len(rows), architecture.noise_width), dtype=np.float32)
        asked = EvaluateTask(
            (before.encoders[whole.updates.encoder[s]],),
            (before.decoders[whole.updates.decoder[s]],),
            rows,
            code_noise=code if code is None else code[None, None],
        )
        [expected] = made.loss_matrices([asked])
        assert trained.losses[s] == pytest.approx(expected[0, 0], rel=2e-6)


@every_engine
def test_measuring_changes_no_bit(engine: Make) -> None:
    for architecture in (SHAPES["odd widths"], VARIATIONAL):
        dataset = make_dataset(50, architecture.n_dim)
        made = engine(architecture, dataset, BATCH)
        for measure in (False, True):
            task = make_task(architecture, dataset, n_updates=6, kept=True, observe=True)
            trained = made.train([replace(task, measure=measure)])[0]
            if not measure:
                usual = list(arrays_of(trained))
        assert trained.losses is not None
        for one, other in zip(usual, arrays_of(trained), strict=True):
            assert one.tobytes() == other.tobytes()
