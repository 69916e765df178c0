"""Courses of trials made by hand: for what is known about them beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aes_lipi.analysis.history import History
from aes_lipi.arrays import Float64
from aes_lipi.coevolution.topology import Neighbourhoods
from aes_lipi.results.trial_files import TrialId

MEASURES = (
    *("learning_rate", "min_selection_loss", "min_replacement_loss", "prune_probability"),
    *("capacity", "test_loss", "mean_L1", "test_L1"),
)


def made_up_history(
    parents: Any,
    reads: Any = None,
    events: Any = None,
    losses: Mapping[int, Float64] | None = None,
    members: Neighbourhoods = (),
    **measures: Any,
) -> History:
    """A trial by the cells that its centres descend from.

    Args:
        parents: shape (generations, cells).
        reads: of which generation these parents are; of the one before by default.
        events: prune events; none by default.
        losses: of neighbourhoods, by generation.
        members: of the neighbourhoods.
        measures: broadcast to that shape; those not given are NaN.
    """
    cells = np.asarray(parents, dtype=np.int64)
    before = np.broadcast_to(np.arange(len(cells))[:, np.newaxis] - 1, cells.shape)
    given = {name: measures.get(name, np.nan) for name in MEASURES}
    return History(
        trial=TrialId("made up", 0),
        measures={
            name: np.broadcast_to(np.asarray(value, dtype=np.float64), cells.shape).copy()
            for name, value in given.items()
        },
        prune_event=np.broadcast_to(np.asarray(False if events is None else events), cells.shape),
        diverged=np.zeros(cells.shape, dtype=bool),
        parent_cell=cells,
        parent_generation=before if reads is None else np.asarray(reads, dtype=np.int64),
        selection_losses={t: tuple(found) for t, found in (losses or {}).items()},
        members=members,
    )


def drifting(n_cells: int, n_generations: int, seed: int = 0, **measures: Any) -> History:
    """A ring whose centres come from a neighbour or from the cell itself, by chance."""
    steps = np.random.default_rng(seed).integers(-1, 2, (n_generations, n_cells))
    return made_up_history((np.arange(n_cells) + steps) % n_cells, **measures)
