"""Which process on which machine: enough to tell whether it still runs."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

_DEAD_STATES = frozenset("ZXx")  # proc(5): zombie, dead


@dataclass(frozen=True)
class Process:
    """A process that can be told from all others, of other machines and other times.

    Attributes:
        host: name of the machine.
        machine: a boot of the machine and a namespace of process ids; only within it can a
            process id be looked up.
        pid: process id.
        started: when it started, in the kernel's count since the boot: a process id is given
            again, but not with the same start.
    """

    host: str
    machine: str
    pid: int
    started: str

    def is_local(self) -> bool:
        """Whether its process id means something here."""
        return self.machine == _machine()

    def is_running(self) -> bool:
        """Whether a local process still runs."""
        return _start_of(self.pid) == self.started


def this_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), _machine(), os.getpid(), _start_of(os.getpid()) or "")


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return socket.gethostname()


def _start_of(pid: int) -> str | None:
    """When a process started; None if there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if fields[0] in _DEAD_STATES else fields[19]
    except (OSError, IndexError):
        return "" if not Path("/proc/self/stat").exists() and _answers(pid) else None


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True
