"""Forward passes in numpy, by hand and beside torch modules."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch_modules import AutoencoderModule, NetworkModule

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import ENVIRONMENTS, Architecture, build_architecture
from aes_lipi.autoencoders.network import Network, Pair, activate, initial_genome

SHAPES = [(1, (1,), 1), (7, (4,), 3), (7, (), 2), (40, (20, 11), 5)]


def pair_of(architecture: Architecture, seed: int = 0) -> Pair:
    """A pair with weights large enough for every activation to matter."""
    rng = np.random.default_rng(seed)
    return Pair(
        Network(3 * initial_genome(architecture.encoder, rng)),
        Network(3 * initial_genome(architecture.decoder, rng)),
    )


def rows_of(n_dim: int, n_rows: int = 9) -> Float32:
    return np.random.default_rng(1).random((n_rows, n_dim), dtype=np.float32)


# 2-2-1 and back 1-2-2, all weights chosen so that every value below is exact by hand.
HAND = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 2, (2,), 1)
HAND_ENCODER = np.array([1, 0, -1, 1, 0, -2, 2, 3, 0.5], dtype=np.float32)
HAND_DECODER = np.array([1, -1, -0.5, 1, 0.5, 1, 0, 2, -1, math.log(3)], dtype=np.float32)
HAND_ROW = np.array([[1, 2]], dtype=np.float32)


def test_forward_pass_by_hand() -> None:
    # hidden: (1*1 + 0*2 + 0, -1*1 + 1*2 - 2) = (1, -1), ReLU (1, 0); code: 2*1 + 3*0 + 0.5 = 2.5
    hidden, code = HAND.encoder.outputs(HAND_ENCODER, HAND_ROW)
    assert hidden.tolist() == [[1, 0]]
    assert code.tolist() == [[2.5]]
    # hidden: (2.5 - 0.5, -2.5 + 1) = (2, -1.5), ReLU (2, 0);
    # output: (0.5*2 - 1, 0*2 + ln 3) = (0, ln 3), sigmoid (1/2, 3/4)
    hidden, output = HAND.decoder.outputs(HAND_DECODER, code)
    assert hidden.tolist() == [[2, 0]]
    np.testing.assert_allclose(output, [[0.5, 0.75]], rtol=1e-7)


def test_module_by_hand() -> None:
    module = AutoencoderModule(HAND, Pair(Network(HAND_ENCODER), Network(HAND_DECODER)))
    with torch.no_grad():
        code = module.encoder(torch.from_numpy(HAND_ROW))
        output = module(torch.from_numpy(HAND_ROW))
    assert code.tolist() == [[2.5]]
    np.testing.assert_allclose(output.numpy(), [[0.5, 0.75]], rtol=1e-7)


@pytest.mark.parametrize("name", ENVIRONMENTS)
@pytest.mark.parametrize(("n_dim", "sizes", "latent"), SHAPES)
def test_module_and_numpy_agree_to_rounding(
    name: str, n_dim: int, sizes: tuple[int, ...], latent: int
) -> None:
    architecture = build_architecture(ENVIRONMENTS[name], n_dim, sizes, latent)
    pair, x = pair_of(architecture), rows_of(n_dim)
    module = AutoencoderModule(architecture, pair)
    with torch.no_grad():
        code = module.encoder(torch.from_numpy(x))[:, :latent].numpy()
        output = module(torch.from_numpy(x)).numpy()
    codes = architecture.encode(pair.encoder.genome, x)
    outputs = architecture.decode(pair.decoder.genome, codes)
    assert codes.dtype == np.float32
    assert codes.shape == (9, latent)
    assert outputs.dtype == np.float32
    assert outputs.shape == (9, n_dim)
    np.testing.assert_allclose(codes, code, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs, output, rtol=1e-5, atol=1e-6)


def test_variational_encoder_gives_mean_then_log_variance() -> None:
    environment = ENVIRONMENTS["VariationalAutoencoderBinaryClustering"]
    architecture = build_architecture(environment, 6, (5,), 3)
    pair, x = pair_of(architecture), rows_of(6)
    trunk, mean, log_variance = architecture.encoder.outputs(pair.encoder.genome, x)
    with torch.no_grad():
        both = NetworkModule(architecture.encoder, pair.encoder.genome)(torch.from_numpy(x))
    assert both.shape == (9, 6)
    np.testing.assert_allclose(both[:, :3].numpy(), mean, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both[:, 3:].numpy(), log_variance, rtol=1e-5, atol=1e-6)
    assert np.array_equal(architecture.encode(pair.encoder.genome, x), mean)
    assert mean.min() < 0
    assert trunk.min() >= 0


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_genome_order_is_that_of_the_modules_parameters(name: str) -> None:
    architecture = build_architecture(ENVIRONMENTS[name], 6, (5, 4), 3)
    for layout in (architecture.encoder, architecture.decoder):
        genome = np.arange(layout.size, dtype=np.float32)
        module = NetworkModule(layout, genome)
        flat = torch.cat([each.detach().ravel() for each in module.parameters()]).numpy()
        assert np.array_equal(flat, genome)
        for k, linear in enumerate(module.layers):
            assert isinstance(linear, nn.Linear)
            assert np.array_equal(linear.weight.detach().numpy(), layout.weight(genome, k))
            assert np.array_equal(linear.bias.detach().numpy(), layout.bias(genome, k))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, 0.5), (1e4, 1.0), (-1e4, 0.0), (math.log(3), 0.75), (-math.log(3), 0.25)],
)
def test_sigmoid_is_exact_at_its_ends_and_never_overflows(value: float, expected: float) -> None:
    result = activate("sigmoid", np.array([value], dtype=np.float32))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, [expected], rtol=1e-6)


@settings(deadline=None)
@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_sigmoid_agrees_with_torch(value: float) -> None:
    array = np.array([value], dtype=np.float32)
    expected = torch.sigmoid(torch.from_numpy(array)).numpy()
    np.testing.assert_allclose(activate("sigmoid", array), expected, rtol=1e-6, atol=1e-38)
