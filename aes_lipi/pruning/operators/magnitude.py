"""MAGNITUDE: the smallest weights."""

from __future__ import annotations

import numpy as np

from aes_lipi.autoencoders.layout import Float32, NetworkLayout
from aes_lipi.autoencoders.networks import Mask
from aes_lipi.pruning.operators.contract import Evidence, Settings


def prune_small_weights(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """In each tensor prune the round(amount * size) entries of smallest |w|, ties by position.

    Algorithm section 5, `magnitude`. No randomness.
    """
    keep = np.ones(genome.size, dtype=np.bool_)
    for entries in layout.tensor_slices():
        order = np.argsort(np.abs(genome[entries]), kind="stable")
        keep[entries.start + order[: round(settings.amount * order.size)]] = False
    return keep
