"""Names that search leads to, the row of a setting or of a column: an extension of Sphinx."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx import addnodes


def _name(role: str, raw: str, text: str, line: int, inliner: Any, *_: Any) -> Any:
    """The role `name`: code, which index and search lead to where it stands first on a page.

    Entries that are `main` stand above what merely has the word.
    """
    known = inliner.document.ids
    if text in known:
        return [nodes.literal(raw, text)], []
    known[text] = nodes.literal(raw, text, ids=[text])
    return [addnodes.index(entries=[("single", text, text, "main", None)]), known[text]], []


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_role("name", _name)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
