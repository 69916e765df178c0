"""Links of Markdown files, wherever their text is shown."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"

SHOWN_AS = {
    "README.md": "index.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "aes_lipi/ALGORITHM.md": "explanation/algorithm.md",
    "cluster/README.md": "how_to/clusters.md",
    "tests/benchmarks/NOTES.md": "project/notes_on_speed.md",
}
"""Files beside `docs/` that have a page of the site, by their paths in the repository."""

_LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)\s]*)?\))")
_ELSEWHERE = re.compile(r"[a-z]+:|/|#")


def rebased(text: str, home: Path, page: Path) -> str:
    """Text of one Markdown file as it may stand on a page of the site.

    Args:
        text: Markdown.
        home: the folder that its links count from.
        page: the file of the page, below `docs/`.
    """

    def link(match: re.Match[str]) -> str:
        before, target, after = match.groups()
        if _ELSEWHERE.match(target):
            return match[0]
        path = Path(os.path.normpath(home / target))
        if path.is_relative_to(ROOT):
            path = DOCS / SHOWN_AS.get(
                path.relative_to(ROOT).as_posix(), os.path.relpath(path, DOCS)
            )
        return f"{before}{os.path.relpath(path, page.parent)}{after}"

    return _LINK.sub(link, text)


def broken_links(file: Path) -> list[str]:
    """Links of a Markdown file to files that are not there."""
    targets = (match[2] for match in _LINK.finditer(file.read_text(encoding="utf-8")))
    local = (each for each in targets if not _ELSEWHERE.match(each))
    return [each for each in local if not (file.parent / each).exists()]
