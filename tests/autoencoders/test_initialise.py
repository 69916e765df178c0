"""Initial weights are PyTorch's default: uniform in +-1/sqrt(fan_in)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.autoencoders.network import NetworkLayout, chain, initial_genome

WIDE = chain(("hidden_1", "latent"), (400, 50, 30), "relu")


def assert_uniform(values: Float32, bound: float) -> None:
    """Mean and variance are within 5 standard errors of those of U(-bound, bound)."""
    scaled = values.astype(np.float64) / bound
    assert np.abs(scaled).max() <= np.float64(1 + 1e-7)  # float32 may round up to the bound
    # U(-1, 1): variance 1/3; the square has mean 1/3 and variance 1/5 - 1/9 = 4/45.
    assert abs(scaled.mean()) < 5 * np.sqrt(1 / 3 / scaled.size)
    assert abs((scaled**2).mean() - 1 / 3) < 5 * np.sqrt(4 / 45 / scaled.size)


def genome(layout: NetworkLayout, seed: int = 3) -> Float32:
    return initial_genome(layout, np.random.default_rng(seed))


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize("n_dim", [1, 7, 1000])
def test_weights_and_biases_lie_within_the_bound_of_their_layer(name: str, n_dim: int) -> None:
    environment = ENVIRONMENTS[name]
    built = build_architecture(environment, n_dim, environment.hidden_sizes, 10)
    for layout in (built.encoder, built.decoder):
        drawn = genome(layout)
        assert drawn.dtype == np.float32
        assert drawn.shape == (layout.size,)
        for k, layer in enumerate(layout.layers):
            bound = np.float32(1 / np.sqrt(layer.n_in))
            assert np.abs(layout.weight(drawn, k)).max() <= bound
            assert np.abs(layout.bias(drawn, k)).max() <= bound


def test_weights_are_uniform_in_every_layer() -> None:
    drawn = genome(WIDE)
    # 1/sqrt(400) = 0.05 and 1/sqrt(50) = 0.1414
    assert_uniform(WIDE.weight(drawn, 0), 0.05)
    assert_uniform(WIDE.weight(drawn, 1), 1 / np.sqrt(50))


def test_biases_are_uniform_too() -> None:
    biases = np.concatenate([WIDE.bias(genome(WIDE, seed), 0) for seed in range(40)])
    assert_uniform(biases, 0.05)


def test_torch_draws_from_the_same_distribution() -> None:
    torch.manual_seed(5)
    linear = nn.Linear(400, 50)
    assert_uniform(linear.weight.detach().numpy(), 0.05)
    more = [nn.Linear(400, 50).bias.detach().numpy() for _ in range(40)]
    assert_uniform(np.concatenate(more), 0.05)


def test_same_stream_gives_the_same_weights_and_another_stream_others() -> None:
    assert np.array_equal(genome(WIDE, 3), genome(WIDE, 3))
    assert not np.isin(genome(WIDE, 3)[:50], genome(WIDE, 4)[:50]).any()


def test_layers_are_drawn_one_after_another() -> None:
    scaled = [
        WIDE.weight(genome(WIDE), k).ravel()[:30] * np.sqrt(n) for k, n in ((0, 400), (1, 50))
    ]
    assert abs(np.corrcoef(scaled)[0, 1]) < 0.9
