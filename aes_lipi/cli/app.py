"""The commands of `aes-lipi`, `run.py`, which is one of them, and a flag for every field."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from aes_lipi.cli.commands import analyse_command, export_command, reproduce_command
from aes_lipi.cli.folders import clean_command, doctor_command, status_command
from aes_lipi.cli.run import run_command
from aes_lipi.config import Variant

_NO_FLAG = frozenset({"data_digest", "ann_digest", "plugins_digest"})
_TRIALS_HELP = "Replicates of every variant."
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
        _option("trials", ["--trials"], "INTEGER", _TRIALS_HELP, "Study"),
        _option(
            *("checkpoint_interval", ["--checkpoint_interval"]),
            *("GENERATIONS|TIME|never", _INTERVAL_HELP, "Execution"),
        ),
    ]
    for name, field in Variant.model_fields.items():
        if name in _NO_FLAG:
            continue
        extra = field.json_schema_extra
        group = str(extra["group"]) if isinstance(extra, dict) else "Other"
        flags = [f"--{name}", "--seed"] if name == "rng_seed" else [f"--{name}"]
        parameters.append(_option(name, flags, _metavar(hints[name]), _help(field), group))
    return parameters


def _option(
    name: str, flags: list[str], metavar: str, description: str, panel: str
) -> inspect.Parameter:
    option = typer.Option(*flags, metavar=metavar, help=description, rich_help_panel=panel)
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
        return "WIDTHS"
    return {bool: "true|false", int: "INTEGER", float: "NUMBER"}.get(hint, "TEXT")


def _with_field_flags(command: Callable[..., None]) -> Callable[..., None]:
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


def with_switch_values(arguments: Sequence[str]) -> list[str]:
    """Let a yes-or-no field stand alone: `--store_all_nodes` means `--store_all_nodes true`."""
    hints = typing.get_type_hints(Variant)
    switches = {f"--{name}" for name, hint in hints.items() if hint is bool}
    completed: list[str] = []
    for position, argument in enumerate(arguments):
        completed.append(argument)
        following = arguments[position + 1] if position + 1 < len(arguments) else "--"
        if _normalise(argument) in switches and following.startswith("-"):
            completed.append("true")
    return completed


def _normalise(token: str) -> str:
    """Flags may be written with hyphens or underscores; leading hyphens stay."""
    stem = token.lstrip("-")
    return token[: len(token) - len(stem)] + stem.replace("-", "_")


_SETTINGS = {"token_normalize_func": _normalise, "help_option_names": ["--help", "-h"]}


def _make(help_text: str | None) -> typer.Typer:
    return typer.Typer(
        help=help_text,
        add_completion=False,
        context_settings=_SETTINGS,
        pretty_exceptions_enable=False,
    )


run_app = _make(None)
run_app.command("run", context_settings=_SETTINGS)(_with_field_flags(run_command))

app = _make("Coevolution of autoencoders that are pruned while they train.")
app.add_typer(run_app)
app.command("analyse", context_settings=_SETTINGS)(analyse_command)
app.command("clean", context_settings=_SETTINGS)(clean_command)
app.command("doctor", context_settings=_SETTINGS)(doctor_command)
app.command("export", context_settings=_SETTINGS)(export_command)
app.command("reproduce", context_settings=_SETTINGS)(reproduce_command)
app.command("status", context_settings=_SETTINGS)(status_command)


@app.callback()
def _commands() -> None:
    """Coevolution of autoencoders that are pruned while they train."""
