"""How fast a study goes on."""

from __future__ import annotations

import time

SETTLED_AFTER_S = 2.0  # before that, a speed would be a guess


class Pace:
    """Counts generations and foretells how long those that are left will take.

    Attributes:
        total: generations that are to be done.
        done: of them, those that are.
    """

    def __init__(self) -> None:
        self.total = self.done = 0
        self._done_before = 0
        self._first_news: float | None = None

    def begin(self, generations: int) -> None:
        """Take in how many generations are to be done."""
        self.total = generations

    def resume(self, generations: int) -> None:
        """Take in what an earlier run did; it says nothing of this one's speed."""
        self._done_before += generations
        self.done += generations

    def advance(self, generations: int) -> None:
        """Take in that some generations are done; less than none if some are to be done again."""
        self.done += generations
        self._first_news = self._first_news or time.monotonic()

    @property
    def left(self) -> int:
        """Generations that are still to be done."""
        return self.total - self.done

    @property
    def per_second(self) -> float | None:
        """Generations a second; None as long as nobody can know."""
        elapsed = 0.0 if self._first_news is None else time.monotonic() - self._first_news
        here = self.done - self._done_before
        return None if elapsed < SETTLED_AFTER_S or here <= 0 else here / elapsed
