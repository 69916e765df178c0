"""Who a cell's neighbours are.

A topology gives every cell its neighbourhood as cell indices, its own first. Small populations wrap
around, so that a cell may appear more than once in a neighbourhood. Without space (`all_vs_all`)
there are as many cells as pairs of an encoder and a decoder, and each is alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from aes_lipi.config import Variant

Neighbourhoods = tuple[tuple[int, ...], ...]


def ring(population_size: int, radius: int) -> Neighbourhoods:
    """Cell i and i+1, i-1, ..., i+r, i-r modulo the population size: 2r + 1 members.

    Algorithm section 3.
    """
    return tuple(
        (
            i,
            *(
                (i + sign * distance) % population_size
                for distance in range(1, radius + 1)
                for sign in (1, -1)
            ),
        )
        for i in range(population_size)
    )


def grid(rows: int, columns: int, radius: int) -> Neighbourhoods:
    """A torus of rows x columns cells; the cell and `radius` cells in each of four directions.

    With radius 1 this is the five-cell neighbourhood common in cellular coevolution. Cell (y, x)
    has index y * columns + x; the order is own, then per distance down, up, right, left.
    """

    def members(y: int, x: int) -> tuple[int, ...]:
        cells = [y * columns + x]
        for distance in range(1, radius + 1):
            for dy, dx in ((distance, 0), (-distance, 0), (0, distance), (0, -distance)):
                cells.append(((y + dy) % rows) * columns + (x + dx) % columns)
        return tuple(cells)

    return tuple(members(y, x) for y in range(rows) for x in range(columns))


def _ring_of(variant: Variant) -> Neighbourhoods:
    return ring(variant.population_size, variant.radius)


def _grid_of(variant: Variant) -> Neighbourhoods:
    rows = variant.grid_rows or _squarest(variant.population_size)
    return grid(rows, variant.population_size // rows, variant.radius)


def _squarest(population_size: int) -> int:
    """The largest divisor that is at most the square root."""
    return next(
        rows for rows in range(math.isqrt(population_size), 0, -1) if population_size % rows == 0
    )


TOPOLOGIES: dict[str, Callable[[Variant], Neighbourhoods]] = {"ring": _ring_of, "grid": _grid_of}


def neighbourhoods(variant: Variant) -> Neighbourhoods:
    """Every cell's neighbourhood in a variant, own cell first."""
    if variant.cell_evaluation == "all_vs_all":
        return tuple((pair,) for pair in range(variant.population_size**2))
    return TOPOLOGIES[variant.topology](variant)
