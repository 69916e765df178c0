"""The one exception that a user's mistake becomes, and parts of what it says."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's: one line that says what is wrong, where, and the remedy.

    The command line prints it and exits with code 2.

    Args:
        message: the line; what would break or colour it, such as a line break in the name of a
            file, becomes a question mark.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(message, None))


def nearest(name: str, names: Iterable[str], cutoff: float = 0.5) -> str:
    """A clause that offers the nearest of the known names, or nothing if none is that near."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def printable(text: object, longest: int | None = 60) -> str:
    """Text for a message: what breaks a line or colours a terminal becomes a question mark.

    Args:
        text: what to say.
        longest: letters after which it is cut; None for never.
    """
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return line if longest is None or len(line) <= longest else line[: longest - 3] + "..."
