"""Modules of plug-ins that tests write, and the command line that runs them."""

from __future__ import annotations

import contextlib
import io
import itertools
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import warm

from aes_lipi.cli import main

ROOT = Path(__file__).resolve().parents[1]
IMPORTS = "import numpy as np; from aes_lipi.plugins import Dataset, Environment, Operator\n"
NUMBERS = itertools.count()
TINY = [
    *("--population_size", "4", "--hidden_sizes", "5,4", "--latent_size", "3"),
    *("--batch_size", "5", "--record_interval", "1"),
]
SMALL_DATA = ["--dataset_name", "2_4_6"]


def write_module(folder: Path, code: str, name: str = "") -> str:
    """A module with this code below one line of imports; its name, which no other has."""
    name = name or f"plugged_{next(NUMBERS)}"
    (folder / f"{name}.py").write_text(IMPORTS + textwrap.dedent(code) + "\n")
    return name


def write_distribution(folder: Path, entry_points: dict[str, dict[str, str]], name: str) -> None:
    """What `pip` leaves of an installed package, as far as entry points go."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, entries in entry_points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def run_in(
    folder: Path, *arguments: str, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`aes-lipi` or `run.py` in a folder, with another one on Python's path."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    program = [sys.executable, str(ROOT / "run.py")]
    if arguments[0] == "aes-lipi":  # unlike `python -m`, it has not the folder on its path
        program = [str(Path(sys.executable).with_name("aes-lipi"))]
    return warm.run([*program, *arguments[1:]], cwd=folder, env=environment)


def said_in(
    folder: Path, *arguments: str, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """`run_in` in this process: for what is said, where nothing depends on how it was started."""
    out, error, code = io.StringIO(), io.StringIO(), 0
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    program, *rest = arguments
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [program, *rest])
        for each in (folder, path):
            if each is not None:
                patch.syspath_prepend(each)
        try:
            main(program)
        except SystemExit as left:
            code = int(left.code or 0)
    for number, handler in before.items():
        signal.signal(number, handler)
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())


def refusal_of(done: subprocess.CompletedProcess[str]) -> str:
    """The one line in which a command was refused."""
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    *_, line = done.stderr.splitlines()
    return line
