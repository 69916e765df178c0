"""VARIANCE: nodes whose activation varies most over the batches lose most incoming weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Mask, NetworkLayout
from aes_lipi.pruning.operators.contract import Evidence, Settings, keep_nodes


def prune_high_variance(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """Keep an entry of node u iff k(u) > U(0, 1), k = 1 - score scaled to [0, 1] over the layer.

    Algorithm section 5, `activation`. The node of highest variance loses all its incoming weights
    and its bias, the node of lowest variance none. Of whole nodes, one draw decides for each.

    Raises:
        ValueError: no statistics were gathered.
    """
    unscaled = [1.0 - score for score in _scores(layout, evidence)]
    return _prune_by_score(layout, unscaled, settings, rng)


def prune_low_variance(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """`prune_high_variance` with the roles of high and low swapped: k = score.

    Algorithm section 5, `activation_low`.

    Raises:
        ValueError: no statistics were gathered.
    """
    return _prune_by_score(layout, _scores(layout, evidence), settings, rng)


def _scores(layout: NetworkLayout, evidence: Evidence) -> list[npt.NDArray[np.float64]]:
    """Per layer and node the standard deviation over batches, summed over the batch slots."""
    if evidence.statistics is None:
        raise ValueError("activation pruning needs activation statistics")
    score = evidence.statistics.standard_deviation().sum(axis=0)
    return [score[nodes] for nodes in layout.node_slices()]


def _prune_by_score(
    layout: NetworkLayout,
    unscaled: list[npt.NDArray[np.float64]],
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    chances = [_min_max(values) for values in unscaled]
    if settings.by_node:
        kept = np.concatenate(chances) > rng.random(layout.n_nodes)
        return keep_nodes(layout, ~kept, settings.unit)
    keep = np.empty(layout.size, dtype=np.bool_)
    for k, chance in enumerate(chances):
        layer = layout.layers[k]
        drawn = rng.random((layer.n_out, layer.n_in))
        keep[layout.weight_slice(k)] = (chance[:, None] > drawn).ravel()
        keep[layout.bias_slice(k)] = chance > rng.random(layer.n_out)
    return keep


def _min_max(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Scale the last axis to [0, 1]; left as it is where all its values are equal."""
    low = values.min(axis=-1, keepdims=True)
    span = values.max(axis=-1, keepdims=True) - low
    scaled: npt.NDArray[np.floating] = np.where(
        span > 0, (values - low) / np.where(span > 0, span, 1), values
    )
    return scaled
