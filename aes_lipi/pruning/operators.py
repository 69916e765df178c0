"""The pruning operators, and a prune event: one is asked, and its answer is carried out.

An operator is a pure function `(genome, layout, evidence, settings, rng) -> keep` (algorithm
section 5): it never changes the genome, it says which entries survive.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Flags, Float32
from aes_lipi.autoencoders.network import Mask, Network, NetworkLayout
from aes_lipi.extension import Kind, load
from aes_lipi.pruning.contract import (
    Evidence,
    Operator,
    Settings,
    keep_nodes,
    plugged_operator,
)


def _prune_random_entries(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """In each tensor choose round(amount * size) entries; entries that are zero already count too.

    Algorithm section 5, `random`. Of whole nodes, in each layer round(amount * nodes), dead ones
    counted too. A cumulative amount takes what is zero or dead first, and chooses the rest among
    the others.
    """
    alive = layout.living_nodes(genome) if settings.by_node else genome != 0
    return _keep_unchosen(
        layout, settings, alive, lambda of_group: _choose(of_group, settings, rng)
    )


def _choose(alive: Flags, settings: Settings, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Positions of what is pruned of one tensor or layer, given which of its units are alive."""
    n = round(settings.amount * alive.size)
    if not settings.cumulative:
        return rng.choice(alive.size, n, replace=False, shuffle=False)
    dead = np.flatnonzero(~alive)[:n]
    more = rng.choice(np.flatnonzero(alive), n - dead.size, replace=False, shuffle=False)
    return np.concatenate([dead, more])


def _prune_by_variance(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """Keep an entry of node u iff k(u) > U(0, 1), k = 1 - score scaled to [0, 1] over the layer.

    Algorithm section 5, `activation`. The node of highest variance loses all its incoming weights
    and its bias, the node of lowest variance none. Of whole nodes, one draw decides for each. In
    `activation_low`, high and low have each other's roles: k = score.

    Raises:
        ValueError: no statistics were gathered.
    """
    scores = _scores(layout, evidence)
    low = settings.method == "activation_low"
    chances = [_min_max(score if low else 1.0 - score) for score in scores]
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


def _scores(layout: NetworkLayout, evidence: Evidence) -> list[npt.NDArray[np.float64]]:
    """Per layer and node the standard deviation over batches, summed over the batch slots."""
    if evidence.statistics is None:
        raise ValueError("activation pruning needs activation statistics")
    score = evidence.statistics.standard_deviation().sum(axis=0)
    return [score[nodes] for nodes in layout.node_slices()]


def _min_max(values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Scale the last axis to [0, 1]; left as it is where all its values are equal."""
    low = values.min(axis=-1, keepdims=True)
    span = values.max(axis=-1, keepdims=True) - low
    scaled: npt.NDArray[np.floating] = np.where(
        span > 0, (values - low) / np.where(span > 0, span, 1), values
    )
    return scaled


_SIGNED = ("leaky_relu", "tanh", "gelu")
"""Hidden activations that go below zero."""

SAMPLED_ROWS = 100
"""Rows on which activations are recorded for `lexicase`."""


def _prune_quiet_nodes(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """Per layer, intersect the rows' candidates until at most one node is left; prune what is left.

    Algorithm section 5, `lexicase`. The rows, and their order, are those of the evidence. It prunes
    whole nodes in any case; where these are the unit, their outgoing weights go too, and the output
    layer is spared. A node of a hidden activation that goes below zero is as active as it is far
    from zero, where it adds nothing to what reads it; for ReLU that is what is recorded. Linear
    nodes, and those before a sigmoid, count as recorded.

    Raises:
        ValueError: no activations were recorded.
    """
    if evidence.activations is None:
        raise ValueError("lexicase pruning needs recorded activations")
    dead = np.zeros(layout.n_nodes, dtype=np.bool_)
    for layer, nodes in zip(layout.layers, layout.node_slices(), strict=True):
        activity = evidence.activations[:, nodes]
        if layer.activation in _SIGNED:
            activity = np.abs(activity)
        dead[nodes] = _survivors(_candidates(activity, settings.threshold))
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


def _prune_by_roulette(
    genome: Float32,
    layout: NetworkLayout,
    evidence: Evidence,
    settings: Settings,
    rng: np.random.Generator,
) -> Mask:
    """In each tensor prune round(amount * size) entries, with chances as their nodes' statistics.

    Algorithm section 5, `roulette`: drawn without replacement, each entry with a chance
    proportional to the activation statistic of its node. Keys log(U) / chance put the entries in
    the order of such draws (Efraimidis and Spirakis 2006, "Weighted random sampling with a
    reservoir"); those of no chance follow in any order. Of whole nodes, in each layer
    round(amount * nodes). A cumulative amount takes what is zero or dead first.

    Raises:
        ValueError: no statistics were gathered.
    """
    scores = _scores(layout, evidence)
    if settings.by_node:
        alive, chances = layout.living_nodes(genome), np.concatenate(scores)
    else:
        alive = genome != 0
        chances = np.concatenate(
            [
                np.concatenate([np.repeat(score, layer.n_in), score])
                for score, layer in zip(scores, layout.layers, strict=True)
            ]
        )
    drawn = rng.random(chances.size)
    with np.errstate(divide="ignore"):
        turn = np.where(chances > 0, np.log(drawn) / chances, -np.inf)
    if settings.cumulative:
        turn = np.where(alive, turn, np.inf)

    def first(of_group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        order = np.lexsort((drawn[of_group], turn[of_group]))
        return order[of_group.size - round(settings.amount * of_group.size) :]

    return _keep_unchosen(layout, settings, np.arange(chances.size), first)


def _prune_small_weights(
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
    return _keep_unchosen(layout, settings, sizes, smallest)


def _incoming_norms(genome: Float32, layout: NetworkLayout) -> npt.NDArray[np.float64]:
    """The L1 norm of every node's incoming weights, bias excluded, shape (nodes,)."""
    return np.concatenate(
        [
            np.abs(layout.weight(genome, k)).sum(axis=1, dtype=np.float64)
            for k in range(len(layout.layers))
        ]
    )


def _keep_unchosen(
    layout: NetworkLayout,
    settings: Settings,
    values: npt.NDArray[Any],
    choose: Callable[[npt.NDArray[Any]], npt.NDArray[np.int64]],
) -> Mask:
    """Prune what is chosen of the entries of each tensor, or of the nodes of each layer.

    Args:
        layout: of the network.
        settings: say what is pruned.
        values: one per entry, shape (P,), or per node, shape (nodes,).
        choose: takes the values of one tensor or layer, shape (n,), and answers the positions in
            it of what is pruned.

    Returns:
        keep: shape (P,).
    """
    pruned = np.zeros(values.size, dtype=np.bool_)
    for group in layout.node_slices() if settings.by_node else layout.tensor_slices():
        pruned[group.start + choose(values[group])] = True
    return keep_nodes(layout, pruned, settings.unit) if settings.by_node else ~pruned


OPERATORS: dict[str, Operator] = {
    "random": Operator(_prune_random_entries),
    "activation": Operator(_prune_by_variance, needs="statistics"),
    "activation_low": Operator(_prune_by_variance, needs="statistics"),
    "lexicase": Operator(_prune_quiet_nodes, needs="activations"),
    "magnitude": Operator(_prune_small_weights),
    "roulette": Operator(_prune_by_roulette, needs="statistics"),
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
