"""What goes to the terminal: text of files and flags moves no cursor there, and colours nothing."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

from aes_lipi.errors import printable

if TYPE_CHECKING:
    from rich.console import Console

ends_by_interrupt = threading.Event()
"""Set by a command that has no other end: of an interrupt it has nothing to say."""

_PLAIN_WIDTH = 130


def console(*, errors: bool = False) -> Console:
    """Standard output, as wide as the terminal, as COLUMNS says or for every table; or errors.

    It shows every text as it is: names of a user's are no markup.
    """
    from rich.console import Console  # noqa: PLC0415 - slow to import

    output = Console(stderr=errors, markup=False, emoji=False)
    if not errors and not output.is_terminal:
        asked = os.environ.get("COLUMNS", "")
        output.width = int(asked) if asked.isdecimal() and int(asked) else _PLAIN_WIDTH
    return output


def say(line: object, *, error: bool = False) -> None:
    """Print a line, to standard output or to standard error."""
    print(printable(line, None), file=sys.stderr if error else sys.stdout, flush=error)


def cell(text: object) -> str:
    """Text for a table's cell, title or heading, or for a line of the console."""
    return printable(text, None)
