"""Networks that compute at first what PCA does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import tiny_variant

from aes_lipi.autoencoders.environments import ENVIRONMENTS, Environment, build_architecture
from aes_lipi.autoencoders.linear_start import (
    axes_carried,
    check_linear_start,
    with_linear_start,
)
from aes_lipi.autoencoders.network import initial_genome
from aes_lipi.coevolution.evolution import first_states
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Cell
from aes_lipi.config.variant import HiddenActivation
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import prepare

LINEAR = replace(ENVIRONMENTS["LinearCodeAutoencoder"], output_activation="linear")
PCA = {
    "environment": "LinearCodeAutoencoder",
    "output_activation": "linear",
    "latent_size": 3,
    "hidden_sizes": [9],
    "initial_weights": "pca",
}


@pytest.mark.parametrize("hidden_sizes", [(8,), (11, 8), ()])
@pytest.mark.parametrize("activation", ["relu", "gelu", "leaky_relu"])
def test_the_network_computes_the_projection(
    hidden_sizes: tuple[int, ...], activation: HiddenActivation
) -> None:
    environment = replace(LINEAR, hidden_activation=activation)
    made = build_architecture(environment, 12, hidden_sizes, 4)
    check_linear_start(made)
    rng = np.random.default_rng(3)
    drawn = initial_genome(made.encoder, rng), initial_genome(made.decoder, rng)
    x, mean = rng.random((50, 12)), rng.random(12)
    unit = np.linalg.qr(rng.normal(size=(12, 4)))[0].T
    axes = unit * np.array([3.0, 1.0, 0.1, 1e-4])[:, None]
    encoder, decoder = with_linear_start(made, drawn, mean, axes)
    rows = x.astype(np.float32)
    code = made.encode(encoder, rows)
    there = (x - mean) @ unit.T
    np.testing.assert_allclose(code * [3.0, 1.0, 0.1, 1e-4], there, rtol=1e-3, atol=2e-6)
    np.testing.assert_allclose(made.decode(decoder, code), mean + there @ unit, atol=1e-5)


def test_nodes_that_carry_nothing_keep_their_drawn_weights_and_are_not_heard() -> None:
    made = build_architecture(LINEAR, 6, (9,), 2)
    rng = np.random.default_rng(0)
    drawn = initial_genome(made.encoder, rng), initial_genome(made.decoder, rng)
    encoder, _ = with_linear_start(made, drawn, np.zeros(6), np.eye(2, 6))
    np.testing.assert_array_equal(
        made.encoder.weight(encoder, 0)[4:], made.encoder.weight(drawn[0], 0)[4:]
    )
    assert not made.encoder.weight(encoder, 1)[:, 4:].any()


def test_an_axis_along_which_nothing_varies_carries_nothing() -> None:
    made = build_architecture(LINEAR, 5, (6,), 3)
    rng = np.random.default_rng(0)
    drawn = initial_genome(made.encoder, rng), initial_genome(made.decoder, rng)
    axes = np.eye(3, 5) * np.array([1.0, 1.0, 0.0])[:, None]
    encoder, decoder = with_linear_start(made, drawn, np.full(5, 0.5), axes)
    x = rng.random((7, 5)).astype(np.float32)
    code = made.encode(encoder, x)
    assert not code[:, 2].any()
    expected = np.full((7, 5), 0.5)
    expected[:, :2] = x[:, :2]
    np.testing.assert_allclose(made.decode(decoder, code), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("environment", "sizes", "said"),
    [
        (ENVIRONMENTS["LinearCodeAutoencoder"], (8,), "a linear code and a linear output"),
        (Environment(output_activation="linear"), (8,), "a linear code and a linear output"),
        (replace(LINEAR, hidden_activation="tanh"), (8,), "hidden_activation relu, gelu, leaky"),
    ],
)
def test_a_network_that_cannot_is_refused(
    environment: Environment, sizes: tuple[int, ...], said: str
) -> None:
    with pytest.raises(UserError, match=f"initial_weights: pca takes .*{said}"):
        check_linear_start(build_architecture(environment, 12, sizes, 4))


def test_cells_start_from_the_pca_of_the_training_rows_and_differ() -> None:
    setup = prepare(tiny_variant(**PCA))
    states = first_states(setup, 0, Schedule(setup.variant).first_versions).values()
    cells = [state for state in states if isinstance(state, Cell)]
    rows = setup.dataset.train
    _, _, vectors = np.linalg.svd(rows - rows.mean(axis=0), full_matrices=False)
    mean, kept = rows.mean(axis=0), vectors[:3]
    best = ((rows - mean) - (rows - mean) @ kept.T @ kept) ** 2
    for cell in cells:
        code = setup.architecture.encode(cell.pair.encoder.genome, rows)
        error = (setup.architecture.decode(cell.pair.decoder.genome, code) - rows) ** 2
        assert error.mean() == pytest.approx(best.mean(), rel=1e-4)
    assert not np.array_equal(cells[0].pair.encoder.genome, cells[1].pair.encoder.genome)


@pytest.mark.parametrize(("sizes", "number"), [((), 4), ((8,), 4), ((7,), 3), ((20, 5), 2)])
def test_narrow_layers_begin_with_the_leading_axes(sizes: tuple[int, ...], number: int) -> None:
    made = build_architecture(LINEAR, 12, sizes, 4)
    assert axes_carried(made) == number
    rng = np.random.default_rng(1)
    drawn = initial_genome(made.encoder, rng), initial_genome(made.decoder, rng)
    axes = np.linalg.qr(rng.normal(size=(12, number)))[0].T
    encoder, decoder = with_linear_start(made, drawn, np.zeros(12), axes)
    x = rng.random((9, 12)).astype(np.float32)
    code = made.encode(encoder, x)
    assert not code[:, number:].any()
    np.testing.assert_allclose(made.decode(decoder, code), x @ axes.T @ axes, atol=1e-5)


def test_two_starts_are_refused() -> None:
    with pytest.raises(ValueError, match="initial_weights: pca and ann_path are two starts"):
        tiny_variant(**PCA, ann_path="models")
