"""A prune event: the operator of that name asked, and its answer carried out on a network."""

from __future__ import annotations

import numpy as np

from aes_lipi.autoencoders.network import Mask, Network, NetworkLayout
from aes_lipi.extension import Kind, load
from aes_lipi.pruning.operators.activation import prune_high_variance, prune_low_variance
from aes_lipi.pruning.operators.contract import Evidence, Operator, Settings, plugged_operator
from aes_lipi.pruning.operators.lexicase import prune_quiet_nodes
from aes_lipi.pruning.operators.magnitude import prune_small_weights
from aes_lipi.pruning.operators.random import prune_random_entries

OPERATORS: dict[str, Operator] = {
    "random": Operator(prune_random_entries),
    "activation": Operator(prune_high_variance, needs="statistics"),
    "activation_low": Operator(prune_low_variance, needs="statistics"),
    "lexicase": Operator(prune_quiet_nodes, needs="activations"),
    "magnitude": Operator(prune_small_weights),
}

OPERATOR = Kind("prune_method", plugged_operator, OPERATORS)
"""What `load` finds operators by."""


def prune(
    network: Network,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Network:
    """Set what the operator does not keep to zero, and freeze it there if so asked.

    Args:
        network: to prune; left as it is.
        layout: of the network.
        evidence: what the operator needs to know.
        settings: name the operator and its parameters.
        rng: source of the operator's draws.

    Returns:
        a new network; its `n_pruned` counts the zeros right after this event.

    Raises:
        UserError: a user's operator breaks a rule; the line says which and the remedy.
    """
    operator = load(OPERATOR, settings.method)
    keep = operator.function(network.genome, layout, evidence, settings, rng)
    genome = np.where(keep, network.genome, np.float32(0))
    mask = _frozen(network.mask, keep) if settings.frozen else network.mask
    return Network(genome, mask, n_pruned=int(genome.size - np.count_nonzero(genome)))


def _frozen(mask: Mask | None, keep: Mask) -> Mask:
    return keep if mask is None else mask & keep
