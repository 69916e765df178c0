"""Neighbourhoods by hand."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aes_lipi.coevolution.topology import (
    TOPOLOGIES,
    grid,
    largest_neighbourhood,
    neighbourhoods,
    ring,
)
from aes_lipi.config import Variant


def variant(**given: Any) -> Variant:
    return Variant.model_validate(given)


@pytest.mark.parametrize(
    ("size", "radius", "expected"),
    [
        # i, i+1, i-1, i+2, i-2, ...
        (5, 1, [(0, 1, 4), (1, 2, 0), (2, 3, 1), (3, 4, 2), (4, 0, 3)]),
        (
            5,
            2,
            [(0, 1, 4, 2, 3), (1, 2, 0, 3, 4), (2, 3, 1, 4, 0), (3, 4, 2, 0, 1), (4, 0, 3, 1, 2)],
        ),
        (3, 0, [(0,), (1,), (2,)]),
        # Small rings wrap, and a cell may be seen more than once.
        (1, 0, [(0,)]),
        (1, 2, [(0, 0, 0, 0, 0)]),
        (2, 1, [(0, 1, 1), (1, 0, 0)]),
        (2, 2, [(0, 1, 1, 0, 0), (1, 0, 0, 1, 1)]),
        (3, 2, [(0, 1, 2, 2, 1), (1, 2, 0, 0, 2), (2, 0, 1, 1, 0)]),
    ],
)
def test_ring(size: int, radius: int, expected: list[tuple[int, ...]]) -> None:
    assert ring(size, radius) == tuple(expected)


def test_published_ring_is_of_ten_with_radius_one() -> None:
    cells = neighbourhoods(variant())
    assert len(cells) == 10
    assert cells[0] == (0, 1, 9)
    assert cells[4] == (4, 5, 3)
    assert cells[9] == (9, 0, 8)


def test_grid_of_three_by_three_is_a_torus_of_five_cells() -> None:
    # 0 1 2
    # 3 4 5     own, down, up, right, left
    # 6 7 8
    cells = grid(3, 3, 1)
    assert cells[4] == (4, 7, 1, 5, 3)
    assert cells[0] == (0, 3, 6, 1, 2)
    assert cells[2] == (2, 5, 8, 0, 1)
    assert cells[8] == (8, 2, 5, 6, 7)


def test_grid_of_two_by_five() -> None:
    # 0 1 2 3 4
    # 5 6 7 8 9
    cells = grid(2, 5, 1)
    assert cells[0] == (0, 5, 5, 1, 4)
    assert cells[7] == (7, 2, 2, 8, 6)
    assert cells[9] == (9, 4, 4, 5, 8)


def test_grid_of_two_by_two_sees_its_neighbours_twice() -> None:
    # 0 1
    # 2 3
    assert grid(2, 2, 1) == ((0, 2, 2, 1, 1), (1, 3, 3, 0, 0), (2, 0, 0, 3, 3), (3, 1, 1, 2, 2))


def test_grid_of_one_row_sees_itself_above_and_below() -> None:
    assert grid(1, 4, 1)[1] == (1, 1, 1, 2, 0)
    assert grid(4, 1, 1)[1] == (1, 2, 0, 1, 1)
    assert grid(1, 1, 1) == ((0, 0, 0, 0, 0),)


def test_grid_of_radius_two_reaches_two_cells_along_each_axis() -> None:
    # Five rows of five; cell 12 is the middle.
    assert grid(5, 5, 2)[12] == (12, 17, 7, 13, 11, 22, 2, 14, 10)
    assert grid(3, 3, 0) == tuple((i,) for i in range(9))


@pytest.mark.parametrize(
    ("size", "rows", "expected"),
    [
        (9, None, grid(3, 3, 1)),
        (10, None, grid(2, 5, 1)),
        (12, None, grid(3, 4, 1)),
        (7, None, grid(1, 7, 1)),
        (1, None, grid(1, 1, 1)),
        (10, 5, grid(5, 2, 1)),
        (10, 1, grid(1, 10, 1)),
        (10, 10, grid(10, 1, 1)),
    ],
)
def test_grid_is_as_square_as_the_population_allows_unless_rows_are_given(
    size: int, rows: int | None, expected: tuple[tuple[int, ...], ...]
) -> None:
    of = variant(topology="grid", population_size=size, grid_rows=rows)
    assert neighbourhoods(of) == expected


@pytest.mark.parametrize("topology", ["ring", "grid"])
@given(size=st.integers(1, 30), radius=st.integers(0, 4))
def test_every_neighbourhood_begins_with_the_cell_and_is_fair(
    topology: str, size: int, radius: int
) -> None:
    radius = min(radius, max(1, size // 2))
    cells = neighbourhoods(variant(topology=topology, population_size=size, radius=radius))
    assert [members[0] for members in cells] == list(range(size))
    assert len({len(members) for members in cells}) == 1
    assert len(cells[0]) == 1 + radius * (2 if topology == "ring" else 4)
    # Every cell is in as many neighbourhoods as there are members in its own.
    seen = Counter(j for members in cells for j in members)
    assert seen == {i: len(cells[0]) for i in range(size)}
    # To be a neighbour is mutual, and as often.
    counted = [Counter(members) for members in cells]
    assert all(counted[j][i] == n for i in range(size) for j, n in counted[i].items())


def test_canonical_baseline_has_no_neighbours() -> None:
    of = variant(cell_evaluation="ann_canonical", population_size=5, topology="grid", radius=2)
    assert neighbourhoods(of) == ((0,),)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"topology": "complete"}, ((0, 1, 2, 3), (1, 0, 2, 3), (2, 0, 1, 3), (3, 0, 1, 2))),
        ({"topology": "star"}, ((0, 1, 2, 3), (1, 0), (2, 0), (3, 0))),
        ({"graph": "3 1;2 0;1;0"}, ((0, 3, 1), (1, 2, 0), (2, 1), (3, 0))),
        ({"graph": [[0, 1], [1, 2], [2, 3], [3, 0]]}, ((0, 1), (1, 2), (2, 3), (3, 0))),
        ({"graph": [[1], [0], [0], []]}, None),
        ({"graph": [[1, 2, 3], [], [], []]}, ((0, 1, 2, 3), (1,), (2,), (3,))),  # one way
    ],
)
def test_four_cells_of_other_topologies(given: dict[str, Any], expected: Any) -> None:
    if expected is None:
        with pytest.raises(ValidationError, match="graph: without a neighbour is cell 3"):
            variant(population_size=4, **given)
    else:
        assert neighbourhoods(variant(population_size=4, **given)) == expected


@given(st.sampled_from(sorted(TOPOLOGIES)), st.integers(1, 9), st.integers(0, 4))
def test_the_largest_neighbourhood_is_known_without_making_all(
    topology: str, size: int, radius: int
) -> None:
    shape: dict[str, Any] = {"population_size": size, "topology": topology}
    if topology in ("ring", "grid"):
        shape["radius"] = min(radius, max(1, size // 2))
    if topology == "graph":
        shape["graph"] = [[(i + 1) % size][: size - 1] for i in range(size)]
    of = variant(**shape)
    assert largest_neighbourhood(of) == max(map(len, neighbourhoods(of)))
