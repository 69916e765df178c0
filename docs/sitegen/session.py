"""A session in which the blocks of a page are run: `python session.py blocks.json`.

What they give is in `outputs.json` afterwards. The first that fails ends it, with code 1.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import linecache
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

Given = dict[str, str]


def _python(text: str, source: str, names: dict[str, Any]) -> Given:
    """Run a block of Python in the session; its last expression's value is shown, too."""
    linecache.cache[source] = (len(text), None, text.splitlines(keepends=True), source)
    tree = ast.parse(text, source)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    printed, table = io.StringIO(), ""
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, source, "exec"), names)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), source, "eval"), names)
            if type(value).__name__ == "DataFrame" and hasattr(value, "to_html"):
                table = value.to_html(border=0, classes="table")
            elif value is not None:
                print(value if isinstance(value, str) else repr(value))
    return {"text": printed.getvalue(), "html": table}


def _shell(text: str) -> Given:
    """Run a block of commands, which end with the first that fails."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"code {done.returncode} of\n{text}\n{done.stdout}\n{done.stderr}")
    return {"text": done.stdout, "html": ""}


def _main(asked: dict[str, Any]) -> int:
    sys.path.insert(0, "")
    if asked["core"] is not None and sys.platform == "linux":
        os.sched_setaffinity(0, {asked["core"]})
    names: dict[str, Any] = {"__name__": "__main__"}
    outputs: dict[int, Given] = {}
    for block in asked["blocks"]:
        source = f"{asked['page']}:{block['line']}"
        try:
            if block["file"]:
                Path(block["file"]).parent.mkdir(parents=True, exist_ok=True)
                Path(block["file"]).write_text(block["text"], encoding="utf-8")
            elif block["language"] == "python":
                outputs[block["line"]] = _python(block["text"], source, names)
            else:
                outputs[block["line"]] = _shell(block["text"])
        except Exception:
            print(f"{source}: failed\n{traceback.format_exc()}", file=sys.stderr)
            return 1
    Path("outputs.json").write_text(json.dumps(outputs), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
