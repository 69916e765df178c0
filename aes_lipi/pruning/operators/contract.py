"""What a pruning operator is given and answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Flags, Float32
from aes_lipi.autoencoders.network import ActivationStatistics, Mask, NetworkLayout
from aes_lipi.config import Variant

Unit = Literal["weight", "node", "hidden_node"]


@dataclass(frozen=True)
class Settings:
    """How a prune event is carried out.

    Attributes:
        method: name of the operator.
        amount: share of each tensor's entries, or of each layer's nodes, for operators that prune
            by amount.
        threshold: normalised activation below which a node is a candidate of `lexicase`.
        frozen: pruned entries stay zero (sound); otherwise training may move them (published).
        unit: what is pruned: single weights, whole nodes, or whole nodes but those of the code.
        cumulative: the amount is the share that is zero after the event; otherwise it is the
            share that the event chooses, zeros included.
    """

    method: str
    amount: float = 0.1
    threshold: float = 0.1
    frozen: bool = False
    unit: Unit = "weight"
    cumulative: bool = False

    @property
    def by_node(self) -> bool:
        """Whether whole nodes are pruned."""
        return self.unit != "weight"

    @staticmethod
    def of(variant: Variant, amount: float) -> Settings:
        """The settings of a variant's event that prunes this amount."""
        return Settings(
            method=variant.prune_method,
            amount=amount,
            threshold=variant.lexi_threshold,
            frozen=variant.pruned_weights == "frozen",
            unit=variant.prune_unit,
            cumulative=variant.prune_schedule == "gradual",
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


def keep_nodes(layout: NetworkLayout, dead: Flags, unit: Unit = "weight") -> Mask:
    """Keep everything but the incoming weights and the bias of dead nodes.

    Where whole nodes are pruned, their outgoing weights in this network go as well, and the nodes
    that make the data (sigmoid) never die: they are its columns. With `hidden_node`, those that
    make the code do not either.

    Args:
        layout: of the network.
        dead: per node of the network, shape (nodes,).
        unit: what is pruned.

    Returns:
        keep: shape (P,).
    """
    if unit != "weight":
        dead = dead & ~_spared_nodes(layout, unit)
        return _keep_incoming(layout, dead) & _keep_outgoing(layout, dead)
    return _keep_incoming(layout, dead)


def _spared_nodes(layout: NetworkLayout, unit: Unit) -> Flags:
    """The nodes that are never pruned whole: of the reconstructed data, or of any output."""
    read = {layer.reads for layer in layout.layers}
    spared = [
        layer.activation == "sigmoid" or (unit == "hidden_node" and k not in read)
        for k, layer in enumerate(layout.layers)
    ]
    return np.repeat(spared, [layer.n_out for layer in layout.layers])


def _keep_incoming(layout: NetworkLayout, dead: Flags) -> Mask:
    keep = np.ones(layout.size, dtype=np.bool_)
    for k, nodes in enumerate(layout.node_slices()):
        layer = layout.layers[k]
        weights = keep[layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)
        weights[dead[nodes]] = False
        keep[layout.bias_slice(k)] = ~dead[nodes]
    return keep


def _keep_outgoing(layout: NetworkLayout, dead: Flags) -> Mask:
    keep = np.ones(layout.size, dtype=np.bool_)
    nodes = layout.node_slices()
    for k, layer in enumerate(layout.layers):
        if layer.reads >= 0:
            weights = keep[layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)
            weights[:, dead[nodes[layer.reads]]] = False
    return keep


def keep_unchosen(
    layout: NetworkLayout,
    unit: Unit,
    values: npt.NDArray[Any],
    choose: Callable[[npt.NDArray[Any]], npt.NDArray[np.int64]],
) -> Mask:
    """Prune what is chosen of the entries of each tensor, or of the nodes of each layer.

    Args:
        layout: of the network.
        unit: what is pruned.
        values: one per entry, shape (P,), or per node, shape (nodes,).
        choose: takes the values of one tensor or layer, shape (n,), and answers the positions in
            it of what is pruned.

    Returns:
        keep: shape (P,).
    """
    pruned = np.zeros(values.size, dtype=np.bool_)
    for group in layout.tensor_slices() if unit == "weight" else layout.node_slices():
        pruned[group.start + choose(values[group])] = True
    return ~pruned if unit == "weight" else keep_nodes(layout, pruned, unit)


def living_nodes(genome: Float32, layout: NetworkLayout) -> Flags:
    """Which nodes have anything left that pruning the node would take, shape (nodes,)."""
    living = np.zeros(layout.n_nodes, dtype=np.bool_)
    slices = layout.node_slices()
    for k, layer in enumerate(layout.layers):
        weights = layout.weight(genome, k)
        living[slices[k]] |= weights.any(axis=1) | (layout.bias(genome, k) != 0)
        if layer.reads >= 0:
            living[slices[layer.reads]] |= weights.any(axis=0)
    return living


def min_max(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Scale the last axis to [0, 1]; left as it is where all its values are equal."""
    low = values.min(axis=-1, keepdims=True)
    span = values.max(axis=-1, keepdims=True) - low
    scaled: npt.NDArray[np.floating] = np.where(
        span > 0, (values - low) / np.where(span > 0, span, 1), values
    )
    return scaled
