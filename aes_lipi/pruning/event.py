"""A prune event: an operator's verdict carried out on a network."""

from __future__ import annotations

import numpy as np

from aes_lipi.autoencoders.network import Mask, Network, NetworkLayout
from aes_lipi.pruning.operators import Evidence, Settings, operator_named


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
        UserError: the operator is one of a user's, and breaks a rule.
    """
    operator = operator_named(settings.method)
    keep = operator.function(network.genome, layout, evidence, settings, rng)
    genome = np.where(keep, network.genome, np.float32(0))
    mask = _frozen(network.mask, keep) if settings.frozen else network.mask
    return Network(genome, mask, n_pruned=int(genome.size - np.count_nonzero(genome)))


def _frozen(mask: Mask | None, keep: Mask) -> Mask:
    return keep if mask is None else mask & keep
