"""The three products of a dense layer on one tile, for one group of `SAMPLES` samples.

Call the layer's rows w[r, j], its values along the long axis x[b, j] and those along the short axis
c[b, r] for sample b. A layer that is wide in reads x and has the gradient of c; one that is wide
out reads c and has the gradient of x. Forward and backward passes of both kinds are made of

    dot      c[b, r] = sum_j w[r, j] x[b, j]
    spread   x[b, j] = sum_r c[b, r] w[r, j]
    descend  w[r, j] <- w[r, j] - step(sum_b c[b, r] x[b, j])

Rows whose c is zero for every sample are skipped, see `scratch.ActiveRows`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from aes_lipi.arrays import Float32
from aes_lipi.engine.dense.blocks import (
    BLOCK,
    broadcast_block,
    load_block,
    multiply_add,
    store_block,
    weighted_sum,
    zeros,
)
from aes_lipi.engine.dense.compiled import inlined
from aes_lipi.engine.dense.simd import LANES, absolute, load, splat, square_root, store

_ZERO, _EPSILON = np.float32(0.0), np.float32(1e-8)


class Weights(NamedTuple):
    """Packed networks with the state of their optimiser, flat and all in the same order.

    Attributes:
        values: weights and biases.
        first: running mean of the gradient, for an Adam that is kept.
        second: running mean of the squared gradient.
        alive: 1 where a weight may move, 0 where pruning froze it.
    """

    values: Float32
    first: Float32
    second: Float32
    alive: Float32


class Step(NamedTuple):
    """How weights move in one update.

    Attributes:
        kept: 1 for an Adam with moments, 0 for a new Adam at every update.
        masked: 1 where some weights are frozen.
        rate: learning rate; divided by 1 - beta1**t for a kept Adam.
        root: 1 / sqrt(1 - beta2**t) for a kept Adam.
    """

    kept: int
    masked: int
    rate: np.float32
    root: np.float32


@inlined
def move(weights: Any, place: int, gradient: Any, step: Any) -> None:
    """Adam's step for one vector of weights (algorithm section 4, step 4).

    New Adam:  w <- w - lr g / (|g| + eps)
    Kept Adam: m <- m + (1 - beta1) (g - m),  v <- beta2 v + (1 - beta2) g^2,
               w <- w - lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
    """
    if step.kept:
        first = load(weights.first, place)
        second = load(weights.second, place)
        first = first + splat(np.float32(0.5)) * (gradient - first)
        second = splat(np.float32(0.999)) * second + splat(np.float32(0.001)) * gradient * gradient
        store(weights.first, place, first)
        store(weights.second, place, second)
        numerator = first
        denominator = square_root(second) * splat(step.root) + splat(_EPSILON)
    else:
        numerator = gradient
        denominator = absolute(gradient) + splat(_EPSILON)
    change = numerator / denominator
    if step.masked:
        change = change * load(weights.alive, place)
    store(weights.values, place, load(weights.values, place) - splat(step.rate) * change)


@inlined
def dot(
    w: Any,
    row: int,
    width: int,
    x: Any,
    x_place: int,
    vectors: int,
    sums: Any,
    out: int,
    fresh: bool,
) -> None:
    """Add to two rows' partial sums of the products with every sample, lane by lane.

    Args:
        w: packed weights.
        row: where the first row of the tile starts; the second starts `width` floats later.
        width: floats from row to row.
        x: the plane along the long axis.
        x_place: where the tile's first vector is in it.
        vectors: vectors of a row of the tile.
        sums: partial sums.
        out: where those of the first row are.
        fresh: whether this is the first tile, which sets the sums.
    """
    first, second = zeros(), zeros()
    if not fresh:
        first, second = load_block(sums, out), load_block(sums, out + BLOCK)
    for v in range(vectors):
        block = load_block(x, x_place + v * BLOCK)
        first = multiply_add(load(w, row + v * LANES), block, first)
        second = multiply_add(load(w, row + width + v * LANES), block, second)
    store_block(sums, out, first)
    store_block(sums, out + BLOCK, second)


@inlined
def spread(
    w: Any,
    tile: int,
    width: int,
    c: Any,
    c_place: int,
    rows: Any,
    x: Any,
    x_place: int,
    vectors: int,
) -> None:
    """Set one tile's vectors of every sample to the weighted sum of the active rows.

    Args:
        w: packed weights.
        tile: where the tile starts.
        width: floats from row to row.
        c: the plane along the short axis.
        c_place: where its group starts.
        rows: see `scratch.ActiveRows`.
        x: the plane along the long axis, which is written.
        x_place: where the tile's first vector is in it.
        vectors: vectors of a row of the tile.
    """
    for v in range(0, vectors - 1, 2):
        first, second = zeros(), zeros()
        for k in range(rows.n):
            weights = broadcast_block(c, c_place + rows.places[k])
            place = tile + rows.which[k] * width + v * LANES
            first = multiply_add(load(w, place), weights, first)
            second = multiply_add(load(w, place + LANES), weights, second)
        store_block(x, x_place + v * BLOCK, first)
        store_block(x, x_place + (v + 1) * BLOCK, second)
    if vectors % 2:
        last = zeros()
        for k in range(rows.n):
            weights = broadcast_block(c, c_place + rows.places[k])
            place = tile + rows.which[k] * width + (vectors - 1) * LANES
            last = multiply_add(load(w, place), weights, last)
        store_block(x, x_place + (vectors - 1) * BLOCK, last)


@inlined
def dot_and_descend(
    weights: Any,
    row: int,
    c: Any,
    c_place: int,
    x: Any,
    x_place: int,
    vectors: int,
    step: Any,
    sums: Any,
    out: int,
    fresh: bool,
) -> None:
    """`dot` with one row, then `descend` of that row, for a batch of one group."""
    coefficients = broadcast_block(c, c_place)
    totals = zeros()
    if not fresh:
        totals = load_block(sums, out)
    for v in range(vectors):
        block = load_block(x, x_place + v * BLOCK)
        totals = multiply_add(load(weights.values, row + v * LANES), block, totals)
        move(weights, row + v * LANES, weighted_sum(coefficients, block), step)
    store_block(sums, out, totals)


@inlined
def descend(
    weights: Any, row: int, c: Any, c_place: int, x: Any, x_place: int, vectors: int, step: Any
) -> None:
    """`descend` of one row for a batch of one group."""
    coefficients = broadcast_block(c, c_place)
    for v in range(vectors):
        block = load_block(x, x_place + v * BLOCK)
        move(weights, row + v * LANES, weighted_sum(coefficients, block), step)


@inlined
def descend_groups(
    weights: Any,
    row: int,
    c: Any,
    c_place: int,
    c_stride: int,
    x: Any,
    x_place: int,
    x_stride: int,
    groups: int,
    vectors: int,
    step: Any,
) -> None:
    """`descend` of one row for a batch of several groups, whose planes are strides apart."""
    zero = splat(_ZERO)
    for v in range(0, vectors - 3, 4):
        g0, g1, g2, g3 = zero, zero, zero, zero
        for g in range(groups):
            coefficients = broadcast_block(c, c_place + g * c_stride)
            place = x_place + g * x_stride + v * BLOCK
            g0 = g0 + weighted_sum(coefficients, load_block(x, place))
            g1 = g1 + weighted_sum(coefficients, load_block(x, place + BLOCK))
            g2 = g2 + weighted_sum(coefficients, load_block(x, place + 2 * BLOCK))
            g3 = g3 + weighted_sum(coefficients, load_block(x, place + 3 * BLOCK))
        move(weights, row + v * LANES, g0, step)
        move(weights, row + (v + 1) * LANES, g1, step)
        move(weights, row + (v + 2) * LANES, g2, step)
        move(weights, row + (v + 3) * LANES, g3, step)
    for v in range(vectors - vectors % 4, vectors):
        gradient = zero
        for g in range(groups):
            coefficients = broadcast_block(c, c_place + g * c_stride)
            block = load_block(x, x_place + g * x_stride + v * BLOCK)
            gradient = gradient + weighted_sum(coefficients, block)
        move(weights, row + v * LANES, gradient, step)
