"""The code of a variational encoder: drawn from its heads, and the Kullback-Leibler divergence.

The heads give, for each sample and latent dimension, a mean m and a log-variance v. With noise e
the code is z = m + s e, s = exp(v / 2) (Kingma and Welling, 2014), and the loss has the divergence

    KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - v) / 2.

While an update is made, the gradients' plane of the heads first holds e and s, then the gradients

    dL/dm = dL/dz + m,    dL/dv = dL/dz e s / 2 + (s^2 - 1) / 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.engine.dense.blocks import BLOCK
from aes_lipi.engine.dense.compiled import inlined, kernel
from aes_lipi.engine.dense.exponential import between, exponential_of_minus
from aes_lipi.engine.dense.packing import SAMPLES
from aes_lipi.engine.dense.scratch import element, whole_vectors
from aes_lipi.engine.dense.simd import LANES, first_lanes, load, splat, store, total

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)
# In training a variance is held between 4e-18 and 2e17, and its gradient with it: enough to drive
# it back, and the gradient's square does not overflow. Losses follow it as far as float32 can.
_HELD, _LIMIT = np.float32(40.0), np.float32(87.0)


@inlined
def places(heads: Any, decoder: Any, g: int, b: int, scratch: Any) -> Any:
    """Where one sample's means, log-variances and code start in the planes."""
    means = heads.target * scratch.capacity + g * heads.target_vectors * BLOCK + b * LANES
    code = decoder.source * scratch.capacity + g * decoder.source_vectors * BLOCK + b * LANES
    return means, means + whole_vectors(decoder.n_in) * BLOCK, code


@inlined
def copy_constant(heads: Any, decoder: Any, means: int, code: int, scratch: Any) -> None:
    """The code's constant 1 is that of the heads."""
    scratch.planes[code + element(decoder.n_in)] = scratch.planes[means + element(heads.n_out)]


@kernel
def draw_code(
    heads: Any, decoder: Any, noise: Any, drawn: int, n_rows: int, groups: int, scratch: Any
) -> None:
    """Write z, the decoder's input; where there is no noise, e = 0 and z = m.

    Args:
        heads: the packed layer of both heads.
        decoder: the decoder's first layer.
        noise: standard normal values, the code's in its last columns; perhaps no rows.
        drawn: row of the noise that belongs to the batch's first.
        n_rows: rows of the batch.
        groups: groups of samples in it.
        scratch: planes of activations and gradients.
    """
    planes, deltas = scratch.planes, scratch.deltas
    first = noise.shape[1] - decoder.n_in
    for slot in range(groups * SAMPLES):
        means, log_variances, code = places(
            heads, decoder, slot // SAMPLES, slot % SAMPLES, scratch
        )
        for v in range(decoder.source_vectors):
            store(planes, code + v * BLOCK, splat(_ZERO))
        if slot < n_rows and len(noise):
            for j in range(decoder.n_in):
                planes[code + element(j)] = noise[drawn + slot, first + j]
        for v in range(whole_vectors(decoder.n_in)):
            at = v * BLOCK
            e = load(planes, code + at)
            halved = splat(_HALF) * load(planes, log_variances + at)
            s = exponential_of_minus(between(splat(_ZERO) - halved, -_HALF * _HELD, _HALF * _HELD))
            store(deltas, means + at, e)
            store(deltas, log_variances + at, s)
            store(planes, code + at, load(planes, means + at) + s * e)
        copy_constant(heads, decoder, means, code, scratch)


@kernel
def code_gradient(heads: Any, decoder: Any, groups: int, scratch: Any) -> None:
    """Gradient by the heads from that by the code, the divergence included."""
    planes, deltas = scratch.planes, scratch.deltas
    for slot in range(groups * SAMPLES):
        means, log_variances, code = places(
            heads, decoder, slot // SAMPLES, slot % SAMPLES, scratch
        )
        for v in range(whole_vectors(decoder.n_in)):
            at = v * BLOCK
            by_code = load(deltas, code + at)
            e, s = load(deltas, means + at), load(deltas, log_variances + at)
            by_mean = by_code + load(planes, means + at)
            by_log_variance = splat(_HALF) * (by_code * e * s + (s * s - splat(_ONE)))
            real = decoder.n_in - v * LANES
            store(deltas, means + at, first_lanes(by_mean, real))
            store(deltas, log_variances + at, first_lanes(by_log_variance, real))


@kernel
def mean_code(layers: Any, n_encoder_layers: int, scratch: Any) -> None:
    """Write z = m for one group, the code outside training."""
    heads, decoder = layers[n_encoder_layers - 1], layers[n_encoder_layers]
    for b in range(SAMPLES):
        means, _, code = places(heads, decoder, 0, b, scratch)
        for v in range(whole_vectors(decoder.n_in)):
            store(scratch.planes, code + v * BLOCK, load(scratch.planes, means + v * BLOCK))
        copy_constant(heads, decoder, means, code, scratch)


@kernel
def summed_divergence(layers: Any, n_encoder_layers: int, n_rows: int, scratch: Any) -> float:
    """The divergence, summed over latent dimensions and `n_rows` samples of one group."""
    heads, decoder = layers[n_encoder_layers - 1], layers[n_encoder_layers]
    divergence = 0.0
    for b in range(n_rows):
        means, log_variances, _ = places(heads, decoder, 0, b, scratch)
        for v in range(whole_vectors(decoder.n_in)):
            m = load(scratch.planes, means + v * BLOCK)
            log_variance = load(scratch.planes, log_variances + v * BLOCK)
            variance = exponential_of_minus(between(splat(_ZERO) - log_variance, -_LIMIT, _LIMIT))
            terms = m * m + (variance - splat(_ONE) - log_variance)
            divergence += 0.5 * total(first_lanes(terms, decoder.n_in - v * LANES))
    return divergence
