"""Parameters of a user's plug-in, which are part of its name: `my_ops:quiet(quota=0.1)`.

A study file may have them as a mapping, `{plugin: my_ops:quiet, quota: 0.1}`, in which a list is
swept. What types they have, the plug-in's signature says: see `aes_lipi.extension`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from aes_lipi.errors import printable

PARAMETRISED = ("prune_method", "prune_schedule", "environment", "loss", "topology", "dataset_name")
"""The fields whose plug-ins can have parameters."""

_PLUGIN = "plugin"
_CALL = re.compile(r"(?P<name>[^()=\[\]{}]+)\((?P<given>[^()]*)\)")
_VALUE = re.compile(r"[\w.+/-]{1,100}")
_EXACT = 2.0**53
_BETWEEN = re.compile(r",(?![^(\[]*[)\]])")
"""Commas outside of brackets."""


def split_list(text: str) -> list[str]:
    """The parts of a list as flags have it; commas between brackets are of a part."""
    return [part.strip() for part in _BETWEEN.split(text) if part.strip()]


@lru_cache(maxsize=256)
def split_name(text: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """A name in its one spelling without its parameters, and these in order."""
    match = _CALL.fullmatch(text)
    if match is None:
        return text, ()
    pairs = [part.partition("=") for part in match["given"].split(",")]
    if not all(name.isidentifier() and _VALUE.fullmatch(value) for name, _, value in pairs):
        return text, ()
    return match["name"], tuple((name, value) for name, _, value in pairs)


def joined_name(name: str, parameters: Mapping[str, str]) -> str:
    """A name with parameters, in its one spelling."""
    told = ",".join(f"{key}={value}" for key, value in sorted(parameters.items()))
    return f"{name}({told})" if told else name


def spread(value: Any) -> list[Any]:
    """The names that a value of a field comes to: of parameters with lists, every combination.

    Args:
        value: a name, with parameters between brackets or not; a mapping of the name, as `plugin`,
            and its parameters; or what is no name.

    Raises:
        ValueError: the mapping names no plug-in, or a parameter or its value has a form that none
            has.
    """
    if isinstance(value, str) and (match := _CALL.fullmatch(value)) is not None:
        pairs = [part.partition("=") for part in split_list(match["given"])]
        given = {key.strip(): _listed(each) for key, _, each in pairs}
        if len(given) < len(pairs):
            raise ValueError(f"{printable(value)}: a parameter stands twice; give it once")
        value = {_PLUGIN: match["name"].strip(), **given}
    if not isinstance(value, Mapping):
        return [value]
    name = value.get(_PLUGIN)
    if not isinstance(name, str) or "(" in name:
        raise ValueError("a mapping names its plug-in: {plugin: module:name, parameter: value}")
    parameters = {str(key): each for key, each in value.items() if key != _PLUGIN}
    choices = [
        [
            (key, value_text(key, one))
            for one in (each if isinstance(each, list | tuple) else [each])
        ]
        for key, each in parameters.items()
    ]
    return [joined_name(name, dict(chosen)) for chosen in itertools.product(*choices)]


def one_name(value: Any) -> Any:
    """The one name that a value comes to; see `spread`.

    Raises:
        ValueError: it comes to several, which only a study can sweep.
    """
    found = spread(value)
    if len(found) != 1:
        raise ValueError("a variant has one value of each parameter; sweep them in a study")
    return found[0]


def _listed(text: str) -> Any:
    text = text.strip()
    return split_list(text[1:-1]) if text[:1] == "[" and text[-1:] == "]" else text


def value_text(name: str, value: Any) -> str:
    """A parameter's value as text, a number in its one spelling, and nothing as `none`.

    Raises:
        ValueError: the parameter has no name, or the value is no number, truth or word.
    """
    value = "none" if value is None else value
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not name.isidentifier():
        raise ValueError(f"{printable(name)!r} is no name of a parameter; give NAME=VALUE")
    if not isinstance(value, str | int | float) or not _VALUE.fullmatch(text):
        raise ValueError(
            f"{name}: {printable(repr(value))} is no value of a parameter; give a number, a truth, "
            "or a word of letters, digits and _ . + - /"
        )
    number = _typed(text)
    if isinstance(number, float) and abs(number) < _EXACT:
        return str(int(number)) if number.is_integer() else repr(number)
    return text


Parameters = tuple[tuple[str, type], ...]
"""Columns of parameters, and whether they hold truths, numbers or texts."""


def _parameters_of(settings: Mapping[str, Any]) -> dict[str, bool | float | str]:
    """The parameters of a variant's plug-ins, by the names of their columns, `prune_method_quota`.

    Args:
        settings: of the variant.
    """
    found: dict[str, bool | float | str] = {}
    for field in PARAMETRISED if settings.get("data") is None else PARAMETRISED[:-1]:
        name = settings.get(field)
        if isinstance(name, str):
            found |= {f"{field}_{key}": _typed(value) for key, value in split_name(name)[1]}
    return found


def parameter_columns(variants: Iterable[Mapping[str, Any]]) -> Parameters:
    """The columns that the parameters of some variants take."""
    types: dict[str, set[type]] = {}
    for settings in variants:
        for name, value in _parameters_of(settings).items():
            types.setdefault(name, set()).add(type(value))
    return tuple((name, each.pop() if len(each) == 1 else str) for name, each in types.items())


def parameter_row(settings: Mapping[str, Any], columns: Parameters) -> dict[str, Any]:
    """The values of a variant in columns of parameters; None where it has none."""
    found = _parameters_of(settings)
    return {name: kind(found[name]) if name in found else None for name, kind in columns}


def _typed(text: str) -> bool | float | str:
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text)
    except ValueError:
        return text
