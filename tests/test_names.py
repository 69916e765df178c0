"""A word means one thing in the whole package."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import aes_lipi

PACKAGE = Path(aes_lipi.__file__).parent


def test_no_public_name_is_defined_in_two_modules() -> None:
    where: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            match node:
                case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                    names = [name]
                case (
                    ast.Assign(targets=[ast.Name(id=name)])
                    | ast.AnnAssign(target=ast.Name(id=name))
                ):
                    names = [name] if re.match(r"[A-Z]\w", name) else []  # and no type variable
                case _:
                    names = []
            for name in names:
                if not name.startswith("_"):
                    where[name].add(str(path.relative_to(PACKAGE)))
    twice = {name: sorted(paths) for name, paths in where.items() if len(paths) > 1}
    assert len(where) > 100
    assert not twice, f"defined more than once: {twice}"


def test_rooms_import_from_those_above_alone() -> None:
    """In the order of the page's table; what lies beside the rooms stands outside."""
    page = (PACKAGE.parent / "docs/project/architecture.md").read_text("utf-8")
    table = page.partition("## The rooms")[2].partition("## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    order = {
        name.strip("/"): k for k, row in enumerate(rows) for name in re.findall("`(.+?)`", row)
    }

    def place(module: str) -> int | None:
        _, is_own, name = module.replace(".", "/").partition("aes_lipi/")
        found = [room for room in order if is_own and f"{name}/".startswith(f"{room}/")]
        return order[max(found, key=len)] if found else None

    for path in PACKAGE.rglob("*.py"):
        own = place(f"aes_lipi.{path.relative_to(PACKAGE).with_suffix('').as_posix()}")
        assert own is not None or path.parent == PACKAGE, f"{path} is in no room"
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and own is not None:
                read = place(node.module or "")
                assert read is None or read <= own, f"{path} imports {node.module}, from below"
