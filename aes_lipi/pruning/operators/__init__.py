"""The pruning operators by name (algorithm section 5).

An operator is a pure function `(genome, layout, evidence, settings, rng) -> keep`: it never changes
the genome, it says which entries survive.
"""

from __future__ import annotations

from aes_lipi.pruning.operators.activation import prune_high_variance, prune_low_variance
from aes_lipi.pruning.operators.contract import Evidence, Operator, Settings, keep_nodes
from aes_lipi.pruning.operators.lexicase import prune_quiet_nodes
from aes_lipi.pruning.operators.magnitude import prune_small_weights
from aes_lipi.pruning.operators.plugged import plugged_operator
from aes_lipi.pruning.operators.random import prune_random_entries

OPERATORS: dict[str, Operator] = {
    "random": Operator(prune_random_entries),
    "activation": Operator(prune_high_variance, needs="statistics"),
    "activation_low": Operator(prune_low_variance, needs="statistics"),
    "lexicase": Operator(prune_quiet_nodes, needs="activations"),
    "magnitude": Operator(prune_small_weights),
}


def operator_named(name: str) -> Operator:
    """A pruning operator by its name: a built-in one, or one that a user adds.

    Raises:
        UserError: it is one of a user's that cannot be imported, or is none.
    """
    return OPERATORS[name] if name in OPERATORS else plugged_operator(name)


__all__ = ["OPERATORS", "Evidence", "Operator", "Settings", "keep_nodes", "operator_named"]
