"""Fills the pages: an extension of Sphinx.

A page is Markdown that also reads well where it lies. What the site adds to it stands in comments:

`<!-- file: CHANGELOG.md -->`     the text of a file of the repository, without its title
`<!-- insert: settings -->`       what is made of the package: see `reference.INSERTS`
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sitegen.links import DOCS, ROOT, rebased
from sitegen.reference import INSERTS

_FILE = re.compile(r"^<!-- file: (\S+) -->$", re.MULTILINE)
INSERT = re.compile(r"^<!-- insert: (.+) -->$", re.MULTILINE)


def filled(text: str, page: Path) -> str:
    """The Markdown of a page with all that the site adds to it.

    Args:
        text: of the file.
        page: that file.
    """

    def file(match: re.Match[str]) -> str:
        path = ROOT / match[1]
        _, _, body = path.read_text(encoding="utf-8").partition("\n\n")
        return rebased(body, path.parent, page)

    text = _FILE.sub(file, rebased(text, page.parent, page))
    return INSERT.sub(lambda match: INSERTS[match[1]](), text)


def _read(app: Any, name: str, source: list[str]) -> None:
    source[0] = filled(source[0], DOCS / f"{name}.md")


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
