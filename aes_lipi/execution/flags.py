"""Values of flags that are read in several places."""

from __future__ import annotations

from aes_lipi.errors import UserError

AUTO = "auto"


def number_or_auto(flag: str, text: str) -> int | None:
    """A number from 1, or None for `auto`.

    Raises:
        UserError: it is neither.
    """
    if text == AUTO:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) < 2**20:
        raise UserError(f"{flag} {text[:40]}: give auto, or a number from 1")
    return int(text)
