"""Who a cell's neighbours are.

A topology gives every cell its neighbourhood as cell indices, its own first. A cell reads its
neighbours; edges of a user's graph may go one way. Small rings and grids wrap around, so that a
cell may appear more than once in a neighbourhood. Without space (`all_vs_all`) there are as many
cells as pairs of an encoder and a decoder, and each is alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from aes_lipi.config import Variant
from aes_lipi.config.graph import neighbours_in

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


def _complete_of(variant: Variant) -> Neighbourhoods:
    """Every cell and all others, in the order of their numbers."""
    cells = range(variant.population_size)
    return tuple((i, *(j for j in cells if j != i)) for i in cells)


def _star_of(variant: Variant) -> Neighbourhoods:
    """Cell 0 and all others, and every other cell and cell 0."""
    others = range(1, variant.population_size)
    return ((0, *others), *((i, 0) for i in others))


def _graph_of(variant: Variant) -> Neighbourhoods:
    """Every cell and those that it reads in the variant's graph.

    Raises:
        ValueError: the graph was not filled in yet; see `aes_lipi.execution.inputs.with_digests`.
    """
    if variant.graph is None:
        raise ValueError(f"topology {variant.topology}: its graph is not known yet")
    rows = neighbours_in(variant.graph, variant.population_size)
    return tuple((i, *row) for i, row in enumerate(rows))


TOPOLOGIES: dict[str, Callable[[Variant], Neighbourhoods]] = {
    "ring": _ring_of,
    "grid": _grid_of,
    "complete": _complete_of,
    "star": _star_of,
    "graph": _graph_of,
}


def neighbourhoods(variant: Variant) -> Neighbourhoods:
    """Every cell's neighbourhood in a variant, own cell first."""
    if variant.cell_evaluation == "all_vs_all":
        return tuple((pair,) for pair in range(variant.population_size**2))
    return TOPOLOGIES.get(variant.topology, _graph_of)(variant)


def largest_neighbourhood(variant: Variant) -> int:
    """The members of a variant's largest neighbourhood, told without making all of them."""
    if variant.cell_evaluation == "all_vs_all":
        return 1
    if variant.topology in ("ring", "grid"):
        return 1 + (2 if variant.topology == "ring" else 4) * variant.radius
    if variant.topology in ("complete", "star"):
        return variant.population_size
    return max(map(len, neighbourhoods(variant)))
