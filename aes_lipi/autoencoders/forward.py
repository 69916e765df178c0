"""Forward passes of one network in plain numpy."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.layout import Activation, NetworkLayout

_Float = TypeVar("_Float", np.float32, np.float64)


def layer_outputs(layout: NetworkLayout, genome: Float32, x: Float32) -> list[Float32]:
    """The output of every layer for rows x of shape (rows, n_in): (rows, n_out) each."""
    outputs: list[Float32] = []
    for k, layer in enumerate(layout.layers):
        source = x if layer.reads < 0 else outputs[layer.reads]
        value = source @ layout.weight(genome, k).T + layout.bias(genome, k)
        outputs.append(activate(layer.activation, value))
    return outputs


def activate(activation: Activation, value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """What nodes put out for the weighted sums that reach them, in any shape."""
    if activation == "relu":
        rectified: npt.NDArray[_Float] = np.maximum(value, np.float32(0))
        return rectified
    return sigmoid(value) if activation == "sigmoid" else value


def sigmoid(value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """The logistic function, without overflow for any finite value."""
    decay = np.exp(-np.abs(value))
    logistic: npt.NDArray[_Float] = np.where(value >= 0, np.float32(1), decay) / (1 + decay)
    return logistic


def encode(architecture: Architecture, genome: Float32, x: Float32) -> Float32:
    """The code of rows x, float32, shape (rows, latent size); a variational encoder's mean."""
    outputs = layer_outputs(architecture.encoder, genome, x)
    return outputs[-2] if architecture.variational else outputs[-1]


def decode(architecture: Architecture, genome: Float32, code: Float32) -> Float32:
    """The reconstruction from codes of shape (rows, latent size): float32, (rows, n_dim)."""
    return layer_outputs(architecture.decoder, genome, code)[-1]
