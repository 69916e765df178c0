"""The weights a network starts from."""

from __future__ import annotations

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.layout import NetworkLayout


def initial_genome(layout: NetworkLayout, rng: np.random.Generator) -> Float32:
    """Draw a genome as PyTorch initialises dense layers (algorithm section 2).

    Weights and biases of a layer are uniform in +-1/sqrt(fan_in).

    Returns:
        float32, shape (layout.size,).
    """
    genome = np.empty(layout.size, dtype=np.float32)
    for k, layer in enumerate(layout.layers):
        bound = 1.0 / np.sqrt(layer.n_in)
        for entries in (layout.weight_slice(k), layout.bias_slice(k)):
            genome[entries] = rng.uniform(-bound, bound, entries.stop - entries.start)
    return genome
