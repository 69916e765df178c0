"""Parts of messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, names: Iterable[str], cutoff: float = 0.5) -> str:
    """A clause that offers the nearest of the known names, or nothing if none is that near."""
    close = difflib.get_close_matches(name, list(names), n=3, cutoff=cutoff)
    return f"; did you mean {' or '.join(close)}?" if close else ""


def printable(text: object) -> str:
    """Text for a message: on one line, and cut if long."""
    line = "".join(letter if letter.isprintable() else "?" for letter in str(text))
    return line if len(line) <= 60 else line[:57] + "..."
