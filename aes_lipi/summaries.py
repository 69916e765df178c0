"""What values are, in a few lines: for `repr` and for notebooks. Nothing slow is imported."""

from __future__ import annotations

import html
from collections.abc import Sequence

from aes_lipi.errors import printable

_SHOWN = 6
"""Lines of a value's `repr` below the first."""


class Summarised:
    """What says in a few lines what it is."""

    @property
    def _summary(self) -> str:
        """What it is, in a line."""
        raise NotImplementedError

    def _lines(self) -> Sequence[str]:
        """More on it, of which the first lines are shown."""
        return ()

    def __repr__(self) -> str:
        """What it is, and the first of some lines on it."""
        lines = self._lines()
        more = [f"  ... and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
        told = [f"  {printable(line)}" for line in lines[:_SHOWN]]
        return "\n".join([printable(self._summary, None), *told, *more])

    def __str__(self) -> str:
        """The same."""
        return repr(self)

    def _repr_html_(self) -> str:
        """The same for a notebook, as HTML in which text is text."""
        head, *told = repr(self).splitlines()
        items = "".join(f"<li>{html.escape(line.strip())}</li>" for line in told)
        return f"<div><strong>{html.escape(head)}</strong><ul>{items}</ul></div>"
