"""Activations of hidden layers and what they are made of, with the same bits on every processor.

No library's exponential is used: each has bits of its own. What a layer puts out is all that most
activations need on the way back; of GELU, which is not monotone, the slope is kept from the way
forward.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import LEAK, Activation
from aes_lipi.engine.dense.mode import enter_mode, leave_mode
from aes_lipi.engine.dense.products import ONE, ZERO
from aes_lipi.engine.dense.target import entry_point, exact, part

_LINEAR, RELU, _LEAKY_RELU, _TANH, _GELU = range(5)
HIDDEN: Mapping[Activation, int] = {
    "relu": RELU,
    "leaky_relu": _LEAKY_RELU,
    "tanh": _TANH,
    "gelu": _GELU,
}
"""By what kernels know the activations of hidden layers; other layers are linear to them."""

# Beyond +-60 a sigmoid is 0 or 1 to within 1e-26, and nothing overflows or becomes denormal.
SURE = np.float32(60)
_HALF, _TWO, _TEN = np.float32(0.5), np.float32(2), np.float32(10)
_SLOPE = np.float32(LEAK)
_ROUNDING = np.float32(1.5 * 2.0**23)  # added to a small float32, it leaves no room for a fraction


@part
def between(x: Any, low: Any, high: Any) -> Any:
    """Cut x to an interval; NaN where x is NaN."""
    x = low if x < low else x
    return high if x > high else x


@exact
def exponential(x: Any) -> Any:
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


def sigmoid(sums: Float32) -> Float32:
    """What a sigmoid makes of the sums before it, of any shape."""
    out = np.array(sums, dtype=np.float32, order="C")
    put_through_sigmoid(out.reshape(-1))
    return out


@entry_point
def put_through_sigmoid(z: Float32) -> None:
    """Put values through a sigmoid, in place."""
    mode = enter_mode()
    for i in range(z.size):
        z[i] = ONE / (ONE + exponential(between(-z[i], -SURE, SURE)))
    leave_mode(mode)


@exact
def _tanh(x: Any) -> Any:
    """tanh(x), to 2e-7 of its value: after `tanhf` of Cephes.

    (1 - e) / (1 + e) with e = exp(-2 |x|), and a polynomial where that would lose digits.
    """
    a = abs(x)
    e = exponential(between(-_TWO * a, -SURE, ZERO))
    far = (ONE - e) / (ONE + e)
    q = x * x
    p = np.float32(-5.70498872745e-3) * q + np.float32(2.06390887954e-2)
    p = p * q - np.float32(5.37397155531e-2)
    p = p * q + np.float32(1.33314422036e-1)
    p = p * q - np.float32(3.33332819422e-1)
    near = p * q * x + x
    far = -far if x < ZERO else far
    return near if a < np.float32(0.625) else far


@exact
def _share_below(x: Any, density: Any) -> Any:
    """P(N(0, 1) < x) for |x| <= 10, to 1e-7, given exp(-x^2 / 2).

    By an approximation of the error function (Abramowitz and Stegun, 1964, 7.1.26).
    """
    t = ONE / (ONE + np.float32(0.3275911 * 0.5**0.5) * abs(x))
    p = np.float32(1.061405429) * t - np.float32(1.453152027)
    p = p * t + np.float32(1.421413741)
    p = p * t - np.float32(0.284496736)
    p = p * t + np.float32(0.254829592)
    tail = _HALF * (p * t * density)
    return tail if x < ZERO else ONE - tail


@part
def put_through(z: Float32, slopes: Float32, n_samples: int, n: int, kind: int) -> None:
    """Put the first n weighted sums of every sample through an activation, in place.

    GELU (Hendrycks and Gimpel, 2016) is x P(N(0, 1) < x). Its slope goes to `slopes`.
    """
    if kind == RELU:
        for s in range(n_samples):
            for i in range(n):
                z[s, i] = max(z[s, i], ZERO)
    elif kind == _LEAKY_RELU:
        for s in range(n_samples):
            for i in range(n):
                z[s, i] = max(z[s, i], _SLOPE * z[s, i])
    elif kind == _TANH:
        for s in range(n_samples):
            for i in range(n):
                z[s, i] = _tanh(z[s, i])
    elif kind == _GELU:
        for s in range(n_samples):
            for i in range(n):
                x = between(z[s, i], -_TEN, _TEN)
                density = exponential(-_HALF * x * x)
                below = _share_below(x, density)
                slopes[s, i] = below + x * density * np.float32(1 / np.sqrt(2 * np.pi))
                z[s, i] = max(z[s, i], -_TEN) * below


@part
def gate(d: Float32, x: Float32, slopes: Float32, n_samples: int, n: int, kind: int) -> None:
    """Carry the first n gradients of every sample by outputs x back to the weighted sums."""
    if kind == RELU:
        for s in range(n_samples):
            for i in range(n):
                d[s, i] = d[s, i] if x[s, i] > ZERO else ZERO
    elif kind == _LEAKY_RELU:
        for s in range(n_samples):
            for i in range(n):
                d[s, i] = d[s, i] if x[s, i] > ZERO else _SLOPE * d[s, i]
    elif kind == _TANH:
        for s in range(n_samples):
            for i in range(n):
                d[s, i] *= ONE - x[s, i] * x[s, i]
    elif kind == _GELU:
        for s in range(n_samples):
            for i in range(n):
                d[s, i] *= slopes[s, i]
