"""Which process on which machine: enough to tell whether it still runs, as far as that is known.

What the kernel says of a process id (`kill` with no signal) holds for processes of other users,
too: there is none, or there is one. Whether it is still the same one, `/proc` says, if this user
may see that process there (`hidepid=2` hides those of others) and it is the `/proc` of this
process's own process ids.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_DEAD_STATES = frozenset("ZXx")  # proc(5): zombie, dead

Existence = Literal["runs", "gone", "unknown"]


@dataclass(frozen=True)
class Process:
    """A process that can be told from all others, of other machines and other times.

    Attributes:
        host: name of the machine.
        machine: a boot of the machine, and namespaces of process ids and of clocks; only within
            them can a process id be looked up.
        pid: process id.
        started: when it started, in the kernel's count since the boot: a process id is given
            again, but not with the same start. Empty where that is not known.
    """

    host: str
    machine: str
    pid: int
    started: str

    def is_local(self) -> bool:
        """Whether its process id means something here."""
        return self.machine == _machine()

    def existence(self) -> Existence:
        """Whether a local process still runs; unknown if nobody here can tell.

        One that this user may neither see nor signal is unknown, and never gone: the kernel would
        say so.
        """
        if not _exists(self.pid):
            return "gone"
        known = _start_of(self.pid) if self.started else None
        if known is None:
            return "unknown"
        return "runs" if known == self.started else "gone"


def this_process() -> Process:
    """The process that asks."""
    return Process(socket.gethostname(), _machine(), os.getpid(), _start_of(os.getpid()) or "")


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        spaces = "/".join(_namespace(kind) for kind in ("pid", "time"))
    except OSError:  # no Linux
        return socket.gethostname()
    return f"{boot}/{spaces}"


def _namespace(kind: str) -> str:
    try:
        return str(Path(f"/proc/self/ns/{kind}").readlink())
    except FileNotFoundError:  # a kernel without
        return ""


def _start_of(pid: int) -> str | None:
    """When a process started; empty if it has ended and waits to be buried, None if not known."""
    try:
        if str(os.getpid()) != str(Path("/proc/self").readlink()):
            return None  # the ids there are those of another namespace
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return "" if fields[0] in _DEAD_STATES else fields[19]
    except (OSError, IndexError):
        return None


def _exists(pid: int) -> bool:
    """Whether the kernel knows a process id; it says so of other users' processes, too."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
