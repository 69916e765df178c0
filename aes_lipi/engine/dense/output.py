"""The decoder's output: sigmoid, the losses of it and their gradients.

Losses are of logits z, targets t and the output y = sigmoid(z): `L1`, the mean |y - t|, or
`CROSS_ENTROPY`, the sum of -t log(y) - (1 - t) log(1 - y).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.engine.dense.blocks import BLOCK
from aes_lipi.engine.dense.compiled import inlined, kernel
from aes_lipi.engine.dense.exponential import (
    between,
    exponential_of_minus,
    logarithm_of_one_plus,
)
from aes_lipi.engine.dense.packing import SAMPLES
from aes_lipi.engine.dense.simd import (
    LANES,
    absolute,
    first_lanes,
    load,
    maximum,
    minimum,
    splat,
    store,
    times_sign,
    total,
)

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)
# Beyond +-60 a sigmoid is 0 or 1 to within 1e-26, and nothing overflows or becomes denormal.
_LIMIT = np.float32(60.0)
# Logits are cut to this where a loss is unbounded, lest infinite ones make it NaN.
_HUGE = np.float32(1e30)
L1, CROSS_ENTROPY = 0, 1


@inlined
def sigmoid_parts(z: Any) -> Any:
    """Both e = exp(-z), with z cut to +-60, and sigmoid(z) = 1 / (1 + e)."""
    e = exponential_of_minus(between(z, -_LIMIT, _LIMIT))
    return e, splat(_ONE) / (splat(_ONE) + e)


@inlined
def l1_gradient(z: Any, t: Any, scale: Any) -> Any:
    """Gradient of the mean |y - t| by z, where y = sigmoid(z).

    With e = exp(-z): dy/dz = y (1 - y) = y y e, so the gradient is
    sign(y - t) y y e / (rows * n_out).
    """
    e, y = sigmoid_parts(z)
    return times_sign(y * y * e * scale, y - t)


@inlined
def cross_entropy_gradient(z: Any, t: Any, scale: Any) -> Any:
    """Gradient of the summed cross-entropy by z: y - t, where y = sigmoid(z)."""
    _, y = sigmoid_parts(z)
    return y - t


@kernel
def output_gradient(
    layer: Any, loss: int, targets: Any, n_rows: int, groups: int, scratch: Any
) -> None:
    """Replace the logits by the gradient of the loss by them."""
    if loss == L1:
        replace_logits(layer, targets, n_rows, groups, scratch, l1_gradient)
    else:
        replace_logits(layer, targets, n_rows, groups, scratch, cross_entropy_gradient)


@inlined
def replace_logits(
    layer: Any, targets: Any, n_rows: int, groups: int, scratch: Any, gradient: Any
) -> None:
    """Replace every logit by its gradient, and padding by zero."""
    scale = splat(np.float32(1.0 / (n_rows * layer.n_out)))
    for g in range(groups):
        target = g * layer.target_vectors * BLOCK
        place = layer.target * scratch.capacity + target
        there = min(SAMPLES, n_rows - g * SAMPLES)
        for v in range(layer.target_vectors):
            for b in range(there):
                at = v * BLOCK + b * LANES
                z, t = load(scratch.deltas, place + at), load(targets, target + at)
                store(scratch.deltas, place + at, gradient(z, t, scale))
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
def absolute_error(z: Any, t: Any) -> Any:
    """|y - t| of one vector."""
    _, y = sigmoid_parts(z)
    return absolute(y - t)


@inlined
def cross_entropy(z: Any, t: Any) -> Any:
    """-t log(y) - (1 - t) log(1 - y) = max(z, 0) - z t + log(1 + exp(-|z|)) of one vector."""
    z = between(z, -_HUGE, _HUGE)
    e = exponential_of_minus(minimum(absolute(z), splat(_LIMIT)))
    return (maximum(z, splat(_ZERO)) - z * t) + logarithm_of_one_plus(e)


@kernel
def summed_errors(layer: Any, loss: int, targets: Any, n_rows: int, scratch: Any) -> float:
    """Sum of the errors over `n_rows` samples of one group, whose logits are in `scratch.deltas`.

    Of |y - t| for `L1`, whose mean it is up to the caller to take.
    """
    if loss == L1:
        return sum_over_outputs(layer, targets, n_rows, scratch, absolute_error)
    return sum_over_outputs(layer, targets, n_rows, scratch, cross_entropy)


@inlined
def sum_over_outputs(layer: Any, targets: Any, n_rows: int, scratch: Any, error: Any) -> float:
    """Sum of `error(z, t)` over all outputs of a group's first `n_rows` samples."""
    place = layer.target * scratch.capacity
    last = layer.target_vectors - 1
    real = layer.n_out - last * LANES
    errors = 0.0
    for b in range(n_rows):
        sums = splat(_ZERO)
        for v in range(last):
            at = v * BLOCK + b * LANES
            sums = sums + error(load(scratch.deltas, place + at), load(targets, at))
        at = last * BLOCK + b * LANES
        rest = error(load(scratch.deltas, place + at), load(targets, at))
        errors += total(sums + first_lanes(rest, real))
    return errors
