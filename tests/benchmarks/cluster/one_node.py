"""A Ray of two CPUs on this machine for the benchmarks, and what its processes consume."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import ray

from aes_lipi.execution.process import one_thread_per_process
from aes_lipi.execution.ray.connection import INLINE_BYTES

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def ray_here(num_cpus: int = 2) -> Iterator[None]:
    """Ray as `--address local` starts it, with so many CPUs."""
    one_thread_per_process()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_max_direct_call_object_size", str(INLINE_BYTES))
    ray.init(
        num_cpus=num_cpus,
        include_dashboard=False,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    try:
        yield
    finally:
        ray.shutdown()


def _ours() -> Iterator[tuple[str, list[str]]]:
    """Kind and `/proc/PID/stat` of this process and those below it."""
    parents: dict[int, int] = {}
    found: dict[int, tuple[str, list[str]]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
        found[int(entry.name)] = _kind(command), fields
    for pid, (kind, fields) in found.items():
        above = pid
        while above > 1 and above != os.getpid():
            above = parents.get(above, 0)
        if above == os.getpid():
            yield ("driver" if pid == above else kind), fields


def _kind(command: str) -> str:
    """What a process of Ray is for."""
    if command.startswith("ray::"):
        return command[5:].split(".", maxsplit=1)[0].split("(", maxsplit=1)[0].strip()
    return next((name for name in ("gcs_server", "raylet") if f"/{name} " in command), "agents")


def processor_seconds() -> Counter[str]:
    """Processor time that every kind of process has used."""
    used: Counter[str] = Counter()
    for kind, fields in _ours():
        used[kind] += (int(fields[11]) + int(fields[12])) / TICKS  # type: ignore[assignment]
    return used


def resident_bytes() -> Counter[str]:
    """Memory that every kind of process has resident, shared pages counted in each."""
    held: Counter[str] = Counter()
    for kind, fields in _ours():
        held[kind] += int(fields[21]) * PAGE
    return held
