"""The dense engine's losses and activations against a float64 computation and torch."""

from __future__ import annotations

import numpy as np
import pytest
from dense_reference import (
    ReferenceNetwork,
    make_architecture,
    make_dataset,
    reference_code,
)
from dense_tasks import SHAPES, make_task, pair_loss

from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.dense import (
    DenseEngine,
)
from aes_lipi.engine.protocol import (
    ActivationsTask,
    EvaluateTask,
    Measure,
)
from aes_lipi.engine.torch.engine import TorchEngine as AutogradEngine

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
