"""The unit of analysis: what counts as one observation.

The cells of a trial copy from each other, so their values are no independent observations: a test
that takes them for such finds differences that are not there (pseudoreplication; Hurlbert,
Ecological Monographs 54, 1984). The unit is the trial, in one of two ways; the published figures
pool cells, which is offered for comparison with them only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from aes_lipi.arrays import Float64, Int64

Unit = Literal["trial_mean", "trial_best", "pooled_cells"]

NO_CELL = -1
"""The cell of a mean over cells."""


@dataclass(frozen=True)
class Rows:
    """Values of one trial, a row per generation and cell, or per generation.

    Attributes:
        generation: shape (rows,).
        cell: shape (rows,); `NO_CELL` for a mean over cells.
        measures: by name, of shape (rows,) each; NaN where not measured.
    """

    generation: Int64
    cell: Int64
    measures: Mapping[str, Float64]

    def take(self, rows: Int64) -> Rows:
        """Some of the rows, by their indices."""
        measures = {name: values[rows] for name, values in self.measures.items()}
        return Rows(self.generation[rows], self.cell[rows], measures)


def trial_mean(rows: Rows, best_by: str) -> Rows:
    """The mean over the trial's cells, a row per generation.

    A generation in which a cell was not measured has no mean: one over the others would be a mean
    of something else.

    Args:
        rows: a row per generation and cell, in any order.
        best_by: not used.
    """
    del best_by
    ordered = rows.take(np.argsort(rows.generation, kind="stable"))
    generation, starts, counts = np.unique(
        ordered.generation, return_index=True, return_counts=True
    )
    means = {
        name: np.add.reduceat(values, starts) / counts if len(starts) else values
        for name, values in ordered.measures.items()
    }
    return Rows(generation, np.full(len(generation), NO_CELL), means)


def trial_best(rows: Rows, best_by: str) -> Rows:
    """The trial's best cell, a row per generation.

    The same cell gives all measures of a generation, so a test loss is not the lowest of several.
    Of cells that tie, it is the first; a generation without any value to choose by has none: its
    cell is `NO_CELL`, its measures are NaN.

    Args:
        rows: a row per generation and cell, in any order.
        best_by: the measure whose lowest value is best.
    """
    order = np.lexsort((rows.cell, rows.measures[best_by], rows.generation))  # NaN comes last
    ordered = rows.take(order)
    best = ordered.take(np.unique(ordered.generation, return_index=True)[1])
    known = ~np.isnan(best.measures[best_by])
    return Rows(
        best.generation,
        np.where(known, best.cell, NO_CELL),
        {name: np.where(known, values, np.nan) for name, values in best.measures.items()},
    )


def pooled_cells(rows: Rows, best_by: str) -> Rows:
    """Every cell for itself, as in the published figures: for comparison with them only.

    Args:
        rows: a row per generation and cell, in any order.
        best_by: not used.
    """
    del best_by
    return rows.take(np.lexsort((rows.cell, rows.generation)))


UNITS: Mapping[Unit, Callable[[Rows, str], Rows]] = {
    "trial_mean": trial_mean,
    "trial_best": trial_best,
    "pooled_cells": pooled_cells,
}
"""The units, and what makes them of a trial's cells."""
