"""MAGNITUDE: the smallest weights, or the nodes of the smallest incoming weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Mask, NetworkLayout
from aes_lipi.pruning.operators.contract import Evidence, Settings, keep_unchosen


def prune_small_weights(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """In each tensor prune the round(amount * size) entries of smallest |w|, ties by position.

    Algorithm section 5, `magnitude`. Of whole nodes, in each layer the round(amount * nodes) of
    smallest L1 norm of incoming weights: Li et al. 2017, "Pruning filters for efficient ConvNets".
    Like their independent pruning, it takes the norms before anything else is pruned. No
    randomness.
    """

    def smallest(sizes: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        return np.argsort(sizes, kind="stable")[: round(settings.amount * sizes.size)]

    sizes = _incoming_norms(genome, layout) if settings.by_node else np.abs(genome)
    return keep_unchosen(layout, settings.unit, sizes, smallest)


def _incoming_norms(genome: Float32, layout: NetworkLayout) -> npt.NDArray[np.float64]:
    """The L1 norm of every node's incoming weights, bias excluded, shape (nodes,)."""
    return np.concatenate(
        [
            np.abs(layout.weight(genome, k)).sum(axis=1, dtype=np.float64)
            for k in range(len(layout.layers))
        ]
    )
