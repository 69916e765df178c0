"""How often what was lost is tried again."""

from __future__ import annotations

import time

TRIES_WITHOUT_PROGRESS = 5
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 30.0


class Backoff:
    """Tries again after growing waits, and gives up after too many in which nothing was gained."""

    def __init__(self) -> None:
        self._tries = 0
        self._reached = -1

    def another_try(self, reached: int) -> bool:
        """Count a loss.

        Args:
            reached: how far the work had come; a new maximum starts the count anew.
        """
        if reached > self._reached:
            self._reached, self._tries = reached, 0
        self._tries += 1
        return self._tries <= TRIES_WITHOUT_PROGRESS

    @property
    def is_stuck(self) -> bool:
        """Whether it was lost more than once at the same point."""
        return self._tries > 1

    @property
    def wait_s(self) -> float:
        """Seconds to wait before the next try, longer from try to try."""
        return float(min(LONGEST_WAIT_S, FIRST_WAIT_S * 2 ** (self._tries - 1)))

    def wait(self) -> None:
        """Wait that long."""
        time.sleep(self.wait_s)
