"""CONJUNCTIVE: nodes that are quiet on every one of many rows lose all incoming weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Mask, NetworkLayout
from aes_lipi.pruning.operators.contract import Evidence, Settings, keep_nodes

SAMPLED_ROWS = 100


def prune_quiet_nodes(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """Per layer, intersect the rows' candidates until at most one node is left; prune what is left.

    Algorithm section 5, `lexicase`. The rows, and their order, are those of the evidence. It prunes
    whole nodes in any case; where these are the unit, their outgoing weights go too, and the output
    layer is spared.

    Raises:
        ValueError: no activations were recorded.
    """
    if evidence.activations is None:
        raise ValueError("lexicase pruning needs recorded activations")
    dead = np.zeros(layout.n_nodes, dtype=np.bool_)
    for nodes in layout.node_slices():
        dead[nodes] = _survivors(_candidates(evidence.activations[:, nodes], settings.threshold))
    return keep_nodes(layout, dead, settings.unit)


def _candidates(activations: Float32, threshold: float) -> npt.NDArray[np.bool_]:
    """Nodes whose min-max normalised activation is below the threshold, shape (rows, nodes).

    A row whose activations are all equal has no candidates.
    """
    low = activations.min(axis=1, keepdims=True)
    span = activations.max(axis=1, keepdims=True) - low
    candidates: npt.NDArray[np.bool_] = (span > 0) & (activations - low < threshold * span)
    return candidates


def _survivors(candidates: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The intersection of the rows' candidates, stopped once at most one node is left."""
    intersections = np.logical_and.accumulate(candidates, axis=0)
    few = np.flatnonzero(intersections.sum(axis=1) <= 1)
    survivors: npt.NDArray[np.bool_] = intersections[few[0] if few.size else -1]
    return survivors
