"""Where the command line begins: signals, errors in a line, exit codes."""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import time
import traceback
from contextlib import suppress
from typing import Any

from aes_lipi.cli.terminal import ends_by_interrupt
from aes_lipi.io.streams import spared_streams

_EXIT_USAGE = 2
_EXIT_BUG = 70
_EXIT_INTERRUPTED = 130
_BUG = (
    "this is a bug in aes_lipi, not in what you gave it; please report it where the project keeps "
    "its issues, with the lines below, the command and what `aes-lipi doctor` says; what was "
    "committed is safe"
)
_NO_MEMORY = (
    "the memory that this process may use ran out; choose fewer --jobs, a smaller batch or "
    "network, or fewer rows, or free some; what was committed is safe"
)
_INTERRUPTED = "interrupted; run the same command again to go on where it stopped"

_AT_ONCE_S = 0.8
"""After SIGINT, or a second SIGTERM, in which this process ends in an orderly way, or else ends."""

_GRACE_S = 25.0
"""After SIGTERM, in which trials are written down (`GRACE_S` of the study), or else it ends."""

_SHOW_CURSOR = b"\x1b[?25h"

_interrupted = threading.Event()


def main(program: str = "aes-lipi") -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 some trials failed, 2 usage, bad input or no memory, 70 a bug, 130
    interrupted.

    Args:
        program: `aes-lipi`, or `run.py` for its command `run` alone.
    """
    with spared_streams() as lost:
        try:
            _heed_signals()
            code = _run(program)
        except BaseException as error:  # what an import makes of an interrupt is anybody's guess
            code = _code_after(error)
        if code == _EXIT_INTERRUPTED and not ends_by_interrupt.is_set():
            _complain(_INTERRUPTED)
        if (why := lost()) is not None:
            _complain(f"standard output: {why.strerror}; what it should show is not all there")
            code = _EXIT_USAGE if code is None else code  # commands whose work is on disk return 0
    sys.exit(code or 0)


def _code_after(error: BaseException) -> int:
    """The exit code after what nobody had in mind, which is told: no memory, or a bug.

    Raises:
        SystemExit: the error is one.
    """
    if _interrupted.is_set() or isinstance(error, KeyboardInterrupt):
        return _EXIT_INTERRUPTED
    if isinstance(error, SystemExit):
        raise error
    if isinstance(error, MemoryError):
        _complain(_NO_MEMORY)
        return _EXIT_USAGE
    from aes_lipi.errors import without_secrets  # noqa: PLC0415

    _complain(_BUG)
    print(without_secrets("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    return _EXIT_BUG


def _run(program: str) -> int | None:
    """Run the command line; its exit code."""
    import typer  # noqa: PLC0415 - importing the package must not import it

    from aes_lipi.cli.commands import app  # noqa: PLC0415
    from aes_lipi.cli.run import run_app, with_switch_values  # noqa: PLC0415
    from aes_lipi.errors import UserError  # noqa: PLC0415

    chosen = run_app if program == "run.py" else app
    try:
        code: int | None = chosen(
            with_switch_values(sys.argv[1:]), prog_name=program, standalone_mode=False
        )
    except UserError as error:
        _complain(str(error))
        return _EXIT_USAGE
    except typer.Abort as aborted:  # typer takes the end of a file for an interruption
        raise (aborted.__cause__ or aborted) from None
    except Exception as error:
        if not isinstance(error, _of_usage()):
            raise
        _complain(error.format_message())
        return _EXIT_USAGE
    return code


def _of_usage() -> Any:
    """What typer raises where a command line is wrong; older ones have no public name for it."""
    import typer  # noqa: PLC0415

    _bad_parameter, _usage, base, *_ = typer.BadParameter.__mro__
    return base


def _heed_signals() -> None:
    """Have signals end this process in an orderly way, and in time whatever it is at.

    Python runs handlers between two of its own instructions. While it imports, or computes in
    compiled code, that may be long; so that a thread is told, too, and ends the process when its
    time is up: it can be killed at any moment without harm to results.
    """
    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _leave)
    hears, told = socket.socketpair()
    told.setblocking(False)
    signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
    threading.Thread(target=_end_in_time, args=(hears,), name="signals", daemon=True).start()


def _end_in_time(hears: socket.socket) -> None:
    """Wait for signals, and end this process when the time after one of them is up."""
    deadline, notices = float("inf"), 0
    while True:
        left = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        if not select.select([hears], [], [], left)[0]:
            _end_now()
        for number in hears.recv(64):
            notices += number == signal.SIGTERM
            at_once = number == signal.SIGINT or notices > 1
            if at_once or number == signal.SIGTERM:
                patience = _AT_ONCE_S if at_once else _GRACE_S
                deadline = min(deadline, time.monotonic() + patience)


def _end_now() -> None:
    """End this process, whatever it is at; workers and a Ray of its own end with it."""
    cursor = _SHOW_CURSOR if os.isatty(2) else b""
    line = b"" if ends_by_interrupt.is_set() else f"error: {_INTERRUPTED}\n".encode()
    with suppress(OSError):
        os.write(2, cursor + line)
    os._exit(_EXIT_INTERRUPTED)


def _interrupt(signal_number: int, frame: object) -> None:
    """Ctrl-C stops a study in an orderly way."""
    _interrupted.set()
    raise KeyboardInterrupt


def _leave(signal_number: int, frame: object) -> None:
    """The notice that a batch system gives does, too, once running trials are written down."""
    process = sys.modules.get("aes_lipi.execution.process")  # without it nothing runs yet
    if process is None or not process.give_notice():
        _interrupt(signal_number, frame)


def _complain(message: str) -> None:
    """One line on the error stream."""
    from aes_lipi.errors import printable, without_secrets  # noqa: PLC0415

    line = printable(without_secrets(" ".join(message.split())), None)
    print(f"error: {line}", file=sys.stderr)
