"""RANDOM: entries chosen uniformly."""

from __future__ import annotations

import numpy as np

from aes_lipi.autoencoders.layout import Float32, NetworkLayout
from aes_lipi.autoencoders.networks import Mask
from aes_lipi.pruning.operators.contract import Evidence, Settings


def prune_random_entries(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """In each tensor choose round(amount * size) entries; entries that are zero already count too.

    Algorithm section 5, `random`.
    """
    keep = np.ones(genome.size, dtype=np.bool_)
    for entries in layout.tensor_slices():
        size = entries.stop - entries.start
        chosen = rng.choice(size, round(settings.amount * size), replace=False, shuffle=False)
        keep[entries.start + chosen] = False
    return keep
