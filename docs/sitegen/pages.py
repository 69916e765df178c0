"""Fills the pages: an extension of Sphinx.

A page is Markdown that also reads well where it lies. What the site adds to it stands in comments:

`<!-- worked -->`                    its blocks are run, and what they give stands below them
`<!-- figure: loss.svg Caption -->`  a picture that a block has drawn, of this page or `../another`
`<!-- picture: ring Caption -->`     a picture of ours: see `pictures.PICTURES`
`<!-- file: CHANGELOG.md -->`        the text of a file of the repository, without its title
`<!-- insert: settings -->`          what is made of the package: see `reference.INSERTS`
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from sitegen.blocks import Output, run_once, with_outputs
from sitegen.links import DOCS, ROOT, rebased
from sitegen.pictures import draw
from sitegen.reference import INSERTS

WORKED = "<!-- worked -->"
INSERT = re.compile(r"^<!-- insert: (.+) -->$", re.MULTILINE)
FIGURE = re.compile(r"^<!-- figure: (\S+) (.+) -->$", re.MULTILINE)
PICTURE = re.compile(r"^<!-- picture: (\S+) (.+) -->$", re.MULTILINE)
_FILE = re.compile(r"^<!-- file: (\S+) -->$", re.MULTILINE)

_MADE = ROOT / "build/docs"
"""What is made for the site, and is no part of the repository."""

_outputs: dict[str, dict[int, Output]] = {}


def filled(text: str, page: Path, outputs: dict[int, Output] | None = None) -> str:
    """The Markdown of a page with all that the site adds to it.

    Args:
        text: of the file.
        page: that file.
        outputs: what its blocks gave.
    """

    def file(match: re.Match[str]) -> str:
        path = ROOT / match[1]
        _, _, body = path.read_text(encoding="utf-8").partition("\n\n")
        return rebased(body, path.parent, page)

    name = page.relative_to(DOCS).with_suffix("").as_posix()
    up = "../" * name.count("/")

    def figure(match: re.Match[str]) -> str:
        worked = Path(os.path.normpath(_MADE / "worked" / name / match[1]))
        drawn = sorted(worked.parent.glob(worked.name))[0]
        kept = f"{name.replace('/', '-')}-{drawn.name}"
        shutil.copyfile(drawn, _shown() / kept)
        return _image(f"{up}made/{kept}", match[2], "drawn")

    def picture(match: re.Match[str]) -> str:
        draw(match[1], _shown())
        light = _image(f"{up}made/{match[1]}-light.svg", match[2], "only-light")
        return light + "\n\n" + _image(f"{up}made/{match[1]}-dark.svg", match[2], "only-dark")

    if outputs:
        text = with_outputs(text, outputs)
    text = _FILE.sub(file, rebased(text, page.parent, page))
    text = PICTURE.sub(picture, FIGURE.sub(figure, text))
    return INSERT.sub(lambda match: _indexed(INSERTS[match[1]]()), text)


def _indexed(table: str) -> str:
    """A table with the role `name` for the names in its first column; see `names`."""
    return re.sub(r"^\| (`\w+`) \|", r"| {name}\1 |", table, flags=re.MULTILINE)


def _shown() -> Path:
    """Where pictures are put for pages to show them."""
    folder = DOCS / "made"
    folder.mkdir(exist_ok=True)
    return folder


def _image(path: str, caption: str, look: str) -> str:
    return f":::{{figure}} {path}\n:class: {look}\n:alt: {caption}\n\n{caption}\n:::"


def worked_pages() -> list[Path]:
    """The pages whose blocks are run when the site is built."""
    pages = sorted(DOCS.rglob("*.md"))
    return [path for path in pages if WORKED in path.read_text(encoding="utf-8")]


def _work(app: Any) -> None:
    """Run the blocks of all worked pages, a page on each of two processors at a time."""
    cores: SimpleQueue[int | None] = SimpleQueue()
    for core in _two_processors():
        cores.put(core)

    def one(path: Path) -> tuple[str, dict[int, Output]]:
        name = path.relative_to(DOCS).with_suffix("").as_posix()
        core = cores.get()
        try:
            text = path.read_text(encoding="utf-8")
            return name, run_once(text, path.name, _MADE / "worked" / name, core)
        finally:
            cores.put(core)

    with ThreadPoolExecutor(cores.qsize()) as pool:
        _outputs.update(pool.map(one, worked_pages()))
    sys.stdout.flush()


def _two_processors() -> list[int] | list[None]:
    """Those that this process may use; None each where the system does not say."""
    if sys.platform != "linux":
        return [None, None]
    return sorted(os.sched_getaffinity(0))[:2]


def _read(app: Any, name: str, source: list[str]) -> None:
    source[0] = filled(source[0], DOCS / f"{name}.md", _outputs.get(name))


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", _work)
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
