"""The flags of commands: how they are made, one for every field, and how they are spelt."""

from __future__ import annotations

import inspect
import itertools
import types
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from aes_lipi.cli.help import HelpfulGroup
from aes_lipi.config import Variant
from aes_lipi.config.defaults import NAMES_FIELDS, OTHER_NAMES
from aes_lipi.config.published_code import WITHOUT_MEANING
from aes_lipi.config.schema import NOT_GIVEN


def flag(
    name: str,
    text: str,
    metavar: str | None = None,
    *,
    panel: str | None = None,
    least: int | None = None,
    aliases: Sequence[str] = (),
    values: Callable[[], Sequence[str]] | None = None,
) -> Any:
    """An option of a command, spelt as it is given; the published code's names of it are others."""
    return typer.Option(
        *(name, *aliases),
        help=text if least is None or least < 0 else f"{text} [from {least}]",
        metavar=metavar,
        rich_help_panel=panel,
        min=least,
        autocompletion=completion_of(values or choices_in(metavar or "")),
    )


def choices_in(metavar: str) -> list[str]:
    """The words that can be given as they stand, in what stands for a value."""
    return [word for word in metavar.split("|") if not (word.isupper() or "/" in word)]


def completion_of(
    choices: Sequence[str] | Callable[[], Sequence[str]], *, listed: bool = False
) -> Callable[[str], list[str]]:
    """What a shell is told of the values that a flag can have.

    Args:
        choices: the values, or what finds them.
        listed: whether several can be given, with commas.
    """

    def complete(incomplete: str) -> list[str]:
        words = choices() if callable(choices) else choices
        before, comma, begun = incomplete.rpartition(",") if listed else ("", "", incomplete)
        return [before + comma + word for word in words if word.startswith(begun)]

    return complete


_INTERVAL_HELP = (
    "How often a trial on its way is written down, so that a killed run goes on from there: every "
    "so many generations, or a time as in 30s or 5min, or never. [default 30s]"
)


def _field_parameters() -> list[inspect.Parameter]:
    """A text option for every field of `Variant`, and for those of the study around them.

    Values are taken as text, with commas for a list to sweep, and validated by the configuration.
    """
    hints = typing.get_type_hints(Variant)
    bounded = typing.get_type_hints(Variant, include_extras=True)
    trials = "Replicates of every variant. [1 to 9999; by default the preset's, or 30]"
    parameters = [
        _option("trials", ["--trials"], "NUMBER", trials, "Study"),
        _option(
            *("checkpoint_interval", ["--checkpoint_interval"]),
            *("GENERATIONS|TIME|never", _INTERVAL_HELP, "Execution"),
        ),
    ]
    hidden = (*OTHER_NAMES, *WITHOUT_MEANING)
    others = [_option(name, [f"--{name}"], "TEXT", "", "Recording") for name in hidden]
    for name, field in Variant.model_fields.items():
        if name in NOT_GIVEN:
            continue
        extra = field.json_schema_extra
        group = str(extra["group"]) if isinstance(extra, dict) else "Other"
        flags = [f"--{name}", "--seed"] if name == "rng_seed" else [f"--{name}"]
        metavar = _METAVARS.get(name) or _metavar(hints[name])
        said = _help(field, _bounds(bounded[name]))
        parameters.append(_option(name, flags, metavar, said, group))
    return parameters + others


def _option(
    name: str, flags: list[str], metavar: str, description: str, panel: str
) -> inspect.Parameter:
    option = typer.Option(
        *flags,
        metavar=metavar,
        help=description,
        rich_help_panel=panel,
        hidden=not description,
        autocompletion=completion_of(choices_in(metavar), listed=True),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, option],
    )


def _help(field: FieldInfo, bounds: str) -> str:
    """What a field means, its bounds and its default."""
    default = field.default
    shown = str(default).lower() if isinstance(default, bool) else default
    notes = [*([bounds] if bounds else []), *([] if default is None else [f"default {shown}"])]
    return f"{field.description} [{', '.join(notes)}]" if notes else str(field.description)


_TECHNICAL = 2**20
"""Bounds from here on keep numbers in their types, and are no choice of anybody's."""


def _bounds(hint: Any) -> str:
    """The bounds of a field of numbers, in words."""
    found = dict(_bounds_in(hint))
    most = found.get("le", found.get("lt", _TECHNICAL))
    least = found.get("ge", found.get("gt"))
    below = "" if "le" in found else "below "
    words = [] if least is None else [f"{'from' if 'ge' in found else 'above'} {least:,}"]
    if most < _TECHNICAL:
        if "ge" in found and "le" in found:
            return f"{least:,} to {most:,}"
        words.append(f"{below or 'to '}{most:,}")
    return ", ".join(words)


def _bounds_in(hint: Any) -> Iterator[tuple[str, float]]:
    if isinstance(hint, FieldInfo):
        for each in hint.metadata:
            for name in ("ge", "gt", "le", "lt"):
                if hasattr(each, name):
                    yield name, getattr(each, name)
    for part in typing.get_args(hint):
        yield from _bounds_in(part)


_METAVARS = {"data": "FILE", "ann_path": "FILE|DIR", **dict.fromkeys(NAMES_FIELDS, "NAMES")}


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
    return {bool: "true|false", int: "NUMBER", float: "NUMBER"}.get(hint, "TEXT")


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
    others = [name for name, ours in OTHER_NAMES.items() if ours in names]
    switches = {f"--{name}" for name in (*names, "store_recorded", *others, *WITHOUT_MEANING)}
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
        add_completion=help_text is not None,
        rich_markup_mode=None,
        cls=HelpfulGroup,
        context_settings=TOKENS,
        pretty_exceptions_enable=False,
    )
