"""The flags of commands: how they are made, one for every field, and how they are spelt."""

from __future__ import annotations

import inspect
import itertools
import types
import typing
from collections.abc import Callable, Collection, Sequence
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo
from typer.core import HAS_RICH

from aes_lipi.config import Variant
from aes_lipi.config.defaults import FORMER_FIELDS, NAMES_FIELDS


def _literal(text: str) -> str:
    """Text for help, where brackets would be taken for colours."""
    return text.replace("[", r"\[") if HAS_RICH else text


def flag(
    name: str,
    text: str,
    metavar: str | None = None,
    *,
    panel: str | None = None,
    least: int | None = None,
    alias: str | None = None,
) -> Any:
    """An option of a command, spelt as it is given; the published code's name of it is another."""
    names = [name] if alias is None else [name, alias]
    return typer.Option(
        *names, help=_literal(text), metavar=metavar, rich_help_panel=panel, min=least
    )


NO_FLAG = frozenset({"data_digest", "ann_digest", "plugins_digest", "is_control"})
_INTERVAL_HELP = (
    "How often a trial on its way is written down, so that a killed run goes on from there: every "
    "so many generations, or a time as in 30s or 5min, or never. [default: 30s]"
)


def _field_parameters() -> list[inspect.Parameter]:
    """A text option for every field of `Variant`, and for those of the study around them.

    Values are taken as text, with commas for a list to sweep, and validated by the configuration.
    """
    hints = typing.get_type_hints(Variant)
    parameters = [
        _option("trials", ["--trials"], "INTEGER", "Replicates of every variant.", "Study"),
        _option(
            *("checkpoint_interval", ["--checkpoint_interval"]),
            *("GENERATIONS|TIME|never", _INTERVAL_HELP, "Execution"),
        ),
    ]
    former = [_option(name, [f"--{name}"], "true|false", "", "Recording") for name in FORMER_FIELDS]
    for name, field in Variant.model_fields.items():
        if name in NO_FLAG:
            continue
        extra = field.json_schema_extra
        group = str(extra["group"]) if isinstance(extra, dict) else "Other"
        flags = [f"--{name}", "--seed"] if name == "rng_seed" else [f"--{name}"]
        metavar = "NAMES" if name in NAMES_FIELDS else _metavar(hints[name])
        parameters.append(_option(name, flags, metavar, _help(field), group))
    return parameters + former


def _option(
    name: str, flags: list[str], metavar: str, description: str, panel: str
) -> inspect.Parameter:
    option = typer.Option(
        *flags,
        metavar=metavar,
        help=_literal(description),
        rich_help_panel=panel,
        hidden=not description,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, option],
    )


def _help(field: FieldInfo) -> str:
    default = "" if field.default is None else f" [default: {field.default}]"
    return f"{field.description}{default}"


def _metavar(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        hint, *others = [part for part in typing.get_args(hint) if part is not type(None)]
        if others:  # names of users' own
            return f"{_metavar(hint)}|MODULE:NAME"
        origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return "|".join(typing.get_args(hint))
    if origin is tuple:
        return "MODULE:NAME,..." if typing.get_args(hint)[0] is str else "WIDTHS"
    return {bool: "true|false", int: "INTEGER", float: "NUMBER"}.get(hint, "TEXT")


def with_field_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command whose last parameter is `**fields` a flag for every field."""
    signature = inspect.signature(command, eval_str=True)
    own = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    merged = [*own, *_field_parameters()]
    command.__signature__ = signature.replace(parameters=merged)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in merged}
    return command


def with_values(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    """Let yes-or-no fields stand alone, and flags of a command have a value.

    `--store_all_nodes` means `--store_all_nodes true`; `--test True` means `--test`, and `--test
    False` nothing.

    Args:
        arguments: of a command line.
        flags: those of the command that say yes by being there.
    """
    hints = typing.get_type_hints(Variant)
    names = [name for name, hint in hints.items() if hint is bool]
    switches = {f"--{name}" for name in (*names, *FORMER_FIELDS)}
    completed: list[str] = []
    for argument, following in itertools.pairwise([*_without_truths(arguments, flags), "--"]):
        completed.append(argument)
        if _normalise(argument) in switches and following.startswith("-"):
            completed.append("true")
    return completed


_TRUTHS = dict.fromkeys(("true", "yes", "on", "y"), True) | dict.fromkeys(
    ("false", "no", "off", "n"), False
)


def _without_truths(arguments: Sequence[str], flags: Collection[str]) -> list[str]:
    left: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        name, equals, given = argument.partition("=")
        truth = None
        if _normalise(name) in flags:
            word = given if equals else rest[0] if rest else ""
            truth = _TRUTHS.get(word.lower())
        if truth is None:
            left.append(argument)
            continue
        if not equals:
            rest.pop(0)
        if truth:
            left.append(name)
    return left


def _normalise(token: str) -> str:
    """Flags may be written with hyphens or underscores; leading hyphens stay."""
    stem = token.lstrip("-")
    return token[: len(token) - len(stem)] + stem.replace("-", "_")


TOKENS = {"token_normalize_func": _normalise, "help_option_names": ["--help", "-h"]}


def make_app(help_text: str | None) -> typer.Typer:
    """A program of commands, whose flags may be written with hyphens or underscores."""
    return typer.Typer(
        help=help_text,
        add_completion=False,
        context_settings=TOKENS,
        pretty_exceptions_enable=False,
    )
