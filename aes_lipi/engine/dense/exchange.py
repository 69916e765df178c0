"""Between genomes, as the rest of the project keeps them, and packed networks; see `packing`."""

from __future__ import annotations

from typing import Any

from aes_lipi.engine.dense.compiled import entry_point, inlined
from aes_lipi.engine.dense.packing import tile_place
from aes_lipi.engine.dense.simd import LANES, load, read, store, write


@entry_point
def pack(parts: Any, genome: Any, packed: Any, start: int) -> None:
    """Write a genome into `packed`, which holds zeros, from `start` on.

    Args:
        parts: see `packing.Chain.encoder_parts`.
        genome: float32, (P,), read-only.
        packed: packed networks.
        start: where this one starts.
    """
    exchange(parts, genome, packed, start, to_packed, vector_to_packed)


@entry_point
def unpack(parts: Any, genome: Any, packed: Any, start: int) -> None:
    """Fill a genome from `packed`; the reverse of `pack`."""
    exchange(parts, genome, packed, start, to_genome, vector_to_genome)


@inlined
def to_packed(packed: Any, place: int, genome: Any, entry: int) -> None:
    """Copy one float."""
    write(packed, place, read(genome, entry))


@inlined
def to_genome(packed: Any, place: int, genome: Any, entry: int) -> None:
    """Copy one float."""
    write(genome, entry, read(packed, place))


@inlined
def vector_to_packed(packed: Any, place: int, genome: Any, entry: int) -> None:
    """Copy one vector."""
    store(packed, place, load(genome, entry))


@inlined
def vector_to_genome(packed: Any, place: int, genome: Any, entry: int) -> None:
    """Copy one vector."""
    store(genome, entry, load(packed, place))


@inlined
def exchange(parts: Any, genome: Any, packed: Any, start: int, copy: Any, copy_vector: Any) -> None:
    """Copy every entry of a network, one way or the other."""
    entry = 0
    for k in range(len(parts)):
        layer = parts[k]
        bias = entry + layer.n_out * layer.n_in
        for v in range(0, layer.vectors, layer.tile):
            first, width = v * LANES, min(layer.tile, layer.vectors - v) * LANES
            tile = start + layer.weights + tile_place(layer, v)
            if layer.wide_in:
                stop = min(first + width, layer.n_in)
                for node in range(layer.n_out):
                    row = tile + (layer.node + node) * width
                    matrix_row = entry + node * layer.n_in + first
                    exchange_row(
                        packed, row, genome, matrix_row, max(0, stop - first), copy, copy_vector
                    )
                    if first <= layer.n_in < first + width:
                        copy(packed, row + layer.n_in - first, genome, bias + node)
            else:
                column = tile + layer.node - first
                begin = max(0, first - layer.node)
                stop = min(first + width - layer.node, layer.n_out)
                exchange_columns(layer, packed, column, width, genome, entry, begin, stop, copy)
                row = column + layer.n_in * width
                for node in range(begin, stop):
                    copy(packed, row + node, genome, bias + node)
        entry = bias + layer.n_out


@inlined
def exchange_row(
    packed: Any, row: int, genome: Any, entry: int, n: int, copy: Any, copy_vector: Any
) -> None:
    """The n floats of a matrix row that lie in one tile."""
    for j in range(0, n - n % LANES, LANES):
        copy_vector(packed, row + j, genome, entry + j)
    for j in range(n - n % LANES, n):
        copy(packed, row + j, genome, entry + j)


@inlined
def exchange_columns(
    layer: Any,
    packed: Any,
    column: int,
    width: int,
    genome: Any,
    entry: int,
    first: int,
    stop: int,
    copy: Any,
) -> None:
    """Nodes `first` to `stop`, columns of a tile with node 0 at `column`.

    Few nodes at a time stay in cache.
    """
    for block in range(first, stop, LANES):
        for i in range(layer.n_in):
            row = column + i * width
            for node in range(block, min(block + LANES, stop)):
                copy(packed, row + node, genome, entry + node * layer.n_in + i)
