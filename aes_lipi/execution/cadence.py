"""When a trial on its way is written down next."""

from __future__ import annotations

import time

from aes_lipi.config import CheckpointInterval

LARGEST_SHARE = 0.05
"""Of a trial's time that checkpoints by the clock may take."""


class Cadence:
    """Tells when a checkpoint is due.

    Args:
        interval: what the user asks for.
        generations: that the trial has behind it.
    """

    def __init__(self, interval: CheckpointInterval, generations: int) -> None:
        self._interval = interval
        self._at_generation = generations
        self._at = self._begun = time.monotonic()
        self._pause_s = interval.seconds

    def is_due(self, generations: int) -> bool:
        """Whether a checkpoint is due; if so, it is being made from now on.

        Args:
            generations: that the trial has behind it.
        """
        every, pause_s = self._interval.generations, self._pause_s
        now = time.monotonic()
        due = (every is not None and generations - self._at_generation >= every) or (
            pause_s is not None and now - self._at >= pause_s
        )
        if due:
            self._at_generation, self._begun = generations, now
        return due

    def made(self) -> None:
        """The checkpoint is made: one that took long is not made again soon."""
        self._at = time.monotonic()
        if self._interval.seconds is not None:
            cost_s = self._at - self._begun
            self._pause_s = max(self._interval.seconds, cost_s / LARGEST_SHARE)
