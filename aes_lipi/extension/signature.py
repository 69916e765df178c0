"""What a user's function takes beyond what it will be given, and values for that."""

from __future__ import annotations

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aes_lipi.config.parameters import value_text
from aes_lipi.errors import nearest, printable

_TRUTHS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def own_values(
    function: Callable[..., Any], n_given: int, settings: Mapping[str, str]
) -> dict[str, Any]:
    """Values for parameters of a function's own, of the types that its signature says.

    A parameter has the type of its annotation, or without one of its default: a number, a truth, a
    text, or one of several (`Literal`).

    Args:
        function: takes what it will be given first, by position.
        n_given: how much that is.
        settings: values as text, by parameter.

    Raises:
        ValueError: the function has no such parameter, or its value is of another type; the message
            says which, and what to give.
    """
    if not settings:
        return {}
    own, takes_any = _own_parameters(function, n_given)
    hints = _hints_of(function)
    values = {}
    for name, text in settings.items():
        if name not in own and not takes_any:
            known = f"its own are {', '.join(own)}" if own else "it has none of its own"
            raise ValueError(f"has no parameter {name}{nearest(name, own) or f'; {known}'}")
        default = own[name].default if name in own else None
        values[name] = _typed(name, text, hints.get(name, _type_of(default)))
    return values


def check_arguments(
    function: Callable[..., Any], parameters: Sequence[str], own: Mapping[str, Any]
) -> None:
    """Make sure that a function can be called with so many arguments, and values of its own.

    Raises:
        ValueError: it takes others; the message says what to change.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return
    try:
        signature.bind(*parameters, **own)
    except TypeError:
        wanted = f"({', '.join(parameters)})"
        told = f"takes {printable(signature)} where {wanted} is given; change its parameters"
        missing = [
            name
            for name, each in _own_parameters(function, len(parameters))[0].items()
            if each.default is inspect.Parameter.empty and name not in own
        ]
        if missing:
            told += f", or set {missing[0]}: {{plugin: ..., {missing[0]}: ...}}"
        raise ValueError(told) from None


def _own_parameters(
    function: Callable[..., Any], n_given: int
) -> tuple[dict[str, inspect.Parameter], bool]:
    """The parameters after those that are given, and whether any other name is taken, too."""
    try:
        found = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return {}, True
    positional = [each.name for each in found if each.kind in _POSITIONAL][:n_given]
    own = {each.name: each for each in found if each.kind in _NAMED and each.name not in positional}
    return own, any(each.kind is inspect.Parameter.VAR_KEYWORD for each in found)


def _hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of a function's parameters, as far as they can be told."""
    told = function.__init__ if inspect.isclass(function) else function
    if not inspect.isroutine(told):
        told = getattr(told, "__call__", told)  # noqa: B004
    try:
        return typing.get_type_hints(told)
    except Exception:  # a name that is known to type checkers alone, say
        return {}


def _type_of(default: Any) -> Any:
    known = (bool, int, float, str)
    return next((each for each in known if isinstance(default, each)), Any)


def _typed(name: str, text: str, hint: Any) -> Any:
    """A value of a parameter's type.

    Raises:
        ValueError: the text is none, or no setting can be of the type.
    """
    arguments = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        if type(None) in arguments and text.lower() in ("none", "null"):
            return None
        return _typed_as_any(name, text, [each for each in arguments if each is not type(None)])
    if typing.get_origin(hint) is typing.Literal:
        found = {spelling: each for each in arguments for spelling in _spellings(name, each)}
        if text not in found:
            raise ValueError(f"{name}: {text} is none of {', '.join(map(str, arguments))}")
        return found[text]
    if hint is Any or hint is object:
        return _typed_as_any(name, text, [int, float, bool, str])
    if hint not in (bool, int, float, str):
        shown = getattr(hint, "__name__", printable(hint))
        raise ValueError(
            f"{name}: is annotated as {shown}, which no setting can be; take float, int, bool, str "
            "or Literal"
        )
    return _plain(name, text, hint)


def _spellings(name: str, choice: Any) -> set[str]:
    """How a choice may be written: as it is, and as a parameter's value if it can be one."""
    try:
        return {str(choice), value_text(name, choice)}
    except ValueError:
        return {str(choice)}


def _typed_as_any(name: str, text: str, hints: Sequence[Any]) -> Any:
    """The value of the first type that fits."""
    *others, last = hints
    for hint in others:
        try:
            return _typed(name, text, hint)
        except ValueError:
            continue
    return _typed(name, text, last)


def _plain(name: str, text: str, hint: type) -> Any:
    if hint is str:
        return text
    if hint is bool:
        if text.lower() not in _TRUTHS:
            raise ValueError(f"{name}: {text} is neither true nor false")
        return _TRUTHS[text.lower()]
    try:
        value = hint(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        wanted = "a whole number" if hint is int else "a number"
        raise ValueError(f"{name}: {text} is not {wanted}")
    return value
