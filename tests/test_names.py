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
                case ast.Assign(targets=targets):
                    names = [t.id for t in targets if isinstance(t, ast.Name)]
                    names = [name for name in names if re.match(r"[A-Z][a-z]", name)]
                case _:
                    names = []
            for name in names:
                if not name.startswith("_"):
                    where[name].add(str(path.relative_to(PACKAGE)))
    twice = {name: sorted(paths) for name, paths in where.items() if len(paths) > 1}
    assert len(where) > 100
    assert not twice, f"defined more than once: {twice}"
