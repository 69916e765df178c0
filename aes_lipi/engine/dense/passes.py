"""Forward and backward pass of one layer, over all tiles and all groups of samples.

Planes of activations (`planes`) and of gradients by them before ReLU (`deltas`) are laid out alike,
see `packing`. The last layer's logits are kept in its plane of `deltas`, where their gradient
replaces them. The gradient by a code that was drawn is left to `latent`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.engine.dense.blocks import BLOCK
from aes_lipi.engine.dense.compiled import inlined, kernel
from aes_lipi.engine.dense.packing import ROW_BLOCK, SAMPLES, tile_place
from aes_lipi.engine.dense.scratch import (
    ActiveRows,
    active_rows,
    clear_other_sums,
    clear_sums,
    element,
    whole_vectors,
)
from aes_lipi.engine.dense.simd import LANES, lane_sums, load, maximum, splat, store, where_greater
from aes_lipi.engine.dense.tiles import descend, descend_groups, dot, dot_and_descend, spread

_ZERO = np.float32(0.0)


@inlined
def dot_all_rows(layer: Any, values: Any, start: int, x: Any, x_place: int, scratch: Any) -> None:
    """`dot` of every row with one group."""
    clear_sums(scratch, layer.rows, whole_vectors(layer.rows) * LANES)
    for v in range(0, layer.vectors, layer.tile):
        vectors = min(layer.tile, layer.vectors - v)
        width = vectors * LANES
        for row in range(0, layer.rows, ROW_BLOCK):
            place = start + tile_place(layer, v) + row * width
            x_tile = x_place + v * BLOCK
            dot(values, place, width, x, x_tile, vectors, scratch.sums, row * BLOCK, v == 0)


@inlined
def nodes_from_sums(layer: Any, scratch: Any, target: Any, place: int, rectified: int) -> None:
    """Finish `dot` of every node, with ReLU where the layer has it."""
    for v in range(whole_vectors(layer.n_out)):
        for b in range(SAMPLES):
            nodes = lane_sums(scratch.sums, v * LANES * BLOCK + b * LANES, BLOCK)
            if rectified:
                nodes = maximum(nodes, splat(_ZERO))
            store(target, place + v * BLOCK + b * LANES, nodes)


@inlined
def inputs_from_sums(layer: Any, place: int, scratch: Any) -> None:
    """Finish `dot` of every input and pass the gradient through its ReLU, if it has one."""
    for v in range(whole_vectors(layer.n_in)):
        for b in range(SAMPLES):
            inputs = lane_sums(scratch.sums, v * LANES * BLOCK + b * LANES, BLOCK)
            store(scratch.deltas, place + v * BLOCK + b * LANES, inputs)
    if not layer.sampled:
        gate_by_activation(layer, place, scratch)


@inlined
def gate_by_activation(layer: Any, place: int, scratch: Any) -> None:
    """Gradient through ReLU, if there is one: zero where the activation is zero.

    It is zero for the constant 1 in any case.
    """
    if layer.gated:
        for i in range(place, place + layer.source_vectors * BLOCK, LANES):
            gated = where_greater(load(scratch.deltas, i), load(scratch.planes, i), splat(_ZERO))
            store(scratch.deltas, i, gated)
    for b in range(SAMPLES):
        scratch.deltas[place + element(layer.n_in) + b * LANES] = _ZERO


@inlined
def spread_all_tiles(
    layer: Any, values: Any, start: int, c: Any, c_place: int, active: Any, x: Any, x_place: int
) -> None:
    """`spread` over the whole long axis for one group."""
    for v in range(0, layer.vectors, layer.tile):
        vectors = min(layer.tile, layer.vectors - v)
        tile = start + tile_place(layer, v)
        spread(values, tile, vectors * LANES, c, c_place, active, x, x_place + v * BLOCK, vectors)


@inlined
def rectify(plane: Any, place: int, vectors: int) -> None:
    """ReLU of one group of a plane."""
    for i in range(place, place + vectors * BLOCK, LANES):
        store(plane, i, maximum(load(plane, i), splat(_ZERO)))


@kernel
def forward_layer(
    layer: Any, start: int, values: Any, target: Any, groups: int, scratch: Any
) -> None:
    """`target = ReLU(W a + b)`, without ReLU for the heads and the last layer.

    Args:
        layer: its `LAYER` record.
        start: where its weights start in `values`.
        values: packed weights.
        target: planes to write to.
        groups: groups of samples in this batch.
        scratch: the planes to read from, and room to work.
    """
    source_start = layer.source * scratch.capacity
    target_start = layer.target * scratch.capacity
    rectified = layer.rectified  # once: stores to planes might change it for all a compiler knows
    active = ActiveRows(0, scratch.active, scratch.places)
    if not layer.wide_in:
        active = active_rows(
            scratch.planes, source_start, layer.source_vectors, layer.rows, groups, 0, scratch
        )
    for g in range(groups):
        source = source_start + g * layer.source_vectors * BLOCK
        out = target_start + g * layer.target_vectors * BLOCK
        if layer.wide_in:
            dot_all_rows(layer, values, start, scratch.planes, source, scratch)
            nodes_from_sums(layer, scratch, target, out, rectified)
        else:
            spread_all_tiles(layer, values, start, scratch.planes, source, active, target, out)
            if rectified:
                rectify(target, out, layer.target_vectors)
        for b in range(SAMPLES):
            one = scratch.planes[source + element(layer.n_in) + b * LANES]
            target[out + element(layer.n_out) + b * LANES] = one


@kernel
def backward_layer(
    layer: Any, start: int, weights: Any, step: Any, groups: int, need_input: bool, scratch: Any
) -> None:
    """Gradient by the layer's input from that by its output, and Adam's step of its weights.

    Args:
        layer: its `LAYER` record.
        start: where its weights start in `weights.values`.
        weights: see `tiles.Weights`.
        step: see `tiles.Step`.
        groups: groups of samples in this batch.
        need_input: whether the gradient by the input is wanted.
        scratch: planes of activations and gradients.
    """
    short, long = scratch.planes, scratch.deltas
    place, place_long = layer.source * scratch.capacity, layer.target * scratch.capacity
    vectors = layer.source_vectors
    if layer.wide_in:
        short, long = long, short
        place, place_long = place_long, place
        vectors = layer.target_vectors
    active = active_rows(short, place, vectors, layer.rows, groups, step.kept, scratch)
    if need_input and groups == 1 and not layer.wide_in:
        dot_back_and_descend(layer, start, weights, step, active, scratch)
        return
    stride, stride_long = vectors * BLOCK, layer.vectors * BLOCK
    for g in range(groups if need_input else 0):
        c_place, x_place = place + g * stride, place_long + g * stride_long
        if layer.wide_in:
            c, x = scratch.deltas, scratch.deltas
            spread_all_tiles(layer, weights.values, start, c, c_place, active, x, x_place)
            if not layer.sampled:
                gate_by_activation(layer, x_place, scratch)
        else:
            dot_all_rows(layer, weights.values, start, scratch.deltas, x_place, scratch)
            inputs_from_sums(layer, c_place, scratch)
    descend_rows(
        layer,
        start,
        weights,
        step,
        groups,
        active,
        short,
        place,
        stride,
        long,
        place_long,
        stride_long,
    )


@inlined
def dot_back_and_descend(
    layer: Any, start: int, weights: Any, step: Any, active: Any, scratch: Any
) -> None:
    """Gradient by the input of a layer that is wide out, and its weights' step, in one go."""
    clear_other_sums(layer, active, scratch)
    source, target = layer.source * scratch.capacity, layer.target * scratch.capacity
    for v in range(0, layer.vectors, layer.tile):
        vectors = min(layer.tile, layer.vectors - v)
        tile = start + tile_place(layer, v)
        for k in range(active.n):
            row = active.which[k]
            dot_and_descend(
                weights,
                tile + row * vectors * LANES,
                scratch.planes,
                source + active.places[k],
                scratch.deltas,
                target + v * BLOCK,
                vectors,
                step,
                scratch.sums,
                row * BLOCK,
                v == 0,
            )
    inputs_from_sums(layer, source, scratch)


@inlined
def descend_rows(
    layer: Any,
    start: int,
    weights: Any,
    step: Any,
    groups: int,
    active: Any,
    c: Any,
    c_start: int,
    c_stride: int,
    x: Any,
    x_start: int,
    x_stride: int,
) -> None:
    """Adam's step of the active rows."""
    for v in range(0, layer.vectors, layer.tile):
        vectors = min(layer.tile, layer.vectors - v)
        tile = start + tile_place(layer, v)
        x_place = x_start + v * BLOCK
        for k in range(active.n):
            row = tile + active.which[k] * vectors * LANES
            c_place = c_start + active.places[k]
            if groups == 1:
                descend(weights, row, c, c_place, x, x_place, vectors, step)
            else:
                descend_groups(
                    weights, row, c, c_place, c_stride, x, x_place, x_stride, groups, vectors, step
                )
