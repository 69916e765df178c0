"""The environment of a variant: a built-in one, or one that a user adds."""

from __future__ import annotations

import math
import operator
from functools import cache
from typing import Any, get_args

from aes_lipi.autoencoders.environments import ENVIRONMENTS, Environment, Loss
from aes_lipi.config.wording import printable
from aes_lipi.extension.guard import called, settled
from aes_lipi.extension.loading import Plugin, load

MAX_WIDTH = 1_000_000


def environment_named(name: str) -> Environment:
    """An environment by its name.

    Raises:
        UserError: it is one of a user's that cannot be imported, or breaks a rule.
    """
    return ENVIRONMENTS[name] if name in ENVIRONMENTS else _plugged(name)


@cache
def _plugged(name: str) -> Environment:
    """An environment of a user's: an `Environment`, or a function that makes one."""
    plugin = load("environment", name)
    if isinstance(plugin.value, Environment):
        return _checked(plugin, plugin.value)
    make = plugin.value
    if not (isinstance(make, type) and issubclass(make, Environment)):
        make = plugin.function()
    return settled(
        plugin, lambda: _checked(plugin, called(plugin, {}, lambda _: make())), operator.eq
    )


def _checked(plugin: Plugin, made: Any) -> Environment:
    """An environment whose fields are right.

    Raises:
        UserError: they are not, or it is none.
    """
    if not isinstance(made, Environment):
        raise plugin.error(
            f"gives a value of type {type(made).__name__}; it must be an "
            "aes_lipi.plugins.Environment, or a function without parameters that returns one"
        )
    for field, is_right, remedy in _facts(made):
        if not is_right:
            raise plugin.error(f"has {field} = {printable(repr(getattr(made, field)))}; {remedy}")
    return made


def _facts(made: Environment) -> tuple[tuple[str, bool, str], ...]:
    """Of every field whether it is right, and what would be."""
    sizes, losses = made.hidden_sizes, get_args(Loss)
    return (
        (
            "hidden_sizes",
            isinstance(sizes, tuple) and all(_is_width(size) for size in sizes),
            "give a tuple of whole numbers from 1, such as (60, 30)",
        ),
        ("latent_size", _is_width(made.latent_size), "give a whole number from 1"),
        ("variational", isinstance(made.variational, bool), "give True or False"),
        ("linear_code", isinstance(made.linear_code, bool), "give True or False"),
        (
            "loss",
            isinstance(made.loss, str) and made.loss in losses,
            f"give one of {', '.join(losses)}",
        ),
        (
            "loss",
            made.loss != "negative_elbo" or made.variational,
            "it is the loss of variational environments; set variational=True, or loss='l1'",
        ),
        ("input_noise", _is_spread(made.input_noise), "give a number from 0"),
    )


def _is_width(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_WIDTH


def _is_spread(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 <= value < math.inf
