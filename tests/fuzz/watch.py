"""What reading an input may do: end, soon and in little memory, or raise a user's error."""

from __future__ import annotations

import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from aes_lipi.errors import UserError

MOST_MEMORY_MB = 200
LONGEST_S = 5.0

_PROCESS = Path("/proc/self")


@dataclass(frozen=True)
class Failure:
    """What went wrong.

    Attributes:
        kind: the exception's name, or `memory`, `time`, `message`.
        place: the innermost line of the package.
        said: details; they do not tell one failure from another.
    """

    kind: str
    place: str
    said: str

    @property
    def what(self) -> tuple[str, str]:
        """What tells it from other failures."""
        return self.kind, self.place


class _TimeIsUp(BaseException):
    """The input took too long; no handler of a reader takes it for a mistake in the file."""


def failure_of(
    read: Callable[[bytes], None],
    content: bytes,
    *,
    longest_s: float = LONGEST_S,
    most_memory_mb: int = MOST_MEMORY_MB,
) -> Failure | None:
    """Read an input; None if that ended as it should.

    Args:
        read: reads it.
        content: the input.
        longest_s: processor time that it may take.
        most_memory_mb: by which the memory of this process may grow meanwhile, at its peak.
    """
    before = _reset_peak()
    try:
        with _Clock(longest_s):
            read(content)
    except UserError as error:
        message = str(error)
        if not message or len(message.splitlines()) > 1 or not message.isprintable():
            return Failure("message", _place(error.__traceback__), repr(message))
    except _TimeIsUp as error:
        return Failure("time", _place(error.__traceback__), f"more than {longest_s:g} s")
    except Exception as error:
        return Failure(type(error).__name__, _place(error.__traceback__), repr(error)[:300])
    grown = _peak_mb() - before
    return Failure("memory", "", f"{grown} MB") if grown > most_memory_mb else None


class _Clock:
    """Stops a block of the main thread when the process has computed for a time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGPROF, _stop)
            signal.setitimer(signal.ITIMER_PROF, self._seconds)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_PROF, 0)


def _stop(number: int, frame: FrameType | None) -> None:
    raise _TimeIsUp


def _place(trace: TracebackType | None) -> str:
    ours = [each for each in traceback.extract_tb(trace) if "/aes_lipi/" in each.filename]
    if not ours:
        return ""
    return f"{ours[-1].filename.rpartition('/aes_lipi/')[2]}:{ours[-1].lineno} {ours[-1].name}"


def _reset_peak() -> int:
    """Forget the largest size that this process had; its size now, in MB."""
    try:
        (_PROCESS / "clear_refs").write_text("5")
    except OSError:  # no Linux
        return 0
    return _peak_mb()


def _peak_mb() -> int:
    """The largest size of this process in memory, in MB; 0 where that is not known."""
    try:
        lines = (_PROCESS / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(each.split()[1]) // 1024 for each in lines if each.startswith("VmHWM")), 0)
