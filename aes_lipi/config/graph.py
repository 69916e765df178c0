"""A graph of a user's over the cells of a population: the neighbours of every cell, as text.

`1 2;0;0` is the graph of three cells in which cell 0 reads cells 1 and 2, and these read cell 0.
Every cell sees itself, besides. Edges may go one way. What counts is who reads whom, and in which
order, wherever the graph came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

Neighbours = tuple[tuple[int, ...], ...]
"""Of every cell the others that it reads."""

_MOST_EDGES = 100_000
_FORM = "give the neighbours of every cell, as in '1 2;0;0' or [[1, 2], [0], [0]]"


def graph_text(given: Any) -> str:
    """The one spelling of a graph.

    Args:
        given: its text; or by cell the numbers of its neighbours, the cell itself first or not.

    Raises:
        ValueError: it is neither; the message says what to give.
    """
    if isinstance(given, str):
        given = [each.split() for each in given.split(";")]
    if not isinstance(given, Sequence) or isinstance(given, bytes):
        raise ValueError(_FORM)
    rows = [_numbers(each) for each in given]
    if sum(map(len, rows)) > _MOST_EDGES:
        raise ValueError(f"a graph of more than {_MOST_EDGES} edges")
    others = (row[1:] if row[:1] == [i] else row for i, row in enumerate(rows))
    return ";".join(" ".join(map(str, row)) for row in others)


def _numbers(row: Any) -> list[int]:
    if isinstance(row, str | bytes) or not isinstance(row, Iterable):
        raise ValueError(f"{row!r} is no list of cells; {_FORM}")
    return [_number(each) for each in row]


def _number(given: Any) -> int:
    """A cell's number, of whatever type whole numbers have.

    Raises:
        ValueError: it is none.
    """
    text = str(given)
    if isinstance(given, bool) or not text.isdecimal() or not text.isascii() or len(text) > 9:
        raise ValueError(f"{text[:20]!r} is no number of a cell; {_FORM}")
    return int(text)


@lru_cache(maxsize=64)
def neighbours_in(text: str, population_size: int) -> Neighbours:
    """The neighbours of every cell, its own left out.

    Args:
        text: of a graph, in its one spelling.
        population_size: cells.

    Raises:
        ValueError: the graph is one of another number of cells, names one that there is not, one
            twice or a cell as its own neighbour, or leaves a cell alone.
    """
    rows = tuple(tuple(map(int, each.split())) for each in text.split(";"))
    if len(rows) != population_size:
        raise ValueError(
            f"graph: of {len(rows)} cells, where population_size is {population_size}; give as many"
        )
    for i, row in enumerate(rows):
        _check_row(i, row, population_size)
    read = {j for row in rows for j in row}
    alone = [str(i) for i, row in enumerate(rows) if not row and i not in read]
    if alone and population_size > 1:
        shown = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
        raise ValueError(
            f"graph: without a neighbour is cell {shown}; give every cell one (a ring of radius 0 "
            "trains all apart)"
        )
    return rows


def _check_row(i: int, row: tuple[int, ...], population_size: int) -> None:
    if max(row, default=0) >= population_size:
        raise ValueError(
            f"graph: cell {i} reads cell {max(row)}; cells are 0 to {population_size - 1}"
        )
    if i in row:
        raise ValueError(f"graph: cell {i} is its own neighbour; leave it out, it is always there")
    if len(set(row)) < len(row):
        twice = next(j for j in row if row.count(j) > 1)
        raise ValueError(f"graph: cell {i} names cell {twice} twice; name each neighbour once")
