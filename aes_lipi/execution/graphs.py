"""Graphs over the cells that users bring: a file of edges, or a function of theirs."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aes_lipi.config import Variant
from aes_lipi.config.graph import graph_text, neighbours_in
from aes_lipi.errors import UserError, printable
from aes_lipi.extension import Kind, Plugin, called, load, settled

_MAX_BYTES = 10_000_000
_SEPARATOR = re.compile(r"\s*[,;\s]\s*")


def with_graph(variant: Variant) -> Variant:
    """The same variant, with the graph that its topology is, where that is a user's.

    Raises:
        UserError: the file cannot be read, the function breaks a rule, or the graph cannot be one;
            the line says which and what to do.
    """
    if variant.graph is not None:
        return variant
    if variant.edges is not None:
        graph = _graph_in(Path(variant.edges), variant.population_size)
    elif "topology" in variant.added:
        graph = load(_TOPOLOGY, variant.topology)(variant.population_size)
    else:
        return variant
    return variant.model_copy(update={"graph": graph})


def _graph_in(path: Path, population_size: int) -> str:
    """The graph of a file of edges, each of two cells that are neighbours of each other."""
    neighbours: list[set[int]] = [set() for _ in range(population_size)]
    for number, line in enumerate(_lines(path), 1):
        content = line.partition("#")[0].strip()
        if content and not (number == 1 and not content[0].isdigit()):  # the names of columns
            one, other = _edge(content, f"edges {path}, line {number}", population_size)
            neighbours[one].add(other)
            neighbours[other].add(one)
    graph = graph_text([sorted(each) for each in neighbours])
    try:
        neighbours_in(graph, population_size)
    except ValueError as error:
        raise UserError(f"edges {path}: {error}") from None
    return graph


def _lines(path: Path) -> list[str]:
    """The lines of a text file.

    Raises:
        UserError: it cannot be read, or is no text.
    """
    try:
        if path.exists() and not path.is_file():
            raise UserError(f"edges {path}: not a file; give a text file, two cells a line")
        if path.stat().st_size > _MAX_BYTES:
            raise UserError(f"edges {path}: larger than a graph can be (10 MB)")
        return path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"edges {path}: {error.strerror}; give a readable file") from None
    except ValueError:
        raise UserError(f"edges {path}: not text in UTF-8; give two cells a line, 0,1") from None


def _edge(content: str, where: str, population_size: int) -> tuple[int, int]:
    """The cells of an edge.

    Raises:
        UserError: the line has not two numbers of cells that there are, or twice the same.
    """
    words = _SEPARATOR.split(content)
    if len(words) != 2 or not all(re.fullmatch("[0-9]{1,9}", word) for word in words):
        raise UserError(f"{where}: {printable(content)!r} is no edge; give two cells a line, 0,1")
    one, other = map(int, words)
    if max(one, other) >= population_size:
        raise UserError(
            f"{where}: there is no cell {max(one, other)}; cells are 0 to {population_size - 1} "
            "(population_size)"
        )
    if one == other:
        raise UserError(f"{where}: cell {one} with itself, which it sees anyway; leave it out")
    return one, other


def _plugged(plugin: Plugin) -> Callable[[int], str]:
    """A graph of a user's: a function of the number of cells, or the neighbours themselves.

    Raises:
        UserError: the plug-in is neither; the line says what to change.
    """
    function = plugin.function("population_size") if callable(plugin.value) else None

    def graph(population_size: int) -> str:
        def once() -> str:
            if function is None:
                return _checked(plugin, plugin.value, population_size)
            made = called(plugin, {}, lambda _: function(population_size))
            return _checked(plugin, made, population_size)

        return settled(plugin, once, operator.eq)

    return graph


def _checked(plugin: Plugin, given: Any, population_size: int) -> str:
    """The text of a graph that a plug-in gives.

    Raises:
        UserError: it is not one over these cells.
    """
    cells = range(population_size)
    if isinstance(given, Mapping):
        if given.keys() - set(cells):
            key = next(iter(given.keys() - set(cells)))
            raise plugin.error(f"gives neighbours of {printable(key)}; cells are 0 to {cells[-1]}")
        given = [given.get(i, ()) for i in cells]
    try:
        text = graph_text(list(given) if hasattr(given, "__iter__") else given)
        neighbours_in(text, population_size)
    except ValueError as error:
        raise plugin.error(str(error)) from None
    return text


_TOPOLOGY: Kind[Callable[[int], str]] = Kind("topology", _plugged, {})
"""What `load` finds graphs of users by."""
