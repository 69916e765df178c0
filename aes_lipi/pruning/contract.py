"""What a pruning operator is given and answers; those that users add are held to it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, get_type_hints

import numpy as np

from aes_lipi.arrays import Array, Flags, Float32
from aes_lipi.autoencoders.network import OUTPUT, ActivationStatistics, Mask, NetworkLayout
from aes_lipi.config import Variant
from aes_lipi.errors import UserError, printable
from aes_lipi.extension import Plugin, called, settled

_Unit = Literal["weight", "node", "hidden_node"]


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
    unit: _Unit = "weight"
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


_Function = Callable[[Float32, NetworkLayout, Evidence, Settings, np.random.Generator], Mask]


@dataclass(frozen=True)
class Operator:
    """A pruning operator and the evidence it asks for.

    Attributes:
        function: `(genome, layout, evidence, settings, rng) -> keep`, keep of shape (P,), True
            where an entry survives. It leaves the genome as it is.
        needs: which part of `Evidence` is gathered for it.
    """

    function: _Function
    needs: Literal["nothing", "statistics", "activations"] = "nothing"


def keep_nodes(layout: NetworkLayout, dead: Flags, unit: _Unit = "weight") -> Mask:
    """Keep everything but the incoming weights and the bias of dead nodes.

    Where whole nodes are pruned, their outgoing weights in this network go as well, and the nodes
    that make the data (of the layer `OUTPUT`) never die: they are its columns. With `hidden_node`,
    those that make the code do not either.

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


def _spared_nodes(layout: NetworkLayout, unit: _Unit) -> Flags:
    """The nodes that are never pruned whole: of the reconstructed data, or of any output."""
    read = {layer.reads for layer in layout.layers}
    spared = [
        layer.name == OUTPUT or (unit == "hidden_node" and k not in read)
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


_PARAMETERS = ("genome", "layout", "evidence", "settings", "rng")


def plugged_operator(plugin: Plugin) -> Operator:
    """An operator of a user's: a function of the contract's signature, or an `Operator`.

    Its function raises a UserError when the user's breaks a rule.

    Raises:
        UserError: the function takes other parameters, or asks for evidence that is never gathered;
            the line says what to change.
    """
    if not isinstance(plugin.value, Operator):
        return Operator(_checked(plugin, plugin.function(*_PARAMETERS), "nothing"))
    operator = plugin.value
    function = plugin.bound(operator.function, _PARAMETERS)
    known = get_args(get_type_hints(Operator)["needs"])
    if not isinstance(operator.needs, str) or operator.needs not in known:
        raise plugin.error(
            f"needs {printable(repr(operator.needs))}; it can need {', '.join(known)}"
        )
    return replace(operator, function=_checked(plugin, function, operator.needs))


class _Asked(Evidence):
    """Evidence that remembers which parts of it were asked for and are not there."""

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        if value is None and name in ("statistics", "activations"):
            super().__getattribute__("__dict__").setdefault("asked", name)
        return value


def _checked(plugin: Plugin, function: _Function, needs: str) -> _Function:
    def keep(
        genome: Float32,
        layout: NetworkLayout,
        evidence: Evidence,
        settings: Settings,
        rng: np.random.Generator,
    ) -> Mask:
        arrays = {"genome": genome, **_arrays_of(evidence)}

        asked: list[Evidence] = []

        def call(given: Mapping[str, Array]) -> Any:
            seen = _evidence_of(given)
            asked.append(seen)
            return function(given["genome"], layout, seen, settings, copy.deepcopy(rng))

        def once() -> Mask:
            try:
                return _mask(plugin, called(plugin, arrays, call), layout)
            except UserError as error:
                wanted = vars(asked[-1]).get("asked")
                if wanted is None:
                    raise
                raise plugin.error(
                    f"uses evidence.{wanted}, and needs {needs}; name it as Operator(function, "
                    f'needs="{wanted}")'
                ) from error

        return settled(plugin, once, np.array_equal)

    return keep


def _arrays_of(evidence: Evidence) -> dict[str, Array]:
    """The arrays of what is known, by the names that users know them by."""
    arrays: dict[str, Array] = {}
    if evidence.statistics is not None:
        arrays |= {
            "evidence.statistics.count": evidence.statistics.count,
            "evidence.statistics.mean": evidence.statistics.mean,
            "evidence.statistics.m2": evidence.statistics.m2,
        }
    if evidence.activations is not None:
        arrays["evidence.activations"] = evidence.activations
    return arrays


def _evidence_of(arrays: Mapping[str, Array]) -> Evidence:
    parts = [arrays.get(f"evidence.statistics.{part}") for part in ("count", "mean", "m2")]
    count, mean, m2 = parts
    statistics = None
    if count is not None and mean is not None and m2 is not None:
        statistics = ActivationStatistics(count, mean, m2)
    return _Asked(statistics, arrays.get("evidence.activations"))


def _mask(plugin: Plugin, result: Any, layout: NetworkLayout) -> Mask:
    """An operator's result, copied.

    Raises:
        UserError: the result is no bool array with an entry for each of the genome's; return one.
    """
    size = layout.size
    wanted = f"return a bool array of shape ({size},), True where an entry survives"
    if not isinstance(result, np.ndarray):
        raise plugin.error(f"returns a value of type {type(result).__name__}; {wanted}")
    if result.dtype != np.bool_:
        raise plugin.error(
            f"returns an array of {result.dtype}; {wanted}, as result.astype(bool) or a comparison"
        )
    if result.shape == (layout.n_nodes,):
        raise plugin.error(
            f"returns an array with a value for each of {layout.n_nodes} nodes; return "
            "keep_nodes(layout, dead, settings.unit), or what survives of each entry of genome"
        )
    if result.shape != (size,):
        raise plugin.error(f"returns an array of shape {result.shape}; {wanted}")
    return result.copy()
