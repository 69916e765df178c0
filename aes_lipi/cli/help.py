"""What `--help` shows: every name whole, at any width, and the common flags first."""

from __future__ import annotations

import inspect
import itertools
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from aes_lipi.errors import UserError, nearest, printable

_NARROWEST, _WIDEST = 40, 100
_COLUMN = 26
"""Where descriptions begin, and below that, if a flag is longer."""

_ALL = "all"


class HelpfulCommand(TyperCommand):
    """A command whose `--help` may be followed by a topic, where there are common flags.

    Attributes:
        common: by heading, the names of the parameters that are shown first; without any, all are.
    """

    common: ClassVar[Mapping[str, Sequence[str]]] = {}

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Show help and exit where it is asked for, and else take the arguments.

        Raises:
            UserError: help is asked for on what is no group of flags and no flag.
        """
        for argument, following in itertools.pairwise([*args, ""]):
            asked, _, topic = argument.partition("=")
            if asked in ctx.help_option_names and not ctx.resilient_parsing:
                topic = topic or ("" if following in ctx.help_option_names else following)
                typer.echo(self._help_on(ctx, topic if self.common else _ALL))
                ctx.exit()
        return super().parse_args(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """All of it, as a whole: see `TyperCommand`."""
        formatter.write(self._help_on(ctx, "" if self.common else _ALL))

    def _help_on(self, ctx: Any, topic: str) -> str:
        """The page on a topic: the common flags, all flags, a group of them, or one.

        Raises:
            UserError: there is no such topic; the groups are named.
        """
        options = [each for each in self.params if isinstance(each, TyperOption)]
        shown = {str(each.name): each for each in options if not each.hidden}
        groups = _groups_of(list(shown.values()))
        if not topic:
            sections = [
                (heading, [shown[name] for name in names]) for heading, names in self.common.items()
            ]
            return _page([*self._head(ctx), *_sections(sections), *_remaining(groups)])
        if topic == _ALL:
            return _page([*self._head(ctx), *_sections(list(groups.items()))])
        key = topic.lstrip("-").replace("-", "_").lower()
        if key in groups:
            return _page(_sections([(key, groups[key])]))
        for each in shown.values():
            if key in (name.lstrip("-") for name in (str(each.name), *each.opts)):
                return _page(_entry(*_told(each)))
        known = [*groups, *shown]
        raise UserError(
            f"--help {printable(topic)}: no flag, and no group of flags{nearest(key, known)}; give "
            f"{_ALL}, {', '.join(groups)}, or the name of a flag"
        )

    def _head(self, ctx: Any) -> list[str]:
        arguments = {
            each.metavar or str(each.name).upper(): each.help or ""
            for each in self.params
            if isinstance(each, TyperArgument)
        }
        lines = [f"Usage: {' '.join([ctx.command_path, *arguments, '[FLAGS]'])}"]
        lines += _paragraphs(self.help)
        if arguments:
            lines.append("")
        for metavar, said in arguments.items():
            lines += _entry(metavar, said)
        return lines


class HelpfulGroup(TyperGroup):
    """A program of commands, whose help names each with its first sentence."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """All of it: see `TyperGroup`."""
        lines = [f"Usage: {ctx.command_path} COMMAND [FLAGS]", *_paragraphs(self.help)]
        lines += ["", "Commands:"]
        for name, command in sorted(self.commands.items(), key=lambda each: each[0] != "run"):
            lines += _entry(name, _first_sentence(command.help or ""))
        options = [each for each in self.get_params(ctx) if isinstance(each, TyperOption)]
        lines += ["", "Flags:"]
        for each in options:
            lines += _entry(*_told(each))
        formatter.write(_page([*lines, "", f"{ctx.command_path} COMMAND --help tells more."]))


def _groups_of(options: Sequence[TyperOption]) -> dict[str, list[TyperOption]]:
    """Options by the first word of the heading that they stand under."""
    groups: dict[str, list[TyperOption]] = {}
    for each in options:
        if each.name != "help":
            groups.setdefault(_word(each.rich_help_panel), []).append(each)
    return groups


def _word(heading: str | None) -> str:
    return (heading or "flags").partition(" ")[0].lower()


def _page(lines: Sequence[str]) -> str:
    return "\n".join(lines).strip("\n") + "\n"


def _paragraphs(text: str | None) -> list[str]:
    lines: list[str] = []
    for paragraph in inspect.cleandoc(text or "").split("\n\n"):
        lines += ["", *textwrap.wrap(" ".join(paragraph.split()), _width())]
    return lines


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.:])\s", " ".join(text.split()), maxsplit=1)[0].rstrip(".:")


def _sections(sections: Sequence[tuple[str, Sequence[TyperOption]]]) -> list[str]:
    lines: list[str] = []
    for heading, options in sections:
        lines += ["", f"{heading[0].upper()}{heading[1:]}:"]
        for each in options:
            lines += _entry(*_told(each))
    return lines


def _remaining(groups: Mapping[str, Sequence[TyperOption]]) -> list[str]:
    """What else there is, by group, without descriptions."""
    lines = ["", "All flags by group (--help GROUP, --help FLAG, --help all tell what they do):"]
    for name, options in groups.items():
        lines += _entry(name, " ".join(each.opts[0].lstrip("-") for each in options), 16)
    return lines


def _told(option: TyperOption) -> tuple[str, str]:
    """How an option is given, and what it means."""
    names = ", ".join(option.opts)
    metavar = "" if option.is_flag else f" {option.metavar or 'VALUE'}"
    return names + metavar, option.help or ""


def _entry(head: str, text: str, column: int = _COLUMN) -> list[str]:
    """What is told of one thing, its name whole: beside it, or below where the name is long."""
    column = min(column, _width() // 3)
    heads = _broken(f"  {head}")
    lines = _wrapped(text, column)
    if len(heads) > 1 or len(heads[0]) + 2 > column:
        return heads + lines
    return [heads[0].ljust(column) + (lines or [""])[0].lstrip(), *lines[1:]]


def _wrapped(text: str, column: int) -> list[str]:
    indent = " " * column
    return textwrap.wrap(
        text,
        _width(),
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _broken(head: str) -> list[str]:
    """A flag with its choices, in lines that end between two choices."""
    lines = [""]
    for part in re.findall(r"[^|]+\|?", head):
        if lines[-1].strip() and len(lines[-1]) + len(part) > _width():
            lines.append(" " * 6)
        lines[-1] += part
    return lines


def _width() -> int:
    return min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
