"""Reference pages that are made of the package itself, so that they cannot drift.

Each function gives Markdown, for a comment `<!-- insert: name -->` of a page.
"""

from __future__ import annotations

import ast
import dataclasses
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from typer.core import TyperArgument, TyperGroup, TyperOption
from typer.main import get_command

from aes_lipi.cli.commands import app
from aes_lipi.coevolution.baselines import BaselineMeasures, ColumnMeasures
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.result import RetrievalMeasures, TrialResult
from aes_lipi.config import Variant
from aes_lipi.results import schema
from sitegen.links import ROOT


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown.

    Args:
        head: names of the columns.
        rows: cells; line breaks and pipes in them are taken care of.
    """
    lines = [head, ["---"] * len(head), *rows]
    cells = [[re.sub(r"\s+", " ", each).replace("|", r"\|") for each in line] for line in lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in cells)


# --- settings


def settings() -> str:
    """All settings, by their groups: values, default, what they mean."""
    properties = Variant.model_json_schema()["properties"]
    groups: dict[str, list[list[str]]] = {}
    for name, field in properties.items():
        default = "" if field.get("default") is None else f"`{_said(field['default'])}`"
        row = [f"`{name}`", values_of(field), default, escaped(field["description"])]
        groups.setdefault(field["group"], []).append(row)
    head = ("setting", "values", "default", "")
    parts = [f"### {group}\n\n{table(head, rows)}\n" for group, rows in groups.items()]
    return "\n".join(parts)


def published_and_sound() -> str:
    """Where the published experiments and a sound study differ: both values, and what they mean."""
    properties = Variant.model_json_schema()["properties"]
    rows = [
        [f"`{name}`", f"`{_said(each['default'])}`", each["sound"], escaped(each["description"])]
        for name, each in properties.items()
        if "sound" in each
    ]
    return table(("setting", "published", "sound", ""), rows)


def values_of(field: Mapping[str, Any]) -> str:
    """What a setting takes: choices, or its type and bounds.

    Args:
        field: of the JSON schema.
    """
    kinds = field.get("anyOf", [field])
    told = [_values(each) for each in kinds if each.get("type") != "null"]
    if len(told) > 1:  # built-in names, and names of users' own
        told[-1] = "`module:name`"
    return ", ".join(told)


def _values(kind: Mapping[str, Any]) -> str:
    if "const" in kind:
        return f"`{kind['const']}`"
    if "enum" in kind:
        return ", ".join(f"`{each}`" for each in kind["enum"])
    if kind["type"] == "array":
        return f"list: {_values(kind['items'])}"
    word = {"integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    bounds = [
        f"{sign} {_bound(kind[key])}"
        for key, sign in (
            *(("minimum", "≥"), ("exclusiveMinimum", ">")),
            *(("maximum", "≤"), ("exclusiveMaximum", "<")),
        )
        if key in kind
    ]
    return " ".join([word.get(kind["type"], "text"), ", ".join(bounds)]).strip()


def _bound(value: float) -> str:
    power = value.bit_length() - 1 if isinstance(value, int) else 0
    return f"2^{power}" if power > 16 and value == 2**power else f"{value:,}"


def _said(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def escaped(text: str) -> str:
    """Text of the package as Markdown shows it: of its marks it has none but backticks."""
    return re.sub(r"(`[^`]*`)|([<*])", lambda match: match[1] or f"\\{match[2]}", text)


# --- columns


def attributes(table_class: type) -> dict[str, str]:
    """What a dataclass says of its fields, in the section `Attributes` of its docstring."""
    text = textwrap.dedent(" " * 4 + (table_class.__doc__ or ""))
    _, _, section = text.partition("Attributes:\n")
    section = textwrap.dedent(section)
    entries = re.split(r"^(\w+): ", section, flags=re.MULTILINE)[1:]
    return {
        name: " ".join(said.split()) for name, said in zip(entries[::2], entries[1::2], strict=True)
    }


_PARTS_OF_TRIALS: Sequence[tuple[str, type]] = (
    ("Which trial", schema.TrialIdentity),
    ("What was trained", schema.WhatWasTrained),
    ("Results", TrialResult),
    ("Retrieval, with `retrieval_measures`", RetrievalMeasures),
    ("Columns of a table of your own", ColumnMeasures),
    ("What there is to beat, of a table of your own", BaselineMeasures),
    ("How it was run", schema.HowItWasRun),
)


def trials_columns() -> str:
    """The columns of `trials` but for the settings, which are columns, too."""
    names = [field.name for field in schema.trials_schema() if field.name not in schema.NESTED]
    parts = [
        f"**{heading}**\n\n{_columns(schema.trials_schema(), attributes(part), names)}\n"
        for heading, part in _PARTS_OF_TRIALS
    ]
    return "\n".join(parts)


def generations_columns() -> str:
    """The columns of `generations`."""
    found = schema.generations_schema()
    said = {"variant_name": attributes(schema.TrialIdentity)["variant_name"]}
    return _columns(found, said | attributes(Record), [field.name for field in found])


def failures_columns() -> str:
    """The columns of `failures` but for the settings."""
    found = schema.failures_schema()
    said = attributes(schema.TrialIdentity) | attributes(schema.Failure)
    return _columns(found, said, [field.name for field in found])


def _columns(found: Any, said: Mapping[str, str], names: Sequence[str]) -> str:
    rows = [
        [f"`{name}`", str(found.field(name).type), escaped(said[name])]
        for name in said
        if name in names
    ]
    return table(("column", "type", ""), rows)


# --- commands


def commands() -> Mapping[str, Any]:
    """The commands of `aes-lipi`, by their names."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands


def command(name: str) -> str:
    """What a command does, and its flags but for those of settings.

    Args:
        name: of the command.
    """
    found = commands()[name]
    shown = (each for each in found.params if each.name not in Variant.model_fields)
    rows = [row for each in shown if (row := _parameter(each))]
    said = textwrap.dedent("    " + (found.help or "")).strip()
    return f"{escaped(said)}\n\n{table(('', ''), rows)}"


_KINDS: Mapping[Any, str] = {int: "NUMBER", float: "NUMBER", Path: "FILE"}


def _parameter(each: object) -> list[str] | None:
    """How a parameter is given, and what it means; None where it is not told of."""
    if isinstance(each, TyperArgument):
        return [f"`{each.metavar}`", escaped(each.help or "")]
    if not isinstance(each, TyperOption) or each.hidden or each.name == "help":
        return None
    kind = _KINDS.get(each.type_descriptor.annotation, "NAME")
    metavar = "" if each.is_flag else f" {each.metavar or kind}"
    said = escaped((each.help or "").replace("\\[", "["))
    default = "" if each.default in (None, False) else f" By default {each.default}."
    return [f"`{each.opts[0]}{metavar}`", said + default]


# --- errors


@dataclasses.dataclass(frozen=True)
class Refusal:
    """A line that the package refuses something with.

    Attributes:
        room: folder of the package, or module at its top.
        text: what it says; what depends on the case stands in braces.
    """

    room: str
    text: str


_TOLD_AS_THEY_ARE = ("UserError", "ValueError")
"""Errors whose message is the line; the second in some rooms alone."""

_OF_VALUES = ("config", "extension")
"""Rooms whose `ValueError`s are told."""

_OF_PLUGINS = "extension"
"""The room of what is refused of plug-ins, wherever that is found out."""

_PLUGIN = "{field} {plug-in}: "
"""What stands in front of a problem with a plug-in."""

_SHORTEST = 12
"""Letters that a line has of its own."""


def refusals() -> Iterator[Refusal]:
    """Every line with which the package refuses something, as its code has it."""
    for path in sorted((ROOT / "aes_lipi").rglob("*.py")):
        room = path.relative_to(ROOT / "aes_lipi").parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            found = _refusal(node, room)
            if found is not None and len(re.sub(r"\{.*?\}", "", found.text)) > _SHORTEST:
                yield found


def _refusal(node: ast.AST, room: str) -> Refusal | None:
    """The line that is made by a piece of code, if it makes one."""
    kinds = _TOLD_AS_THEY_ARE if room in _OF_VALUES else _TOLD_AS_THEY_ARE[:1]
    match node:
        case ast.Call(func=ast.Name(id=kind), args=[said, *_]) if kind in kinds:
            is_of_plugin = room == _OF_PLUGINS and kind == "ValueError"
            return Refusal(room, f"{_PLUGIN if is_of_plugin else ''}{_template(said)}")
        case ast.Raise(
            exc=ast.Call(func=ast.Attribute(attr="error") | ast.Name(id="_error"), args=[*_, said])
        ):
            return Refusal(_OF_PLUGINS, f"{_PLUGIN}{_template(said)}")
    return None


def _template(node: ast.expr) -> str:
    """The text of an expression, what is not known of it in braces."""
    match node:
        case ast.Constant(value=str() as text):
            return str(text)
        case ast.JoinedStr(values=parts):
            return "".join(map(_template, parts))
        case ast.FormattedValue():
            return "{" + _word(node.value) + "}"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _template(left) + _template(right)
    return "{" + _word(node) + "}"


_NO_NAMES = frozenset({"printable", "str", "self", "len", "join", "repr", "map"})


def _word(node: ast.expr) -> str:
    """A short name for what stands in a line."""
    text = ast.unparse(node)
    names: list[str] = re.findall(r"[a-zA-Z_]\w*", re.sub(r"'[^']*'|\"[^\"]*\"", "", text))
    plain = [name for name in names if name not in _NO_NAMES]
    return (plain or ["..."])[-1].strip("_").replace("_", " ").lower()


_ROOMS = {
    "config": "Settings and study files",
    "data": "Data",
    "extension": "Plug-ins",
    "autoencoders": "Networks",
    "engine": "Engines",
    "coevolution": "Coevolution",
    "models": "Model files",
    "results": "Folders of results",
    "execution": "Running a study",
    "analysis": "Reports and statistics",
    "reproduction": "Reproduction",
    "export": "Export",
    "io": "Files",
    "cli": "Commands",
}


def errors() -> str:
    """Every line with which something is refused, by what it is about, and the remedy in it."""
    found: dict[str, dict[str, None]] = {}
    for each in refusals():
        found.setdefault(_ROOMS.get(each.room, "From Python"), {})[each.text] = None
    parts = []
    for heading in [*_ROOMS.values(), "From Python"]:
        rows = [_wrong_and_remedy(text) for text in found.get(heading, ())]
        if rows:
            parts.append(f"## {heading}\n\n{table(('what is said', 'remedy'), rows)}\n")
    return "\n".join(parts)


def _wrong_and_remedy(text: str) -> list[str]:
    wrong, _, remedy = text.rpartition("; ")
    return [escaped_line(wrong or remedy), escaped_line(remedy if wrong else "")]


def escaped_line(text: str) -> str:
    """A line of the package as Markdown shows it, with what depends on the case in italics."""
    text = re.sub(r"([\\`*_<>#\[\]])", r"\\\1", text).replace("}{", "} {")
    return re.sub(
        r"\{([^{}]*)\}", lambda match: f"*{match[1].replace('_', ' ').strip(chr(92))}*", text
    )


INSERTS: Mapping[str, typing.Callable[[], str]] = {
    "settings": settings,
    "published_and_sound": published_and_sound,
    "trials_columns": trials_columns,
    "generations_columns": generations_columns,
    "failures_columns": failures_columns,
    "errors": errors,
    **{f"command {name}": partial(command, name) for name in commands()},
}
"""What pages can have inserted, by name."""
