"""Blocks of five vectors, one for each sample of a group, and what inner loops do with them.

Five samples are five named values, so that all of them stay in registers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.engine.dense.compiled import inlined
from aes_lipi.engine.dense.packing import SAMPLES
from aes_lipi.engine.dense.simd import LANES, broadcast, load, splat, store

BLOCK = SAMPLES * LANES
_ZERO = np.float32(0.0)


@inlined
def zeros() -> Any:
    """Five vectors of zeros."""
    zero = splat(_ZERO)
    return zero, zero, zero, zero, zero


@inlined
def load_block(array: Any, place: int) -> Any:
    """One vector of each sample."""
    return (
        load(array, place),
        load(array, place + LANES),
        load(array, place + 2 * LANES),
        load(array, place + 3 * LANES),
        load(array, place + 4 * LANES),
    )


@inlined
def store_block(array: Any, place: int, block: Any) -> None:
    """Write one vector of each sample."""
    store(array, place, block[0])
    store(array, place + LANES, block[1])
    store(array, place + 2 * LANES, block[2])
    store(array, place + 3 * LANES, block[3])
    store(array, place + 4 * LANES, block[4])


@inlined
def broadcast_block(plane: Any, place: int) -> Any:
    """One value of each sample, each in all lanes of a vector."""
    return (
        broadcast(plane, place),
        broadcast(plane, place + LANES),
        broadcast(plane, place + 2 * LANES),
        broadcast(plane, place + 3 * LANES),
        broadcast(plane, place + 4 * LANES),
    )


@inlined
def multiply_add(w: Any, x: Any, total: Any) -> Any:
    """`total[b] + w * x[b]` for each sample."""
    return (
        total[0] + w * x[0],
        total[1] + w * x[1],
        total[2] + w * x[2],
        total[3] + w * x[3],
        total[4] + w * x[4],
    )


@inlined
def weighted_sum(c: Any, x: Any) -> Any:
    """`sum_b c[b] * x[b]`: the gradient of one vector of weights."""
    return c[4] * x[4] + (c[3] * x[3] + (c[2] * x[2] + (c[1] * x[1] + c[0] * x[0])))
