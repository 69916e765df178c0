"""Every code block of the README and of the documentation: parsed here, and run as it stands."""

from __future__ import annotations

import ast
import functools
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from sitegen.blocks import Block, Output, blocks_of, run, to_run, with_outputs
from sitegen.links import DOCS, ROOT, SHOWN_AS
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from aes_lipi.cli.commands import app
from aes_lipi.cli.run import with_switch_values
from aes_lipi.config import load_study_file

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in sorted([*DOCS.rglob("*.md"), *(ROOT / name for name in SHOWN_AS)])
}
BLOCKS = {f"{name}:{each.line}": each for name, text in PAGES.items() for each in blocks_of(text)}
NEVER_RUN = ("CHANGELOG.md", "aes_lipi/ALGORITHM.md", "tests/benchmarks/NOTES.md")
"""Which tell of the past, or of what is computed."""


def _of(*languages: str) -> list[str]:
    return [name for name, each in BLOCKS.items() if each.language in languages]


@pytest.mark.parametrize("name", _of("python"))
def test_python_is_python(name: str) -> None:
    ast.parse(BLOCKS[name].text)


@pytest.mark.parametrize("name", _of("json", "toml", "yaml"))
def test_files_are_what_they_say(name: str, tmp_path: Path) -> None:
    block = BLOCKS[name]
    if block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)
    elif "settings" in (yaml.safe_load(block.text) or {}):
        (tmp_path / "study.yaml").write_text(block.text)
        load_study_file(tmp_path / "study.yaml")


def test_shell_is_shell() -> None:
    text = "\n".join(f"({BLOCKS[name].text}\n)" for name in _of("sh"))
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def _commands(text: str) -> Iterator[list[str]]:
    """The commands of this package in a block, as words, also behind `ray submit` and `sbatch`."""
    for line in text.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|\||;|\||2>&1|>", line.partition(" #")[0]):
            is_whole = part.count('"') % 2 == part.count("'") % 2 == 0
            words = shlex.split(re.sub(r"\$\w+", "0", part)) if is_whole else []
            for k, word in enumerate(words):
                if Path(word).name == "aes-lipi" and words[:k] in ([], ["do"], ["exec"], ["--"]):
                    yield words[k + 1 :]
                elif Path(word).name in ("run.py", "slurm.sh") and words[0] not in ("mypy", "ruff"):
                    yield ["run", *words[k + 1 :]]


COMMANDS = [
    pytest.param(words, id=f"{name} {' '.join(words)[:60]}")
    for name in _of("sh")
    for words in _commands(BLOCKS[name].text)
]


@functools.cache
def _group() -> TyperGroup:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return group


@pytest.mark.parametrize("words", COMMANDS)
def test_commands_are_parsed_by_the_command_line(words: list[str]) -> None:
    if words[:1] in (["--help"], ["--version"], []):
        return
    command = _group().commands[words[0]]
    assert isinstance(command, TyperCommand)
    command.make_context(words[0], with_switch_values(words[1:]))


def test_every_block_that_is_not_run_says_why() -> None:
    silent = [
        name
        for name, each in BLOCKS.items()
        if each.not_run is not None and not each.not_run.startswith(REASONS)
    ]
    assert silent == []
    assert [name for name in _of("r") if BLOCKS[name].not_run is None] == []


REASONS = (
    *("needs a", "needs Docker", "installs what", "installs into", "sets up an", "takes "),
    *("files of the published code", "listens until", "R with"),
)
"""How a reason begins; commands for clouds and clusters are among those that need something."""

QUICK = ("docs/explanation/controls.md",)
"""Pages whose blocks take less than five seconds together."""

RUN = [
    pytest.param(name, marks=[] if name in QUICK else pytest.mark.slow)
    for name, text in PAGES.items()
    if to_run(text) and name not in NEVER_RUN
]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", RUN)
def test_every_block_of_a_page_runs_as_it_stands(name: str, tmp_path: Path) -> None:
    given = run(to_run(PAGES[name]), name, tmp_path / "page")
    assert set(given) == {each.line for each in to_run(PAGES[name]) if each.file is None}


PAGE = """
<!-- before
mkdir there
-->
`a/b.py`:

```python
x = 1
```

```sh
ls there && cat a/b.py
```

<!-- not run: needs a
     cluster -->
```sh
ray up
```

```python
y = 2
y + 1
```
"""


def test_blocks_are_found_with_what_is_said_of_them() -> None:
    assert blocks_of(PAGE) == [
        Block(2, "sh", "mkdir there\n", is_shown=False),
        Block(7, "python", "x = 1\n", file="a/b.py"),
        Block(11, "sh", "ls there && cat a/b.py\n"),
        Block(17, "sh", "ray up\n", not_run="needs a cluster"),
        Block(21, "python", "y = 2\ny + 1\n"),
    ]


def test_blocks_are_run_one_after_another(tmp_path: Path) -> None:
    given = run(to_run(PAGE), "page.md", tmp_path)
    assert given == {2: Output(""), 11: Output("x = 1\n"), 21: Output("3\n")}
    assert with_outputs(PAGE, given).count("```{code-block} text\n") == 2


@pytest.mark.parametrize("text", ["```sh\nfalse\n```\n", "```python\n1 / 0\n```\n"])
def test_a_block_that_fails_ends_the_page(tmp_path: Path, text: str) -> None:
    with pytest.raises(RuntimeError, match=r"page.md:1: failed"):
        run(to_run(text), "page.md", tmp_path)
