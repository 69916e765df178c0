"""RANDOM: entries, or nodes, chosen uniformly."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Flags, Float32
from aes_lipi.autoencoders.network import Mask, NetworkLayout
from aes_lipi.pruning.operators.contract import Evidence, Settings, keep_unchosen


def prune_random_entries(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """In each tensor choose round(amount * size) entries; entries that are zero already count too.

    Algorithm section 5, `random`. Of whole nodes, in each layer round(amount * nodes), dead ones
    counted too. A cumulative amount takes what is zero or dead first, and chooses the rest among
    the others.
    """
    alive = layout.living_nodes(genome) if settings.by_node else genome != 0
    return keep_unchosen(
        layout, settings.unit, alive, lambda of_group: _choose(of_group, settings, rng)
    )


def _choose(alive: Flags, settings: Settings, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Positions of what is pruned of one tensor or layer, given which of its units are alive."""
    n = round(settings.amount * alive.size)
    if not settings.cumulative:
        return rng.choice(alive.size, n, replace=False, shuffle=False)
    dead = np.flatnonzero(~alive)[:n]
    more = rng.choice(np.flatnonzero(alive), n - dead.size, replace=False, shuffle=False)
    return np.concatenate([dead, more])
