"""How pairs spread: from which cells the centres descend, window after window."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aes_lipi.analysis.history import BEGINNING, History
from aes_lipi.arrays import Int64

_DECIDING = ("test_L1", "mean_L1", "test_loss", "min_replacement_loss")


@dataclass(frozen=True)
class Descents:
    """From which cell every centre descends, told anew in every window of generations.

    Attributes:
        starts: the first generation of every window.
        founders: int64, shape (generations, cells): the cell, at the end of the generation before
            the window, from whose centre this one descends.
    """

    starts: tuple[int, ...]
    founders: Int64


def descents(history: History, most: int = 16) -> Descents:
    """Windows in which one pair takes over, and who descends from whom in them.

    A window ends with the generation in which all centres descend from one and the same of those
    at its start: what comes after would all look the same. Where that happens too often to be
    seen, a window goes on for an even share of the generations.

    Args:
        history: of a trial.
        most: windows that a figure has room for.
    """
    shortest = math.ceil(history.n_generations / most)
    starts, parts, start = [], [], 0
    while start < history.n_generations:
        part = _until_takeover(history, start, shortest)
        starts.append(start)
        parts.append(part)
        start += len(part)
    empty = np.empty((0, history.n_cells), dtype=np.int64)
    return Descents(tuple(starts), np.concatenate([empty, *parts]))


def _until_takeover(history: History, start: int, shortest: int) -> Int64:
    """The founders from a generation to the next takeover, shape (generations, cells)."""
    span = shortest
    while True:
        founders = history.ancestors(start, start + span)
        taken = (founders == founders[:, :1]).all(axis=1)
        taken[: shortest - 1] = False
        if taken.any():
            return founders[: int(taken.argmax()) + 1]
        if start + span >= history.n_generations:
            return founders
        span *= 2


def final_cell(history: History) -> int:
    """The cell of the lowest loss in the last generation; the first one of a tie.

    What decides is the L1 on the test rows, as for the trial's answer under the published settings;
    where that was not measured, the next best that was.
    """
    for name in _DECIDING:
        last = history.measures[name][-1]
        if not np.isnan(last).all():
            return int(np.nanargmin(last))
    return 0


def line_on_ring(history: History, cell: int) -> tuple[Int64, Int64, tuple[int, ...]]:
    """The line of descent of a cell's last centre, oldest first, and where it goes round the end.

    Returns:
        generations and cells, int64, shape (steps,) each; and the steps before which the line goes
        from the last cell to the first, or back.
    """
    line = np.array(history.line_of(cell)[::-1], dtype=np.int64)
    line = line[line[:, 0] > BEGINNING]
    generations, cells = line[:, 0], line[:, 1]
    jumps = np.abs(np.diff(cells)) * 2 > history.n_cells
    return generations, cells, tuple(int(k) + 1 for k in np.flatnonzero(jumps))
