"""Pruning operators that users add, held to the contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any, get_args, get_type_hints

import numpy as np

from aes_lipi.arrays import Array, Float32
from aes_lipi.autoencoders.network import ActivationStatistics, Mask, NetworkLayout
from aes_lipi.errors import printable
from aes_lipi.extension.guard import called, same_state, settled
from aes_lipi.extension.loading import Plugin, load
from aes_lipi.pruning.operators.contract import Evidence, Function, Operator, Settings

PARAMETERS = ("genome", "layout", "evidence", "settings", "rng")


@cache
def plugged_operator(name: str) -> Operator:
    """An operator of a user's: a function of the contract's signature, or an `Operator`.

    Its function raises a UserError when the user's breaks a rule.

    Raises:
        UserError: it cannot be imported, or is something else.
    """
    plugin = load("prune_method", name)
    if not isinstance(plugin.value, Operator):
        return Operator(_checked(plugin, plugin.function(*PARAMETERS)))
    operator = plugin.value
    plugin.check_function(operator.function, PARAMETERS)
    known = get_args(get_type_hints(Operator)["needs"])
    if not isinstance(operator.needs, str) or operator.needs not in known:
        raise plugin.error(
            f"needs {printable(repr(operator.needs))}; it can need {', '.join(known)}"
        )
    return replace(operator, function=_checked(plugin, operator.function))


def _checked(plugin: Plugin, function: Function) -> Function:
    def keep(
        genome: Float32,
        layout: NetworkLayout,
        evidence: Evidence,
        settings: Settings,
        rng: np.random.Generator,
    ) -> Mask:
        arrays = {"genome": genome, **_arrays_of(evidence)}

        def call(given: Mapping[str, Array]) -> Any:
            seen = _evidence_of(given)
            return function(given["genome"], layout, seen, settings, same_state(rng))

        def once() -> Mask:
            return _mask(plugin, called(plugin, arrays, call), layout.size)

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
    return Evidence(statistics, arrays.get("evidence.activations"))


def _mask(plugin: Plugin, result: Any, size: int) -> Mask:
    """An operator's result, copied.

    Raises:
        UserError: it is not what survives.
    """
    wanted = f"return a bool array of shape ({size},), True where an entry survives"
    if not isinstance(result, np.ndarray):
        raise plugin.error(f"returns a value of type {type(result).__name__}; {wanted}")
    if result.dtype != np.bool_:
        raise plugin.error(
            f"returns an array of {result.dtype}; {wanted}, as result.astype(bool) or a comparison"
        )
    if result.shape != (size,):
        raise plugin.error(f"returns an array of shape {result.shape}; {wanted}")
    return result.copy()
