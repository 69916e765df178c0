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


_USER, _USER_OF_WHOLE = (  # a secret, which a colon is in front of, may hold slashes and more
    re.compile(f"(:/+)(?:[^?{ends}]*:[^{ends}]*@|[^?/{ends}]*@)") for ends in (r"\s'\"", r"\0")
)
_OPTION = re.compile(
    r"(?i)([?&][^=&\s]*(?:key|secret|token|password|sas|credential)[^=&\s]*=)[^&\s]+"
)


def without_secrets(text: str, *, whole: bool = False) -> str:
    """Text without the user and the secret of an address in it, and without options that are keys.

    Whether the address can be parsed does not matter.

    Args:
        text: in which there may be addresses.
        whole: whether it is one address, in which blanks and quotes are its own.
    """
    return _OPTION.sub(r"\1...", (_USER_OF_WHOLE if whole else _USER).sub(r"\1", text))


_QUOTED_PATH = re.compile(r"(?P<before>(?P<quote>[\"']))(?P<path>/[^\"'\n]*)(?=(?P=quote))")
_PATH = re.compile(
    r"(?P<before>^|[^\w.:/~*)\]-]|: ?)(?P<path>/(?:[^\s/'\",:;()<>|]+/)+[^\s/'\",:;()<>|]*)"
)
_LIBRARIES = re.compile(r".*/(?:(?:site|dist)-packages|python\d[\d.]*)/|.*/(?=aes_lipi/)")


def without_folders(text: str) -> str:
    """Text without the folders of paths from the root in it: names of files alone stay.

    Of a file of an installed package the path inside the package stays, too.
    """

    def short(found: re.Match[str]) -> str:
        path = found["path"]
        inside = _LIBRARIES.sub("", path)
        name = path.rstrip("/").rpartition("/")[2] if inside == path else inside
        return f"{found['before']}.../{name}"

    return _PATH.sub(short, _QUOTED_PATH.sub(short, text))


def nearest(name: str, names: Iterable[str], cutoff: float = 0.6) -> str:
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
