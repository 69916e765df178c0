"""Ends a Ray that a driver started with the driver, however that ends; run as a script.

`reaper.py FOLDER`: waits until its input is closed, which a driver that is killed does, too; then
it kills what is left of the Ray whose temporary folder that is, and removes the folder. Ray ends
its daemons itself, but not what those have started.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Set
from pathlib import Path

_PATIENCE_S = 10.0
_PROC = Path("/proc")
_LOOK_INTERVAL_S = 0.05


def reap(folder: str, spared: Set[int]) -> None:
    """Kill the processes of a Ray, and remove its folder.

    Args:
        folder: that is its own.
        spared: processes that are not.
    """
    deadline = time.monotonic() + _PATIENCE_S
    while (found := _processes(folder) - spared) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(OSError):  # it has ended
                os.kill(pid, signal.SIGKILL)
        time.sleep(_LOOK_INTERVAL_S)
    shutil.rmtree(folder, ignore_errors=True)


def _processes(folder: str) -> set[int]:
    """The processes that were started with a temporary folder, or have a file open in it."""
    if not (_PROC / "self").exists():
        return _told_by_ps(folder)
    return {int(each.name) for each in _PROC.glob("[0-9]*") if _belongs(each, folder)}


def _told_by_ps(folder: str) -> set[int]:
    """Where there is no /proc, as on macOS: the processes that name the folder as they start."""
    told = subprocess.run(
        ["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=False
    )
    named = re.compile(rf"{re.escape(folder)}(?![^\s/])")
    rows = (line.split(maxsplit=1) for line in told.stdout.splitlines())
    return {int(pid) for pid, command in rows if named.search(command)}


def _belongs(process: Path, folder: str) -> bool:
    try:
        if (process / "stat").read_bytes().rpartition(b") ")[2][:1] == b"Z":
            return False
        if f"RAY_TMPDIR={folder}".encode() in (process / "environ").read_bytes().split(b"\0"):
            return True
        return any(_is_in(each, folder) for each in (process / "fd").iterdir())
    except OSError:  # another user's, or gone
        return False


def _is_in(descriptor: Path, folder: str) -> bool:
    try:
        return str(descriptor.readlink()).startswith(f"{folder}/")
    except OSError:
        return False


def _watch() -> None:
    """Wait for the driver's end, then reap."""
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_IGN)
    driver = os.getppid()
    sys.stdin.buffer.read()
    reap(sys.argv[1], {os.getpid(), driver})


if __name__ == "__main__":
    _watch()
