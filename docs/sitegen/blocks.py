"""The code blocks of a page, and a run of them from the first to the last, as they stand.

A page says of a block, in what stands before it:

`` `name.py`: ``                  that it is a file of this name
`<!-- not run: reason -->`        that it is not run, and why; it is still parsed
`<!-- not worked: reason -->`     that tests run it, but not whoever builds the site

and `<!-- before` ... `-->` holds commands of the shell that a reader has already given.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sitegen.links import ROOT

RUN = ("python", "sh")
"""Languages of blocks that are run."""

_BLOCK = re.compile(
    r"^(?P<before><!-- before\n(?P<given>.*?)^-->)$"
    r"|^(?P<fence>`{3,})(?P<language>[\w-]*)\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"`([\w./-]+)`:\s*\Z")
_NOT_RUN = re.compile(r"<!-- not run: ([^>]+) -->\s*\Z")
_NOT_WORKED = re.compile(r"<!-- not worked: ([^>]+) -->\s*\Z")
_NEEDED = ("run.py", "constraints.txt", "cluster", "configs")


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    Attributes:
        line: of the page, from 1, on which it begins.
        language: as the page names it.
        text: what it holds.
        file: the file that it is; None of what is run.
        not_run: why it is not run; None if it is.
        is_shown: whether a reader sees it.
        is_worked: whether it is run when the site is built, too.
    """

    line: int
    language: str
    text: str
    file: str | None = None
    not_run: str | None = None
    is_shown: bool = True
    is_worked: bool = True


@dataclass(frozen=True)
class Output:
    """What a block gave.

    Attributes:
        text: what it printed.
        html: a table, as HTML; empty if there is none.
    """

    text: str
    html: str = ""


def blocks_of(page: str) -> list[Block]:
    """The code blocks of a page, in order.

    Args:
        page: Markdown.
    """
    found = []
    for match in _BLOCK.finditer(page):
        above, line = page[: match.start()], page.count("\n", 0, match.start()) + 1
        if match["before"]:
            found.append(Block(line, "sh", match["given"], is_shown=False))
            continue
        file, reason = _FILE.search(above), _NOT_RUN.search(above)
        found.append(
            Block(
                *(line, match["language"], match["text"]),
                file=file and file[1],
                not_run=reason and " ".join(reason[1].split()),
                is_worked=_NOT_WORKED.search(above) is None,
            )
        )
    return found


def to_run(page: str, *, worked: bool = False) -> list[Block]:
    """Those that are run or written, in order.

    Args:
        page: Markdown.
        worked: those alone that are run when the site is built.
    """
    return [
        each
        for each in blocks_of(page)
        if each.not_run is None and (each.file or each.language in RUN)
        if each.is_worked or not worked
    ]


def with_outputs(page: str, outputs: Mapping[int, Output]) -> str:
    """A page with what its blocks gave below each of them.

    Args:
        page: Markdown.
        outputs: by the line of the block.
    """

    def shown(match: re.Match[str]) -> str:
        output = outputs.get(page.count("\n", 0, match.start()) + 1)
        if match["before"] or output is None:
            return match[0]
        said = f"\n\n```{{code-block}} text\n:class: output\n\n{output.text.rstrip()}\n```"
        text = said if output.text.strip() else ""
        table = f"\n\n<div class='output'>\n{output.html}\n</div>\n" if output.html else ""
        return match[0] + text + table

    return _BLOCK.sub(shown, page)


def run(
    blocks: Sequence[Block], name: str, folder: Path, core: int | None = None
) -> dict[int, Output]:
    """Run blocks of a page in a folder of its own: one Python session, and a shell for each.

    Args:
        blocks: in order.
        name: of the page, for messages.
        folder: which is made; what blocks write is there afterwards.
        core: the processor that they keep to, where the system has such a thing: studies then
            start no workers, each of which imports the package again. By default all.

    Returns:
        what they gave, by the line of the block.

    Raises:
        RuntimeError: a block failed; the message has what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for each in (*_NEEDED, ".venv"):
        if (ROOT / each).exists() and not (folder / each).is_symlink():
            (folder / each).symlink_to(ROOT / each)
    asked = folder / "blocks.json"
    told = {"page": name, "core": core, "blocks": [asdict(each) for each in blocks]}
    asked.write_text(json.dumps(told))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("session.py")), asked.name],
        cwd=folder,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stdout[-2000:]}{done.stderr[-4000:]}")
    given = json.loads((folder / "outputs.json").read_text())
    return {int(line): Output(**output) for line, output in given.items()}


def _environment() -> dict[str, str]:
    scripts = Path(sys.executable).parent
    return {
        **os.environ,
        "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "ignore",
        "MPLBACKEND": "Agg",
        "COLUMNS": "100",
        "NO_COLOR": "1",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def run_once(page: str, name: str, folder: Path, core: int | None) -> dict[int, Output]:
    """What the blocks of a page gave: run now, or by an earlier call if nothing has changed since.

    Args:
        page: Markdown.
        name: for messages.
        folder: which is emptied if something has changed.
        core: as for `run`.

    Raises:
        RuntimeError: as `run`.
    """
    blocks = to_run(page, worked=True)
    key, kept = _digest(blocks), folder.with_suffix(".digest")
    if kept.exists() and kept.read_text() == key:
        given = json.loads((folder / "outputs.json").read_text())
        return {int(line): Output(**output) for line, output in given.items()}
    subprocess.run(["rm", "-rf", str(folder), str(kept)], check=True)
    outputs = run(blocks, name, folder, core)
    kept.write_text(key)
    return outputs


def _digest(blocks: Sequence[Block]) -> str:
    """Of blocks, and of all that they may run."""
    found = hashlib.sha256(json.dumps([asdict(each) for each in blocks]).encode())
    for folder in ("aes_lipi", "configs"):
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in {".py", ".yaml", ".j2"}:
                found.update(path.read_bytes())
    return found.hexdigest()
