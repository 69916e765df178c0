"""Memory that a batch is worked out in, and which rows of a layer have work to do."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.engine.dense.blocks import BLOCK, store_block, zeros
from aes_lipi.engine.dense.compiled import inlined
from aes_lipi.engine.dense.packing import SAMPLES, vectors_for
from aes_lipi.engine.dense.simd import LANES, absolute, load, splat, store

_ZERO = np.float32(0.0)
whole_vectors = inlined(vectors_for)


class Scratch(NamedTuple):
    """Memory for one batch of up to `capacity` groups.

    Attributes:
        planes: activations, `capacity` times `Chain.plane_floats`.
        deltas: gradients, laid out like `planes`.
        targets: the rows to reconstruct, where they are not the input; one plane.
        active: room for `ActiveRows.which`.
        places: room for `ActiveRows.places`.
        sums: partial sums of `dot`, rows x SAMPLES x LANES.
        found: room for one vector.
        factors: per slot how much the newest batch counts in the statistics, 2 x slots.
        capacity: groups there is room for.
    """

    planes: Float32
    deltas: Float32
    targets: Float32
    active: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    sums: Float32
    found: Float32
    factors: Float32
    capacity: int


class ActiveRows(NamedTuple):
    """The rows of a layer whose value along the short axis is not zero for every sample.

    The others add nothing to sums, and their gradient is zero, with which a new Adam does not move.

    Attributes:
        n: how many there are.
        which: their numbers, in order.
        places: where their values lie in a group of the plane.
    """

    n: int
    which: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]


@inlined
def element(n: int) -> int:
    """Where value n of a group's first sample lies in a plane."""
    return (n // LANES) * BLOCK + n % LANES


@inlined
def active_rows(
    plane: Any, start: int, vectors: int, rows: int, groups: int, everything: int, scratch: Any
) -> Any:
    """The active rows of a plane; all rows for `everything`."""
    n = 0
    for v in range(whole_vectors(rows)):
        size = splat(_ZERO)
        for g in range(groups):
            place = start + (g * vectors + v) * BLOCK
            for b in range(SAMPLES):
                size = size + absolute(load(plane, place + b * LANES))
        store(scratch.found, 0, size)
        for lane in range(min(LANES, rows - v * LANES)):
            scratch.active[n] = v * LANES + lane
            scratch.places[n] = v * BLOCK + lane
            n += everything | (scratch.found[lane] != _ZERO)
    return ActiveRows(n, scratch.active, scratch.places)


@inlined
def clear_sums(scratch: Any, first: int, stop: int) -> None:
    """Set the partial sums of some rows to zero."""
    for row in range(first, stop):
        store_block(scratch.sums, row * BLOCK, zeros())


@inlined
def clear_other_sums(layer: Any, active: Any, scratch: Any) -> None:
    """Set the partial sums of rows that are not active to zero."""
    following = 0
    for k in range(active.n):
        clear_sums(scratch, following, active.which[k])
        following = active.which[k] + 1
    clear_sums(scratch, following, whole_vectors(layer.rows) * LANES)
