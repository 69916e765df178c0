"""How far the centres of a trial's cells lie apart, generation by generation.

It takes every centre of every generation, which a study keeps with `store_generations: all`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from aes_lipi.analysis.history import read_history
from aes_lipi.arrays import Float32, Float64, Int64
from aes_lipi.coevolution.topology import Neighbourhoods
from aes_lipi.errors import UserError
from aes_lipi.models.files import load_content, measured_centres
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.trial_files import MODELS, TrialId, handed_on

_UNREACHED = -1
"""Steps between cells of which neither gets anything of the other."""


@dataclass(frozen=True)
class Distances:
    """Distances between the cells of one trial.

    Attributes:
        generations: int64, shape (generations,), ascending.
        apart: float64, shape (generations, cells, cells): the root of the mean square difference of
            all weights and biases of two centres, encoder and decoder.
        steps: int64, shape (cells, cells): by how many exchanges between neighbours a centre
            gets from one cell to the other; `_UNREACHED` where it never does.
    """

    generations: Int64
    apart: Float64
    steps: Int64

    def by_steps(self) -> dict[int, Float64]:
        """By steps between cells, the mean distance of such pairs, shape (generations,).

        What counts of a pair are the steps of the direction in which centres get there sooner, or
        at all.
        """
        reached = np.where(self.steps == _UNREACHED, len(self.steps), self.steps)
        least = np.minimum(reached, reached.T)
        steps = np.where(least == len(least), _UNREACHED, least)
        upper = np.triu(np.ones_like(steps, dtype=bool), 1)
        pairs = {int(n): upper & (steps == n) for n in np.unique(steps[upper])}
        return {n: self.apart[:, which].mean(axis=1) for n, which in sorted(pairs.items())}


def read_distances(location: str | Path, variant: str, trial: int) -> Distances:
    """Read how far the cells of one committed trial lay apart.

    Args:
        location: the study's output folder, or its address.
        variant: id of its variant.
        trial: its number.

    Raises:
        UserError: no such trial is committed, a file of it is damaged (run the study again), or the
            centres were not stored: run it with store_generations all.
    """
    members = read_history(location, variant, trial).members
    content = handed_on(open_storage(location), TrialId(variant, trial), MODELS)
    found = distances_in(content, members)
    if found is None:
        raise UserError(
            f"trial {trial} of variant {variant}: its model's file has not the centres of all "
            "generations; run the study with --store_generations all"
        )
    return found


def distances_in(content: bytes, members: Neighbourhoods) -> Distances | None:
    """The distances between centres that a model's file holds.

    Args:
        content: of the file.
        members: by cell the cells of its neighbourhood, its own among them.

    Returns:
        None where it does not hold the centres of all those cells.

    Raises:
        UserError: the file is no model.
    """
    found = load_content(content, partial(measured_centres, measure=_apart))
    apart = [found[t] for t in sorted(found)]
    if not members or not apart or len(apart[0]) != len(members):
        return None
    return Distances(np.array(sorted(found), np.int64), np.stack(apart), _steps(members))


def _apart(weights: Float32) -> Float64:
    """The distances between the rows of a matrix, shape (rows, rows)."""
    rows = weights.astype(np.float64)
    products = rows @ rows.T
    squares = np.diag(products)
    between = squares[:, np.newaxis] + squares - 2 * products
    apart: Float64 = np.sqrt(np.maximum(between, 0) / rows.shape[1])
    return apart


def _steps(members: Neighbourhoods) -> Int64:
    """See `Distances.steps`."""
    n = len(members)
    reads = np.zeros((n, n), dtype=bool)
    for cell, whom in enumerate(members):
        reads[cell, list(whom)] = True
    steps = np.where(np.eye(n, dtype=bool), 0, _UNREACHED)
    reached = np.eye(n, dtype=bool)
    for step in range(1, n):
        further = reads @ reached
        if not (further & ~reached).any():
            break
        steps[further & (steps == _UNREACHED)] = step
        reached |= further
    return steps.astype(np.int64)
