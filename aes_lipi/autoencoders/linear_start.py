"""Weights with which a network of rectified units computes a linear map, such as PCA's.

Two nodes that read x and -x put out f(x) and f(-x), and for the rectified activations here
f(x) - f(-x) is x times a constant. So pairs of nodes carry the coordinates of a row along given
axes through every hidden layer, exactly, and the other nodes start from drawn weights and are not
heard at first.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aes_lipi.arrays import Float32, Float64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import NetworkLayout

_GAIN: Mapping[str, float] = {"relu": 1.0, "gelu": 1.0, "leaky_relu": 1.01}
"""By activation f, what (f(x) - f(-x)) / x is."""


def carried(architecture: Architecture) -> int:
    """How many coordinates a network's layers have room for: at most one per two hidden nodes."""
    widths = architecture.encoder.hidden_sizes + architecture.decoder.hidden_sizes
    return min([architecture.latent_size, *(width // 2 for width in widths)])


def with_linear_start(
    architecture: Architecture, genomes: tuple[Float32, Float32], mean: Float64, axes: Float64
) -> tuple[Float32, Float32]:
    """Genomes of an encoder and a decoder that project rows onto axes, and nothing else at first.

    Args:
        architecture: with a linear code and a linear output.
        genomes: drawn ones, whose weights the nodes keep that carry nothing.
        mean: where the axes meet, shape (n_dim,).
        axes: orthogonal, each as long as a row's coordinate along it spreads less than 1: shape
            (number, n_dim), with number at most `carried`. The reconstruction is
            mean + sum of axes times code, the code of a row its coordinates in that basis.
    """
    number = len(axes)
    lengths = np.maximum((axes**2).sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    encoder, decoder = (genome.copy() for genome in genomes)
    read_in = axes / lengths
    _carry(architecture.encoder, encoder, read_in, -read_in @ mean, np.eye(number), np.zeros(1))
    _carry(architecture.decoder, decoder, np.eye(number), np.zeros(number), axes.T, mean)
    return encoder, decoder


def _carry(
    layout: NetworkLayout,
    genome: Float32,
    read_in: Float64,
    offset: Float64,
    put_out: Float64,
    constant: Float64,
) -> None:
    """Have a network compute put_out (read_in x + offset) + constant, in place.

    Args:
        layout: its last layer is linear.
        genome: written to.
        read_in: shape (number, at most n_in); further inputs are not read.
        offset: shape (number,).
        put_out: shape (at most n_out, number); further outputs are zero.
        constant: added to the outputs.
    """
    number = len(offset)
    both = np.repeat([1.0, -1.0], number)
    matrix, bias = read_in, offset
    for k in range(len(layout.layers) - 1):
        weights, biases = layout.weight(genome, k), layout.bias(genome, k)
        weights[: 2 * number] = 0
        weights[: 2 * number, : matrix.shape[1]] = both[:, None] * np.tile(matrix, (2, 1))
        biases[: 2 * number] = both * np.tile(bias, 2)
        gain = _GAIN[layout.layers[k].activation]
        matrix = np.hstack([np.eye(number), -np.eye(number)]) / gain
        bias = np.zeros(number)
    last = len(layout.layers) - 1
    weights, biases = layout.weight(genome, last), layout.bias(genome, last)
    weights[:] = 0
    weights[: len(put_out), : matrix.shape[1]] = put_out @ matrix
    biases[:] = 0
    shift = put_out @ bias + constant
    biases[: len(shift)] = shift
