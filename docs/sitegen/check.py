"""Whether a built site stands on its own: links lead somewhere, and nothing comes from elsewhere.

`python -m sitegen.check build/docs/html` names what is wrong and ends with code 1 then.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADS = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src")}
_CSS_URL = re.compile(r"(?:url\(\s*|@import\s+)['\"]?([^'\")\s]+)")


class _Page(HTMLParser):
    """Where a page leads (whether that is loaded with it, and the address), and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors = {""}
        self.addresses: list[tuple[bool, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if value is not None and name in ("id", "name"):
                self.anchors.add(value)
            if value is not None and name in ("href", "src"):
                self.addresses.append(((tag, name) in _LOADS, value))


def _fault(pages: Mapping[Path, _Page], page: Path, is_loaded: bool, address: str) -> str | None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        return "is fetched from elsewhere" if is_loaded and parts.scheme != "data" else None
    target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
    if not target.is_file():
        return "is not there"
    if target.suffix == ".html" and unquote(parts.fragment) not in pages[target].anchors:
        return "has no such place"
    return None


def faults_of(site: Path) -> list[str]:
    """One line for every address of a site that leads nowhere, or that is fetched from elsewhere.

    Args:
        site: the folder of its HTML.
    """
    site = site.resolve()
    pages = {
        path: _Page(path.read_text(encoding="utf-8"))
        for path in sorted(site.rglob("*.html"))
        if "_static" not in path.parts  # templates of the theme's
    }
    found = [
        f"{path.relative_to(site)}: {address} {fault}"
        for path, page in pages.items()
        for is_loaded, address in page.addresses
        if (fault := _fault(pages, path, is_loaded, address))
    ]
    for sheet in sorted(site.rglob("*.css")):
        for address in _CSS_URL.findall(sheet.read_text(encoding="utf-8")):
            if urlsplit(address).netloc:
                found.append(f"{sheet.relative_to(site)}: {address} is fetched from elsewhere")
    return found


if __name__ == "__main__":
    faults = faults_of(Path(sys.argv[1]))
    print("\n".join(faults) or "links lead somewhere, and nothing is fetched from elsewhere")
    sys.exit(bool(faults))
