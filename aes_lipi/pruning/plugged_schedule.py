"""Pruning schedules that users add, held to the contract."""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from aes_lipi.extension.guard import called, settled
from aes_lipi.extension.loading import Plugin, load

if TYPE_CHECKING:
    from aes_lipi.pruning.schedules import Moment


@cache
def plugged_schedule(name: str) -> Callable[[Moment], float]:
    """A schedule of a user's: a function of the moment, which gives a probability.

    It raises a UserError when the user's function breaks a rule.

    Raises:
        UserError: it cannot be imported, or is no such function.
    """
    plugin = load("prune_schedule", name)
    function = plugin.function("moment")

    def schedule(moment: Moment) -> float:
        def once() -> float:
            given = dataclasses.replace(moment)
            return _probability(plugin, called(plugin, {}, lambda _: function(given)), moment.t)

        return settled(plugin, once, operator.eq)

    return schedule


def _probability(plugin: Plugin, result: Any, t: int) -> float:
    """A schedule's result.

    Raises:
        UserError: it is no probability.
    """
    wanted = "return a probability, a number from 0 to 1"
    real = isinstance(result, int | float | np.integer | np.floating)
    if not real or isinstance(result, bool):
        raise plugin.error(f"returns a value of type {type(result).__name__} at t = {t}; {wanted}")
    if not 0 <= result <= 1:
        number = f"{result:g}" if isinstance(result, float | np.floating) else "a whole number"
        raise plugin.error(f"returns {number} at t = {t}; {wanted}")
    return float(result)
