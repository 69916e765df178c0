"""What a pruning operator is given and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from aes_lipi.autoencoders.layout import Float32, NetworkLayout
from aes_lipi.autoencoders.networks import Mask
from aes_lipi.autoencoders.statistics import ActivationStatistics
from aes_lipi.config import Variant


@dataclass(frozen=True)
class Settings:
    """How a prune event is carried out.

    Attributes:
        method: name of the operator.
        amount: share of each tensor's entries, for operators that prune by amount.
        threshold: normalised activation below which a node is a candidate of `lexicase`.
        frozen: pruned entries stay zero (sound); otherwise training may move them (published).
    """

    method: str
    amount: float = 0.1
    threshold: float = 0.1
    frozen: bool = False

    @staticmethod
    def of(variant: Variant) -> Settings:
        """The settings of a variant."""
        return Settings(
            method=variant.prune_method,
            amount=variant.prune_amount,
            threshold=variant.lexi_threshold,
            frozen=variant.pruned_weights == "frozen",
        )


@dataclass(frozen=True)
class Evidence:
    """What is known of a network's activations; each part only where the operator needs it.

    Attributes:
        statistics: over the batches the network has seen.
        activations: recorded on sampled rows, float32, shape (rows, nodes).
    """

    statistics: ActivationStatistics | None = None
    activations: Float32 | None = None


Function = Callable[[Float32, NetworkLayout, Evidence, Settings, np.random.Generator], Mask]


@dataclass(frozen=True)
class Operator:
    """A pruning operator and the evidence it asks for.

    Attributes:
        function: `(genome, layout, evidence, settings, rng) -> keep`, keep of shape (P,), True
            where an entry survives. It leaves the genome as it is.
        needs: which part of `Evidence` is gathered for it.
    """

    function: Function
    needs: Literal["nothing", "statistics", "activations"] = "nothing"


def keep_nodes(layout: NetworkLayout, dead: npt.NDArray[np.bool_]) -> Mask:
    """Keep everything but the incoming weights and the bias of dead nodes.

    Args:
        layout: of the network.
        dead: per node of the network, shape (nodes,).

    Returns:
        keep: shape (P,).
    """
    keep = np.ones(layout.size, dtype=np.bool_)
    for k, nodes in enumerate(layout.node_slices()):
        layer = layout.layers[k]
        weights = keep[layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)
        weights[dead[nodes]] = False
        keep[layout.bias_slice(k)] = ~dead[nodes]
    return keep


def min_max(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Scale the last axis to [0, 1]; left as it is where all its values are equal."""
    low = values.min(axis=-1, keepdims=True)
    span = values.max(axis=-1, keepdims=True) - low
    scaled: npt.NDArray[np.floating] = np.where(
        span > 0, (values - low) / np.where(span > 0, span, 1), values
    )
    return scaled
