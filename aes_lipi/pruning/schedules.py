"""The probability of a prune event at a generation (algorithm section 6), and its amount.

Every schedule is a function of the moment: t = 0, 1, ..., epochs - 1.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aes_lipi.config import Variant
from aes_lipi.extension import Kind, Plugin, called, load, settled


@dataclass(frozen=True)
class Moment:
    """What a schedule's probability depends on.

    Attributes:
        t: number of the generation.
        horizon: T, at which a schedule reaches its end.
        probability: p, `prune_probability` of the study.
        n_solutions: n, the solutions of a neighbourhood.
        final_n_start: share of the horizon after which `final_n` begins.
        exponential_rate: rate of `exponential`.
        decrease_from_one: `decrease` starts at 1, whatever p is (published), not at p.
        gradual_start: share of the horizon at which `gradual` begins, t0 / T.
        gradual_end: share of the horizon at which its amount is the full one, t1 / T.
    """

    t: int
    horizon: int
    probability: float
    n_solutions: int = 1
    final_n_start: float = 0.75
    exponential_rate: float = 2.0
    decrease_from_one: bool = True
    gradual_start: float = 0.0
    gradual_end: float = 0.75

    @property
    def progress(self) -> float:
        """The share t / T of the run, and 0 where T is 0."""
        return self.t / self.horizon if self.horizon else 0.0


def _fixed(moment: Moment) -> float:
    """Return p."""
    return moment.probability


def _increase(moment: Moment) -> float:
    """Return p t / T."""
    return moment.probability * moment.progress


def _decrease(moment: Moment) -> float:
    """Return 1 - p t / T (published), or p (1 - t / T)."""
    if moment.decrease_from_one:
        return 1.0 - moment.probability * moment.progress
    return moment.probability * (1.0 - moment.progress)


def _population(moment: Moment) -> float:
    """Return p t / (T n)."""
    return moment.probability * moment.progress / moment.n_solutions


def _exponential(moment: Moment) -> float:
    """Return p (1 - exp(-2 t / T))."""
    return moment.probability * (1.0 - math.exp(-moment.exponential_rate * moment.progress))


def _final_n(moment: Moment) -> float:
    """Return 0 while t < 0.75 T, then p."""
    early = moment.horizon > 0 and moment.progress < moment.final_n_start
    return 0.0 if early else moment.probability


def _prune_after(moment: Moment) -> float:
    """Return 0 while t < T, then p."""
    return 0.0 if moment.t < moment.horizon else moment.probability


def _gradual(moment: Moment) -> float:
    """Return 0 while t < t0, then p; what grows is the amount, `_cubic_share`."""
    early = moment.horizon > 0 and moment.progress < moment.gradual_start
    return 0.0 if early else moment.probability


def _cubic_share(moment: Moment) -> float:
    """The share s(t) / s_f of the full amount, 1 - (1 - (t - t0) / (t1 - t0))^3 in [t0, t1].

    Equation 1 of Zhu and Gupta 2017, "To prune, or not to prune", for an initial sparsity of 0.
    It is 0 before t0, and 1 from t1 on and where T is 0.
    """
    if moment.horizon == 0 or moment.progress >= moment.gradual_end:
        return 1.0
    if moment.progress < moment.gradual_start:
        return 0.0
    span = moment.gradual_end - moment.gradual_start
    return 1.0 - (1.0 - (moment.progress - moment.gradual_start) / span) ** 3


SCHEDULES: dict[str, Callable[[Moment], float]] = {
    "fixed": _fixed,
    "increase": _increase,
    "decrease": _decrease,
    "population": _population,
    "exponential": _exponential,
    "final_n": _final_n,
    "prune_after": _prune_after,
    "gradual": _gradual,
}


def _plugged(plugin: Plugin) -> Callable[[Moment], float]:
    """A schedule of a user's: a function of the moment, which gives a probability.

    It raises a UserError when the user's function breaks a rule.

    Raises:
        UserError: the plug-in is no function of a moment; the line says what to change.
    """
    function = plugin.function("moment")

    def schedule(moment: Moment) -> float:
        def once() -> float:
            given = replace(moment)
            return _probability(plugin, called(plugin, {}, lambda _: function(given)), moment.t)

        return settled(plugin, once, operator.eq)

    return schedule


def _probability(plugin: Plugin, result: Any, t: int) -> float:
    """A schedule's result.

    Raises:
        UserError: the result is no number from 0 to 1; return one.
    """
    wanted = "return a probability, a number from 0 to 1"
    real = isinstance(result, int | float | np.integer | np.floating)
    if not real or isinstance(result, bool):
        raise plugin.error(f"returns a value of type {type(result).__name__} at t = {t}; {wanted}")
    if not 0 <= result <= 1:
        number = f"{result:g}" if isinstance(result, float | np.floating) else "a whole number"
        raise plugin.error(f"returns {number} at t = {t}; {wanted}")
    return float(result)


SCHEDULE = Kind("prune_schedule", _plugged, SCHEDULES)
"""What `load` finds schedules by."""


def prune_probability(variant: Variant, t: int, n_solutions: int) -> float:
    """The probability of a prune event in generation t of a variant.

    Args:
        variant: settings; names the schedule and its parameters.
        t: number of the generation, from 0.
        n_solutions: n, 2r + 1 on a ring, 1 in the canonical baseline.
    """
    if variant.prune_method == "None":
        return 0.0
    return load(SCHEDULE, variant.prune_schedule)(_moment(variant, t, n_solutions))


def prune_amount(variant: Variant, t: int) -> float:
    """The share that a prune event in generation t of a variant prunes.

    Args:
        variant: settings; names the schedule and its parameters.
        t: number of the generation, from 0.
    """
    if variant.prune_schedule != "gradual":
        return variant.prune_amount
    return variant.prune_amount * _cubic_share(_moment(variant, t))


def full_amount_from(variant: Variant) -> int:
    """The first generation in which `gradual` prunes the full amount; past the last, perhaps."""
    horizon = _moment(variant, 0).horizon
    t = math.floor(variant.gradual_end * horizon)
    while horizon and t / horizon < variant.gradual_end:
        t += 1
    return t


def _moment(variant: Variant, t: int, n_solutions: int = 1) -> Moment:
    published_canonical = variant.is_canonical and variant.schedule_horizon == "published"
    return Moment(
        t=t,
        horizon=variant.epochs if published_canonical else variant.epochs - 1,
        probability=variant.prune_probability,
        n_solutions=n_solutions,
        final_n_start=variant.final_n_start,
        exponential_rate=variant.exponential_rate,
        decrease_from_one=variant.decrease_from == "one",
        gradual_start=variant.gradual_start,
        gradual_end=variant.gradual_end,
    )
