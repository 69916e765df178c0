"""What values are, in a few lines: for `repr` and for notebooks. Nothing slow is imported."""

from __future__ import annotations

import html
from collections.abc import Iterable

from aes_lipi.errors import printable

_SHOWN = 6
"""Lines of a value's `repr`."""


def shortened(summary: str, lines: Iterable[str]) -> str:
    """What a value is, and the first of some lines on it."""
    told = [f"  {printable(line)}" for line in lines]
    more = [f"  ... and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
    return "\n".join([printable(summary, None), *told[:_SHOWN], *more])


def as_html(summary: str, lines: Iterable[str]) -> str:
    """The same for a notebook, as HTML in which text is text."""
    head, *told = shortened(summary, lines).splitlines()
    items = "".join(f"<li>{html.escape(line.strip())}</li>" for line in told)
    return f"<div><strong>{html.escape(head)}</strong><ul>{items}</ul></div>"
