"""Where the command line begins: signals, errors in a line, exit codes."""

from __future__ import annotations

import signal
import sys

from aes_lipi.errors import UserError
from aes_lipi.execution.process import give_notice

_EXIT_USAGE = 2
_EXIT_INTERRUPTED = 130


def main(program: str = "aes-lipi") -> None:
    """Run the command line and exit.

    Exit codes: 0 done, 1 some trials failed, 2 usage or bad input, 130 interrupted.

    Args:
        program: `aes-lipi`, or `run.py` for its command `run` alone.
    """
    import typer  # noqa: PLC0415 - importing the package must not import it

    from aes_lipi.cli.commands import app  # noqa: PLC0415
    from aes_lipi.cli.run import run_app, with_switch_values  # noqa: PLC0415

    signal.signal(signal.SIGINT, _interrupt)
    signal.signal(signal.SIGTERM, _leave)
    chosen = run_app if program == "run.py" else app
    try:
        code = chosen(with_switch_values(sys.argv[1:]), prog_name=program, standalone_mode=False)
    except UserError as error:
        _complain(str(error))
        code = _EXIT_USAGE
    except typer.TyperException as error:
        _complain(error.format_message())
        code = _EXIT_USAGE
    except (KeyboardInterrupt, typer.Abort):
        code = _EXIT_INTERRUPTED
    if code == _EXIT_INTERRUPTED:
        _complain("interrupted; run the same command again to go on where it stopped")
    sys.exit(code or 0)


def _interrupt(signal_number: int, frame: object) -> None:
    """Ctrl-C stops a study in an orderly way."""
    raise KeyboardInterrupt


def _leave(signal_number: int, frame: object) -> None:
    """The notice that a batch system gives does, too, once running trials are written down."""
    if not give_notice():
        raise KeyboardInterrupt


def _complain(message: str) -> None:
    """One line on the error stream."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
