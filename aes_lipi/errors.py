"""The one exception that a user's mistake becomes, and parts of what it says."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's: one line that says what is wrong, where, and the remedy.

    The command line prints it and exits with code 2.

    Args:
        message: the line; what would break or colour it, such as a line break in the name of a
            file, becomes a question mark, and secrets in addresses are left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(without_secrets(message), None))


_USER = re.compile(r"(?<![\w+.-])([a-zA-Z][\w+.-]*:/+)[^\s'\"]*@")
_OPTION = re.compile(
    r"(?i)([?&][^=&\s]*(?:key|secret|token|password|sas|credential)[^=&\s]*=)[^&\s]+"
)


def without_secrets(text: str) -> str:
    """Text without the user and the secret of an address in it, and without options that are keys.

    Whether the address can be parsed does not matter: what stands between `://` and the last `@`
    of the word is left out.
    """
    return _OPTION.sub(r"\1...", _USER.sub(r"\1", text))


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
