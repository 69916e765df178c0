"""How long tests wait for what must come: machines that run them may stand still for minutes."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE_S = 600.0
"""After it, what a test waits for hangs; the time-out of pytest is longer."""


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait for something that comes to be true, and fail if it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to be so"
        time.sleep(0.02)
