"""Exponential and logarithm of vectors, to about 1e-7 of their value."""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.engine.dense.compiled import inlined
from aes_lipi.engine.dense.simd import ROUNDING, maximum, minimum, splat, times_power_of_two

_ONE, _TWO = np.float32(1.0), np.float32(2.0)
_LOG2_E, _ROUNDING = np.float32(1.44269504088896341), np.float32(ROUNDING)
_LN2_HIGH, _LN2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)
_P2, _P3, _P4 = (
    np.float32(5.0000001201e-1),
    np.float32(1.6666665459e-1),
    np.float32(4.1665795894e-2),
)
_P5, _P6, _P7 = (
    np.float32(8.3334519073e-3),
    np.float32(1.3981999507e-3),
    np.float32(1.9875691500e-4),
)
_THIRD, _FIFTH, _SEVENTH = np.float32(1 / 3), np.float32(1 / 5), np.float32(1 / 7)
_NINTH, _ELEVENTH, _THIRTEENTH = np.float32(1 / 9), np.float32(1 / 11), np.float32(1 / 13)


@inlined
def between(z: Any, low: Any, high: Any) -> Any:
    """Cut z to an interval; NaN where z is NaN."""
    return minimum(maximum(z, splat(low)), splat(high))


@inlined
def exponential_of_minus(z: Any) -> Any:
    """e**-z for |z| <= 87: after `expf` of Cephes (Moshier, 1989).

    e**-z = 2**n e**-r with n the whole number nearest to -z / ln 2 and r = z + n ln 2, for which
    a polynomial will do: |r| <= ln 2 / 2.
    """
    shifted = splat(_ROUNDING) - z * splat(_LOG2_E)
    n = shifted - splat(_ROUNDING)
    r = (z + n * splat(_LN2_HIGH)) + n * splat(_LN2_LOW)
    p = splat(_P6) - r * splat(_P7)
    p = splat(_P5) - r * p
    p = splat(_P4) - r * p
    p = splat(_P3) - r * p
    p = splat(_P2) - r * p
    return times_power_of_two((splat(_ONE) - r) + (r * r) * p, shifted)


@inlined
def logarithm_of_one_plus(e: Any) -> Any:
    """log(1 + e) for 0 <= e <= 1.

    log(1 + e) = 2 artanh(s) with s = e / (2 + e) <= 1/3, and artanh(s) = s + s^3/3 + s^5/5 + ...,
    cut off where the rest is below 2e-8 of it.
    """
    s = e / (splat(_TWO) + e)
    q = s * s
    p = splat(_ELEVENTH) + q * splat(_THIRTEENTH)
    p = splat(_NINTH) + q * p
    p = splat(_SEVENTH) + q * p
    p = splat(_FIFTH) + q * p
    p = splat(_THIRD) + q * p
    p = splat(_ONE) + q * p
    return (s + s) * p
