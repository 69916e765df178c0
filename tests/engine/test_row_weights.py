"""Training rows that count by weights: in gradients and losses of both engines."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from dense_reference import make_dataset
from dense_tasks import arrays_of, make_task

from aes_lipi.autoencoders.environments import Architecture, Environment, build_architecture
from aes_lipi.autoencoders.network import Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.dense import DenseEngine
from aes_lipi.engine.protocol import EvaluateTask, TrainTask
from aes_lipi.engine.torch import TorchEngine
from aes_lipi.engine.torch.gradients import Batch, _differentiated

N_DIM, BATCH = 9, 7
ENGINES = [DenseEngine, TorchEngine]
ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "l1": {"loss": "l1"},
    "mse, linear": {"loss": "mse", "output_activation": "linear"},
    "mse, gelu": {"loss": "mse", "hidden_activation": "gelu"},
    "huber": {"loss": "huber"},
    "bce": {"loss": "bce"},
    "denoising": {"loss": "l1", "input_noise": 0.1},
    "variational": {"variational": True, "loss": "negative_elbo"},
}
every_environment = pytest.mark.parametrize("name", ENVIRONMENTS)
every_engine = pytest.mark.parametrize("engine", ENGINES)


def architecture_of(name: str) -> Architecture:
    return build_architecture(Environment(**ENVIRONMENTS[name]), N_DIM, (6, 8), 3)


def weighted() -> Dataset:
    """Rows of which one does not count at all."""
    drawn = np.random.default_rng(5).gamma(1.0, size=40).astype(np.float32)
    drawn[3] = 0
    return replace(make_dataset(40, N_DIM), weights=drawn / drawn.mean())


def task_of(architecture: Architecture, n_updates: int = 1, seed: int = 9) -> TrainTask:
    dataset = make_dataset(40, N_DIM)
    task = make_task(architecture, dataset, n_updates=n_updates, batch=BATCH, kept=True)
    return replace(task, noise=np.random.default_rng(seed) if architecture.noise_width else None)


def in_float64(architecture: Architecture, dataset: Dataset, task: TrainTask) -> list[Any]:
    """The gradients of a task's first update by autograd."""
    index = task.updates.rows[0]
    pair = Pair(task.encoders[0], task.decoders[0])
    genomes = [torch.from_numpy(each.genome).double()[None] for each in vars(pair).values()]
    into = [torch.zeros_like(each) for each in genomes]
    rows = torch.from_numpy(dataset.train[index]).double()[None]
    ones = torch.ones((1, len(index), 1), dtype=torch.float64)
    assert dataset.weights is not None
    weight = torch.from_numpy(dataset.weights[index]).double().view_as(ones)
    if architecture.loss != "negative_elbo":
        weight /= rows.numel()
    noise: dict[str, Any] = {}
    if task.noise is not None:
        width = architecture.noise_width
        drawn = np.random.default_rng(9).standard_normal((len(index), width), dtype=np.float32)
        kind = "code_noise" if architecture.variational else "input_noise"
        noise[kind] = torch.from_numpy(drawn).double()[None]
    batch = Batch(rows, ones, weight, **noise)
    _differentiated(architecture, (genomes[0], genomes[1]), batch, (into[0], into[1]))
    return [each[0].numpy() for each in into]


@every_environment
@every_engine
def test_gradients_are_those_of_the_weighted_loss_in_float64(engine: Any, name: str) -> None:
    """Half of the gradient is the first moment of a new optimiser that is kept."""
    architecture, dataset = architecture_of(name), weighted()
    task = task_of(architecture)
    trained = engine(architecture, dataset, BATCH).train([task_of(architecture)])[0]
    moments = (*(trained.encoder_moments or ()), *(trained.decoder_moments or ()))
    plain = engine(architecture, replace(dataset, weights=None), BATCH)
    unweighted = plain.train([task_of(architecture)])[0]
    for got, exact in zip(moments, in_float64(architecture, dataset, task), strict=True):
        scale = float(np.abs(exact).max())
        np.testing.assert_allclose(2 * got.first, exact, rtol=2e-4, atol=5e-6 * scale)
    assert unweighted.decoder_moments is not None
    assert not np.array_equal(moments[-1].first, unweighted.decoder_moments[0].first)


@every_environment
@every_engine
def test_rows_that_all_weigh_one_give_the_bits_of_rows_without_weights(
    engine: Any, name: str
) -> None:
    architecture, plain = architecture_of(name), make_dataset(40, N_DIM)
    ones = replace(plain, weights=np.ones(40, np.float32))
    left, right = (
        engine(architecture, dataset, BATCH).train([task_of(architecture, 6)])[0]
        for dataset in (plain, ones)
    )
    for one, other in zip(arrays_of(left), arrays_of(right), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("name", ["l1", "mse, linear", "bce", "variational"])
@every_engine
def test_losses_of_training_rows_are_weighted_and_others_are_not(engine: Any, name: str) -> None:
    architecture, dataset = architecture_of(name), weighted()
    made = engine(architecture, dataset, BATCH)
    pairs = [task_of(architecture, seed=k) for k in (1, 2, 3)]
    encoders = tuple(task.encoders[0] for task in pairs[:2])
    decoders = tuple(task.decoders[0] for task in pairs)
    rows = np.array([5, 3, 8, 11, 2], np.int32)

    def matrix(split: Any, of: Any) -> Any:
        return made.loss_matrices([EvaluateTask(encoders, decoders, of, split)])[0]

    each = np.stack([matrix("train", rows[k : k + 1]) for k in range(len(rows))])
    plain = engine(architecture, replace(dataset, weights=None), BATCH)
    alone = np.stack(
        [
            plain.loss_matrices([EvaluateTask(encoders, decoders, rows[k : k + 1])])[0]
            for k in range(len(rows))
        ]
    )
    assert dataset.weights is not None
    weights = dataset.weights[rows][:, None, None]
    np.testing.assert_allclose(each, weights * alone, rtol=1e-5)
    total = (weights * alone).sum(0)
    expected = total if name == "variational" else total / len(rows)
    np.testing.assert_allclose(matrix("train", rows), expected, rtol=1e-5)
    [unweighted] = plain.loss_matrices([EvaluateTask(encoders, decoders, rows, "test")])
    assert np.array_equal(matrix("test", rows), unweighted)
