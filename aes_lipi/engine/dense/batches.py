"""Rows of a data set as the input plane of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.engine.dense.blocks import BLOCK
from aes_lipi.engine.dense.compiled import inlined, kernel
from aes_lipi.engine.dense.packing import SAMPLES
from aes_lipi.engine.dense.simd import LANES, load, splat, store

_ZERO, _ONE = np.float32(0.0), np.float32(1.0)


@inlined
def slot_place(layer: Any, slot: int) -> Any:
    """Where a slot's values start in the input plane."""
    return (slot // SAMPLES) * layer.source_vectors * BLOCK + (slot % SAMPLES) * LANES


@inlined
def load_row(layer: Any, row: Any, plane: Any, place: int) -> None:
    """Write one row of n_in values, then the constant 1, then zeros."""
    full = layer.n_in // LANES
    for v in range(full):
        store(plane, place + v * BLOCK, load(row, v * LANES))
    rest = place + full * BLOCK
    store(plane, rest, splat(_ZERO))
    for j in range(full * LANES, layer.n_in):
        plane[rest + j - full * LANES] = row[j]
    plane[rest + layer.n_in - full * LANES] = _ONE


@inlined
def clear_row(layer: Any, plane: Any, place: int) -> None:
    """Make a slot padding: all zeros, the constant too."""
    for v in range(layer.source_vectors):
        store(plane, place + v * BLOCK, splat(_ZERO))


@kernel
def load_batch(layer: Any, data: Any, rows: Any, n_rows: int, plane: Any) -> None:
    """Write the given rows of the data as the input of `layer`, the encoder's first."""
    groups = (n_rows + SAMPLES - 1) // SAMPLES
    for slot in range(groups * SAMPLES):
        place = slot_place(layer, slot)
        if slot < n_rows:
            load_row(layer, data[rows[slot]], plane, place)
        else:
            clear_row(layer, plane, place)


@kernel
def load_noisy_batch(
    layer: Any, data: Any, rows: Any, n_rows: int, noise: Any, drawn: int, scale: Any, scratch: Any
) -> None:
    """The same with `scale * noise` added; the clean rows become the targets."""
    load_batch(layer, data, rows, n_rows, scratch.targets)
    load_batch(layer, data, rows, n_rows, scratch.planes)
    for slot in range(n_rows):
        place = slot_place(layer, slot)
        for j in range(layer.n_in):
            at = place + (j // LANES) * BLOCK + j % LANES
            scratch.planes[at] += scale * noise[drawn + slot, j]
