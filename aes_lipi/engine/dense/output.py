"""The decoder's output: sigmoid, mean absolute error and its gradient."""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.engine.dense.blocks import BLOCK
from aes_lipi.engine.dense.compiled import inlined, kernel
from aes_lipi.engine.dense.packing import SAMPLES
from aes_lipi.engine.dense.simd import (
    LANES,
    ROUNDING,
    absolute,
    first_lanes,
    load,
    maximum,
    minimum,
    splat,
    store,
    times_power_of_two,
    times_sign,
    total,
)

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
# Beyond +-60 a sigmoid is 0 or 1 to within 1e-26, and nothing overflows or becomes denormal.
_LIMIT = np.float32(60.0)
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


@inlined
def exponential_of_minus(z: Any) -> Any:
    """e**-z to about 1e-7, with z cut to +-60: after `expf` of Cephes (Moshier, 1989).

    e**-z = 2**n e**-r with n the whole number nearest to -z / ln 2 and r = z + n ln 2, for which
    a polynomial will do: |r| <= ln 2 / 2.
    """
    z = minimum(maximum(z, splat(-_LIMIT)), splat(_LIMIT))
    shifted = splat(_ROUNDING) - z * splat(_LOG2_E)
    n = shifted - splat(_ROUNDING)
    r = (z + n * splat(_LN2_HIGH)) + n * splat(_LN2_LOW)
    p = splat(_P6) - r * splat(_P7)
    p = splat(_P5) - r * p
    p = splat(_P4) - r * p
    p = splat(_P3) - r * p
    p = splat(_P2) - r * p
    return times_power_of_two((splat(_ONE) - r) + (r * r) * p, shifted)


@kernel
def output_gradient(layer: Any, targets: Any, n_rows: int, groups: int, scratch: Any) -> None:
    """Replace the logits z by the gradient of the mean |y - t| by them, y = sigmoid(z).

    With e = exp(-z): y = 1 / (1 + e) and dy/dz = y (1 - y) = y y e, so the gradient is
    sign(y - t) y y e / (rows * n_out).
    """
    scale = splat(np.float32(1.0 / (n_rows * layer.n_out)))
    for g in range(groups):
        target = g * layer.target_vectors * BLOCK
        place = layer.target * scratch.capacity + target
        there = min(SAMPLES, n_rows - g * SAMPLES)
        for v in range(layer.target_vectors):
            for b in range(there):
                at = v * BLOCK + b * LANES
                e = exponential_of_minus(load(scratch.deltas, place + at))
                y = splat(_ONE) / (splat(_ONE) + e)
                difference = y - load(targets, target + at)
                store(scratch.deltas, place + at, times_sign(y * y * e * scale, difference))
            for b in range(there, SAMPLES):
                store(scratch.deltas, place + v * BLOCK + b * LANES, splat(_ZERO))
        clear_padding(layer, scratch.deltas, place)


@inlined
def clear_padding(layer: Any, plane: Any, place: int) -> None:
    """Zero what lies behind the last node."""
    last = place + (layer.target_vectors - 1) * BLOCK
    real = layer.n_out - (layer.target_vectors - 1) * LANES
    for b in range(SAMPLES):
        store(plane, last + b * LANES, first_lanes(load(plane, last + b * LANES), real))


@inlined
def absolute_error(logits: Any, place: int, targets: Any, target: int) -> Any:
    """|y - t| of one vector, y = sigmoid(z)."""
    y = splat(_ONE) / (splat(_ONE) + exponential_of_minus(load(logits, place)))
    return absolute(y - load(targets, target))


@kernel
def summed_errors(layer: Any, targets: Any, n_rows: int, scratch: Any) -> float:
    """Sum of |y - t| over `n_rows` samples of one group, whose logits are in `scratch.deltas`."""
    place = layer.target * scratch.capacity
    last = layer.target_vectors - 1
    real = layer.n_out - last * LANES
    error = 0.0
    for b in range(n_rows):
        sums = splat(_ZERO)
        for v in range(last):
            at = v * BLOCK + b * LANES
            sums = sums + absolute_error(scratch.deltas, place + at, targets, at)
        at = last * BLOCK + b * LANES
        rest = absolute_error(scratch.deltas, place + at, targets, at)
        error += total(sums + first_lanes(rest, real))
    return error
