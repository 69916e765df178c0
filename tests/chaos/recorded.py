"""`python -m chaos.recorded LOG ARGUMENTS...`: the command line, which writes down its events.

It is told of them as the terminal is. Worker processes import this file, too, and little else.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any


def run(log: Path) -> None:
    """Run the command line."""
    from event_logs import Recorder  # noqa: PLC0415

    from aes_lipi.cli import main, running  # noqa: PLC0415
    from aes_lipi.config import Study  # noqa: PLC0415

    record = Recorder(log)

    class RecordedProgress(running.PlainProgress):
        def __call__(self, state: Any, event: Any, actions: Any, now: float) -> None:
            record(state, event, actions, now)
            super().__call__(state, event, actions, now)

    def progress_for(study: Study) -> running.StudyProgress:
        return RecordedProgress(study)

    running.progress_for = progress_for
    main()


if __name__ == "__main__":
    run(Path(sys.argv.pop(1)))
