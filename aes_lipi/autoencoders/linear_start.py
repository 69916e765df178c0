"""Weights with which a network of rectified units computes a linear map, such as PCA's.

Two nodes that read x and -x put out f(x) and f(-x), and for the rectified activations here
f(x) - f(-x) is x times a constant. So pairs of nodes carry the coordinates of a row along given
axes through every hidden layer, exactly, and the other nodes start from drawn weights and are not
heard at first.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from aes_lipi.arrays import Float32, Float64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import LEAK, NetworkLayout
from aes_lipi.errors import UserError

_GAIN: Mapping[str, float] = {"relu": 1.0, "gelu": 1.0, "leaky_relu": 1.0 + LEAK}
"""By activation f, what (f(x) - f(-x)) / x is."""


def check_linear_start(architecture: Architecture) -> None:
    """Make sure that a network can compute a linear map.

    Raises:
        UserError: its code or output is not linear, or its hidden layers are of another activation;
            the line says what to give.
    """
    layouts = (architecture.encoder, architecture.decoder)
    wrong = "initial_weights: pca takes "
    if architecture.variational or any(each.layers[-1].activation != "linear" for each in layouts):
        raise UserError(
            f"{wrong}a linear code and a linear output; use environment LinearCodeAutoencoder and "
            "output_activation linear, or initial_weights random"
        )
    hidden = [layer for each in layouts for layer in each.layers[:-1]]
    if any(layer.activation not in _GAIN for layer in hidden):
        raise UserError(f"{wrong}hidden_activation {', '.join(_GAIN)}; use one of these, or random")


def axes_carried(architecture: Architecture) -> int:
    """How many coordinates fit: as wide as the code is, two nodes each in every hidden layer."""
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
        axes: orthogonal, each as long as rows spread along it, so that codes spread by 1: shape
            (number, n_dim), with number at most `axes_carried`. The code of a row is its
            coordinates in this basis, and the reconstruction the point that has them.
    """
    lengths = np.maximum((axes**2).sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    inwards = axes / lengths
    encoder, decoder = (genome.copy() for genome in genomes)
    nothing = _Map(np.eye(len(axes)), np.zeros(len(axes)))
    _carry(architecture.encoder, encoder, _Map(inwards, -inwards @ mean), nothing)
    _carry(architecture.decoder, decoder, nothing, _Map(axes.T, mean))
    return encoder, decoder


class _Map(NamedTuple):
    """x -> matrix x + shift."""

    matrix: Float64
    shift: Float64


def _carry(layout: NetworkLayout, genome: Float32, first: _Map, then: _Map) -> None:
    """Have a network with a linear output compute one map and then another, in place.

    Args:
        layout: its hidden layers have two nodes for every number between the maps.
        genome: written to.
        first: of the inputs; those beyond its columns are not read.
        then: to the outputs; those beyond its rows are zero.
    """
    number = len(first.shift)
    both = np.repeat([1.0, -1.0], number)
    matrix, shift = first
    *hidden, last = range(len(layout.layers))
    for k in hidden:
        weights, biases = layout.weight(genome, k), layout.bias(genome, k)
        weights[: 2 * number] = 0
        weights[: 2 * number, : matrix.shape[1]] = both[:, None] * np.tile(matrix, (2, 1))
        biases[: 2 * number] = both * np.tile(shift, 2)
        matrix = np.hstack([np.eye(number), -np.eye(number)]) / _GAIN[layout.layers[k].activation]
        shift = np.zeros(number)
    weights, biases = layout.weight(genome, last), layout.bias(genome, last)
    weights[:], biases[:] = 0, 0
    weights[: len(then.matrix), : matrix.shape[1]] = then.matrix @ matrix
    biases[: len(then.shift)] = then.matrix @ shift + then.shift
