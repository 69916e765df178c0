"""The decoder's output and a variational encoder's code: losses, their gradients, and draws.

Losses are of logits z, targets t and the output y = sigmoid(z): `L1`, the mean |y - t|, or
`CROSS_ENTROPY`, the sum of -t log(y) - (1 - t) log(1 - y).

The heads of a variational encoder give, for each sample and latent dimension, a mean m and a
log-variance v. With noise e the code is z = m + d e, d = exp(v / 2) (Kingma and Welling, 2014), and
the loss has the divergence KL(N(m, d^2) || N(0, 1)) = (m^2 + d^2 - 1 - v) / 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.engine.dense.products import ONE, ZERO, whole
from aes_lipi.engine.dense.target import exact, part

L1, CROSS_ENTROPY = 0, 1
_HALF, _TWO = np.float32(0.5), np.float32(2)
# Beyond +-60 a sigmoid is 0 or 1 to within 1e-26, and nothing overflows or becomes denormal.
_SURE, _LARGEST = np.float32(60), np.float32(87)
# Logits are cut to this where a loss is unbounded, lest infinite ones make it NaN.
_HUGE = np.float32(1e30)
# In training a variance is held between 4e-18 and 2e17, and its gradient with it: enough to drive
# it back, and the gradient's square does not overflow. Losses follow it as far as float32 can.
_HELD = np.float32(40)
_ROUNDING = np.float32(1.5 * 2.0**23)  # added to a small float32, it leaves no room for a fraction


@part
def _between(x: Any, low: Any, high: Any) -> Any:
    """Cut x to an interval; NaN where x is NaN."""
    x = low if x < low else x
    return high if x > high else x


@exact
def _exponential(x: Any) -> Any:
    """e**x for |x| <= 87, to 1.2e-7 of its value: after `expf` of Cephes (Moshier, 1989).

    e**x = 2**n e**r with n the whole number nearest to x / ln 2 and r = x - n ln 2, for which a
    polynomial will do: |r| <= ln 2 / 2.
    """
    n = (x * np.float32(1.44269504088896341) + _ROUNDING) - _ROUNDING
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
    q = r * r
    low = np.float32(1.6666665459e-1) * r + np.float32(5.0000001201e-1)
    middle = np.float32(8.3334519073e-3) * r + np.float32(4.1665795894e-2)
    high = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    p = (high * q + middle) * q + low
    power = np.int32((np.int32(n) + np.int32(127)) << np.int32(23)).view(np.float32)
    return (p * q + (r + ONE)) * power


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
    z = _between(z, -_HUGE, _HUGE)
    return (max(z, ZERO) - z * t) + _logarithm_of_one_plus(_exponential(-min(abs(z), _SURE)))


@part
def output_gradient(
    z: Float32, target: Float32, n_rows: int, n_dim: int, loss: int, dz: Float32
) -> None:
    """Set dz to the gradient of the loss by the logits z, and to zero behind them.

    Of L1, with e = exp(-z): dy/dz = y (1 - y) = y y e, so it is sign(y - t) y y e / (rows * n_dim).
    Of the cross-entropy it is y - t.
    """
    scale = np.float32(1.0 / (n_rows * n_dim))
    for s in range(n_rows):
        zs, ts, ds = z[s], target[s], dz[s]
        if loss == L1:
            for i in range(n_dim):
                e = _exponential(_between(-zs[i], -_SURE, _SURE))
                y = ONE / (ONE + e)
                error, slope = y - ts[i], y * y * e * scale
                ds[i] = slope if error > ZERO else (-slope if error < ZERO else error)
        else:
            for i in range(n_dim):
                ds[i] = ONE / (ONE + _exponential(_between(-zs[i], -_SURE, _SURE))) - ts[i]
        ds[n_dim:] = ZERO
    dz[n_rows : whole(n_rows)] = ZERO


@part
def summed_errors(z: Float32, target: Float32, n_rows: int, n_dim: int, loss: int) -> float:
    """Sum over samples and outputs of |y - t|, or of the cross-entropy."""
    total = 0.0
    for s in range(n_rows):
        zs, ts = z[s], target[s]
        row: Any = ZERO
        if loss == L1:
            for i in range(n_dim):
                row += abs(ONE / (ONE + _exponential(_between(-zs[i], -_SURE, _SURE))) - ts[i])
        else:
            for i in range(n_dim):
                row += _cross_entropy(zs[i], ts[i])
        total += row
    return total


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
            d[s, j] = _exponential(_between(_HALF * heads[s, n + j], -_HALF * _HELD, _HALF * _HELD))
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
def summed_divergence(heads: Float32, n: int, n_rows: int) -> float:
    """The divergence, summed over latent dimensions and samples."""
    total = 0.0
    for s in range(n_rows):
        for j in range(n):
            m, v = heads[s, j], heads[s, n + j]
            variance = _exponential(_between(v, -_LARGEST, _LARGEST))
            total += 0.5 * (m * m + (variance - ONE - v))
    return total
