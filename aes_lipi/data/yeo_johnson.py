"""The power transform of Yeo and Johnson, with the same bits on every processor.

https://doi.org/10.1093/biomet/87.4.954. Logarithm and exponential are sums and products of float64,
each rounded as IEEE 754 says: those of numpy and of the C library differ in last bits from machine
to machine.
"""

from __future__ import annotations

import math
from functools import reduce

import numpy as np

from aes_lipi.arrays import Float64

_IN_CACHE = 2**14
"""Values that are transformed at a time: what they need on the way stays in a processor's cache."""

MOST = 5.0
"""Powers lie between this and its opposite; beyond, a column is all but one value."""

_LN2_HIGH, _LN2_LOW = float.fromhex("0x1.62e42feep-1"), float.fromhex("0x1.a39ef35793c76p-33")
_LOG = [2.0 / (2 * k + 1) for k in range(12)]
_EXP = [1.0 / math.factorial(k) for k in range(14)]


def transformed(x: Float64, power: Float64) -> Float64:
    """Columns to their powers; where a power is 1, they stay as they are.

    Args:
        x: float64 of shape (rows, columns), or (columns,).
        power: of each column, (columns,).

    Returns:
        the same shape; infinite where float64 cannot hold it.
    """
    if x.ndim == 2 and len(x) > 1 and x.size > _IN_CACHE:
        parts = np.array_split(x, min(len(x), -(-x.size // _IN_CACHE)))
        return np.concatenate([transformed(part, power) for part in parts])
    positive = x >= 0
    exponent = np.where(positive, power, 2.0 - power)
    with np.errstate(over="ignore", invalid="ignore"):
        log = _log1p(np.abs(x))
        raised = np.where(exponent == 0, log, _expm1(exponent * log) / _not_zero(exponent))
    return np.where(power == 1, x, np.where(positive, raised, -raised))


def restored(t: Float64, power: Float64) -> Float64:
    """What `transformed` makes these values of; infinite beyond what it can make.

    Args:
        t: float64 of shape (rows, columns), or (columns,).
        power: of each column, (columns,).
    """
    positive = t >= 0
    exponent = np.where(positive, power, 2.0 - power)
    size = np.abs(t)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        base = np.maximum(exponent * size, -1.0)
        log = np.where(exponent == 0, size, _log1p(base) / _not_zero(exponent))
        x = _expm1(log)
    return np.where(power == 1, t, np.where(positive, x, -x))


def best_power(x: Float64) -> float:
    """The power that makes a column most like a normal distribution: of the greatest likelihood.

    Args:
        x: the values, (rows,), not all the same.

    Returns:
        the power; 1 where the values could not be told from each other after it.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - slow to import

    jacobian = float((np.sign(x) * _log1p(np.abs(x))).mean())

    def unlikelihood(power: float) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            variance = float(transformed(x, np.array(power)).var())
        if not 0 < variance < math.inf:
            return math.inf
        return 0.5 * float(_log(np.array(variance))) - (power - 1.0) * jacobian

    bounds = (-MOST, MOST)
    found = minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    power = float(found.x)
    back = restored(transformed(x, np.array(power)), np.array(power))
    with np.errstate(over="ignore", invalid="ignore"):
        apart = np.abs(back - x).max() / np.ptp(x)
    return power if apart <= _UNDONE else 1.0


_UNDONE = 1e-7
"""Of the span of a column, what a power and its opposite may move a value by."""


def _not_zero(exponent: Float64) -> Float64:
    return np.where(exponent == 0, 1.0, exponent)


def _log1p(x: Float64) -> Float64:
    """log(1 + x) of x >= -1, to the last bits (Kahan's)."""
    above = 1.0 + x
    rest = above - 1.0
    return np.where(rest == 0, x, _log(above) * (x / np.where(rest == 0, 1.0, rest)))


def _expm1(x: Float64) -> Float64:
    """exp(x) - 1, to the last bits (Kahan's)."""
    grown = _exp(x)
    rest = grown - 1.0
    log = _log(np.where((grown > 0) & np.isfinite(grown), grown, 2.0))
    near = rest * (x / np.where(log == 0, 1.0, log))
    return np.where(grown == 1, x, np.where((grown == 0) | (np.abs(x) > 1), rest, near))


def _log(x: Float64) -> Float64:
    """The logarithm of numbers >= 0: by log((1 + s) / (1 - s)) = 2 (s + s^3/3 + s^5/5 + ...)."""
    share, exponent = np.frexp(np.where(np.isinf(x), 1.0, x))
    small = share < math.sqrt(0.5)
    share, exponent = np.where(small, 2 * share, share), exponent - small
    s = (share - 1.0) / (share + 1.0)
    log = s * _polynomial(_LOG, s * s)
    found = exponent * _LN2_HIGH + (log + exponent * _LN2_LOW)
    return np.where(x > 0, np.where(np.isinf(x), np.inf, found), -np.inf)


def _exp(x: Float64) -> Float64:
    """The exponential: a power of two times a polynomial of what is left."""
    inside = np.clip(x, -800.0, 800.0)
    twos = np.rint(inside / math.log(2.0))
    rest = (inside - twos * _LN2_HIGH) - twos * _LN2_LOW
    with np.errstate(under="ignore", over="ignore"):
        return np.ldexp(_polynomial(_EXP, rest), twos.astype(np.int64))


def _polynomial(coefficients: list[float], x: Float64) -> Float64:
    """By Horner's rule; the coefficients from the constant on."""
    return reduce(lambda sum_, next_: sum_ * x + next_, reversed(coefficients), np.zeros_like(x))
