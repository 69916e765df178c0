"""The decoder's output and a variational encoder's code: losses, their gradients, and draws.

Losses are of what the last layer's nodes sum up, z, of the output y, which is z or sigmoid(z), and
of targets t. With the error e = y - t they are sums of |e| (`L1`), e^2 (`SQUARED`), Huber's
(`HUBER`) or, of a sigmoid, -t log(y) - (1 - t) log(1 - y) (`CROSS_ENTROPY`); all but the negative
ELBO divide them by their number. Huber's (1964) is e^2 / 2 up to |e| = `HUBER_LIMIT` and a line
beyond. The squared error is twice Huber's without a limit.

The heads of a variational encoder give, for each sample and latent dimension, a mean m and a
log-variance v. With noise e the code is z = m + d e, d = exp(v / 2) (Kingma and Welling, 2014), and
the loss has the divergence KL(N(m, d^2) || N(0, 1)) = (m^2 + d^2 - 1 - v) / 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import HUBER_LIMIT
from aes_lipi.engine.dense.activations import SURE, between, exponential
from aes_lipi.engine.dense.products import ONE, ZERO, whole
from aes_lipi.engine.dense.target import exact, part

L1, CROSS_ENTROPY, SQUARED, HUBER = range(4)
LOSSES: Mapping[str, int] = {
    "l1": L1,
    "mse": SQUARED,
    "huber": HUBER,
    "bce": CROSS_ENTROPY,
    "negative_elbo": CROSS_ENTROPY,
}
"""By what kernels know the losses of architectures."""
_HALF, _TWO, _LARGEST = np.float32(0.5), np.float32(2), np.float32(87)
_LIMIT, _NO_LIMIT = np.float32(HUBER_LIMIT), np.float32(np.inf)
# Logits are cut to this where a loss is unbounded, lest infinite ones make it NaN.
_HUGE = np.float32(1e30)
# In training a variance is held between 4e-18 and 2e17, and its gradient with it: enough to drive
# it back, and the gradient's square does not overflow. Losses follow it as far as float32 can.
_HELD = np.float32(40)


@exact
def _logarithm_of_one_plus(e: Any) -> Any:
    """log(1 + e) for 0 <= e <= 1, to 1e-7 of its value.

    log(1 + e) = 2 artanh(s) with s = e / (2 + e) <= 1/3, and artanh(s) = s + s^3/3 + s^5/5 + ...,
    cut off where the rest is below 2e-8 of it.
    """
    s = e / (_TWO + e)
    q = s * s
    p = np.float32(1 / 11) + q * np.float32(1 / 13)
    p = np.float32(1 / 9) + q * p
    p = np.float32(1 / 7) + q * p
    p = np.float32(1 / 5) + q * p
    p = np.float32(1 / 3) + q * p
    p = ONE + q * p
    return (s + s) * p


@exact
def _cross_entropy(z: Any, t: Any) -> Any:
    """-t log(y) - (1 - t) log(1 - y) = max(z, 0) - z t + log(1 + exp(-|z|))."""
    z = between(z, -_HUGE, _HUGE)
    return (max(z, ZERO) - z * t) + _logarithm_of_one_plus(exponential(-min(abs(z), SURE)))


@part
def output_gradient(
    z: Float32, target: Float32, n_rows: int, n_dim: int, kind: Any, scale: Any, dz: Float32
) -> None:
    """Set dz to the gradient of the loss by the sums z, and to zero behind them.

    With e = exp(-z), a sigmoid has the slope dy/dz = y (1 - y) = y y e. The cross-entropy of it has
    the gradient y - t by z.

    Args:
        z: the last layer's sums, (samples, n_dim and padding).
        target: likewise.
        n_rows: rows of the batch.
        n_dim: dimensions.
        kind: which loss, and whether the output is a sigmoid.
        scale: what the gradient of every error is multiplied by.
        dz: where to write, laid out like z.
    """
    loss, is_sigmoid = kind
    limit = _LIMIT if loss == HUBER else _NO_LIMIT
    steep = scale if loss == HUBER else _TWO * scale
    for s in range(n_rows):
        zs, ts, ds = z[s], target[s], dz[s]
        if loss == CROSS_ENTROPY:
            for i in range(n_dim):
                y = ONE / (ONE + exponential(between(-zs[i], -SURE, SURE)))
                ds[i] = (y - ts[i]) * scale
        elif loss == L1 and is_sigmoid:
            for i in range(n_dim):
                e = exponential(between(-zs[i], -SURE, SURE))
                y = ONE / (ONE + e)
                error, slope = y - ts[i], y * y * e * scale
                ds[i] = slope if error > ZERO else (-slope if error < ZERO else error)
        elif loss == L1:
            for i in range(n_dim):
                error = zs[i] - ts[i]
                ds[i] = scale if error > ZERO else (-scale if error < ZERO else error)
        elif is_sigmoid:
            for i in range(n_dim):
                e = exponential(between(-zs[i], -SURE, SURE))
                y = ONE / (ONE + e)
                ds[i] = between(y - ts[i], -limit, limit) * (y * y * e * steep)
        else:
            for i in range(n_dim):
                ds[i] = between(zs[i] - ts[i], -limit, limit) * steep
        ds[n_dim:] = ZERO
    dz[n_rows : whole(n_rows)] = ZERO


@part
def weigh_rows(dz: Float32, rows: Any, weights: Float32, n_rows: int, n_dim: int) -> None:
    """Multiply the gradient by the sums, of each row of a batch, by the row's weight.

    Args:
        dz: see `output_gradient`.
        rows: indices of the batch's rows.
        weights: of all rows.
        n_rows: rows of the batch.
        n_dim: dimensions.
    """
    for s in range(n_rows):
        weight, ds = weights[rows[s]], dz[s]
        for i in range(n_dim):
            ds[i] *= weight


@part
def summed_errors(
    z: Float32, target: Float32, n_rows: int, n_dim: int, kind: Any, rows: Any, weights: Float32
) -> float:
    """The loss's sum over outputs and, each with its weight, samples; see `weigh_rows`."""
    loss, is_sigmoid = kind
    limit = _LIMIT if loss == HUBER else _NO_LIMIT
    total = 0.0
    for s in range(n_rows):
        zs, ts = z[s], target[s]
        row: Any = ZERO
        if loss == CROSS_ENTROPY:
            for i in range(n_dim):
                row += _cross_entropy(zs[i], ts[i])
        elif loss == L1 and is_sigmoid:
            for i in range(n_dim):
                row += abs(ONE / (ONE + exponential(between(-zs[i], -SURE, SURE))) - ts[i])
        elif loss == L1:
            for i in range(n_dim):
                row += abs(zs[i] - ts[i])
        elif is_sigmoid:
            for i in range(n_dim):
                y = ONE / (ONE + exponential(between(-zs[i], -SURE, SURE)))
                row += _huber(y - ts[i], limit)
        else:
            for i in range(n_dim):
                row += _huber(zs[i] - ts[i], limit)
        total += row if len(weights) == 0 else weights[rows[s]] * row
    return 2.0 * total if loss == SQUARED else total


@part
def _huber(error: Any, limit: Any) -> Any:
    """M (|e| - m / 2), m = min(|e|, limit)."""
    size = abs(error)
    m = between(size, ZERO, limit)
    return m * (size - _HALF * m)


@part
def draw_code(heads: Float32, n: int, noise: Float32, drawn: int, n_rows: int, code: Any) -> None:
    """Write z, the decoder's input; where there is no noise, it is m.

    Args:
        heads: means, then log-variances, (samples, 2 n and padding).
        n: latent dimensions.
        noise: standard normal values, the code's in its last columns; perhaps no rows.
        drawn: row of the noise that belongs to the batch's first.
        n_rows: rows of the batch.
        code: z, e and d, (samples, n and padding) each.
    """
    z, e, d = code
    for s in range(n_rows):
        for j in range(n):
            e[s, j] = noise[drawn + s, noise.shape[1] - n + j] if len(noise) else ZERO
            d[s, j] = exponential(between(_HALF * heads[s, n + j], -_HALF * _HELD, _HALF * _HELD))
            z[s, j] = heads[s, j] + d[s, j] * e[s, j]
        z[s, n] = ONE
    z[n_rows : whole(n_rows)] = ZERO


@part
def code_gradient(heads: Float32, n: int, n_rows: int, code: Any, by_heads: Float32) -> None:
    """The gradient by the heads from that by the code, the divergence's included.

    dL/dm = dL/dz + m,    dL/dv = dL/dz e d / 2 + (d^2 - 1) / 2.

    Args:
        heads: see `draw_code`.
        n: latent dimensions.
        n_rows: rows of the batch.
        code: the gradient by z, e and d.
        by_heads: where to write, laid out like `heads`.
    """
    by_code, e, d = code
    for s in range(n_rows):
        for j in range(n):
            by_heads[s, j] = by_code[s, j] + heads[s, j]
            spread = by_code[s, j] * e[s, j] * d[s, j] + (d[s, j] * d[s, j] - ONE)
            by_heads[s, n + j] = _HALF * spread
    by_heads[n_rows : whole(n_rows)] = ZERO


@part
def weigh_divergence(
    heads: Float32, n: int, rows: Any, weights: Float32, n_rows: int, d: Any, by_heads: Float32
) -> None:
    """Have the divergence of each row count by the row's weight, where it counts once already.

    Args:
        heads: see `draw_code`.
        n: latent dimensions.
        rows: indices of the batch's rows.
        weights: of all rows.
        n_rows: rows of the batch.
        d: standard deviations of the code.
        by_heads: the gradient by the heads, of `code_gradient`.
    """
    for s in range(n_rows):
        more = weights[rows[s]] - ONE
        for j in range(n):
            by_heads[s, j] += more * heads[s, j]
            by_heads[s, n + j] += more * _HALF * (d[s, j] * d[s, j] - ONE)


@part
def summed_divergence(heads: Float32, n: int, n_rows: int, rows: Any, weights: Float32) -> float:
    """The divergence, summed over latent dimensions and, each with its weight, samples."""
    total = 0.0
    for s in range(n_rows):
        weight = ONE if len(weights) == 0 else weights[rows[s]]
        for j in range(n):
            m, v = heads[s, j], heads[s, n + j]
            variance = exponential(between(v, -_LARGEST, _LARGEST))
            total += 0.5 * weight * (m * m + (variance - ONE - v))
    return total
