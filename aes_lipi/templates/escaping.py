"""Text of somebody else's in what is made here: one escape for each medium.

HTML is escaped by its templates, a terminal's text by `errors.printable`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aes_lipi.errors import printable

if TYPE_CHECKING:
    import pandas as pd

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_SPECIAL = re.compile(r"[\\`*\[\]|#~!]|(?<![^\W_])_|_(?![^\W_])")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Marked(str):
    """Text that is Markdown already."""

    __slots__ = ()


def markdown(text: object) -> str:
    """Text as it stands in Markdown: on one line, nothing of it a mark or HTML.

    What is marked up already, as `code_span` is, stays as it is.
    """
    if isinstance(text, Marked):
        return str(text)
    entities = "".join(_ENTITIES.get(letter, letter) for letter in printable(text, None))
    return _SPECIAL.sub(r"\\\g<0>", entities)


def code_span(text: object) -> Marked:
    """Text as a span of code in Markdown, on one line, whatever is in it; not in a table."""
    line = printable(text, None)
    longest = max(map(len, re.findall("`+", line)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if "`" in line or not line.strip() else ""
    return Marked(f"{fence}{padding}{line}{padding}{fence}")


def csv_text(table: pd.DataFrame) -> str:
    """A table as CSV that a spreadsheet takes for text and numbers, and not for formulas.

    An apostrophe goes in front of text that begins as a formula does; numbers stay.
    """
    shown = table.rename(columns=_no_formula)
    for column in shown.columns[shown.dtypes.map(str).isin(("object", "str", "string"))]:
        shown[column] = shown[column].map(_no_formula)
    text: str = shown.to_csv(index=False)
    return text


def _no_formula(value: object) -> object:
    if not isinstance(value, str) or not value.startswith(_FORMULA) or _NUMBER.fullmatch(value):
        return value
    return f"'{value}"
