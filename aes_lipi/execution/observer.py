"""Who is told how a study goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from aes_lipi.execution.job import Job


class Observer(Protocol):
    """Is told how a study goes on."""

    def started(self, todo: Sequence[Job], done: int) -> None:
        """The study begins: trials to run, and how many were committed before."""
        ...

    def resumed(self, job: Job, generations: int) -> None:
        """A trial goes on where an earlier run left it, with so many generations behind it."""
        ...

    def advanced(self, job: Job, generations: int) -> None:
        """A trial went on by some generations; by less than none if some are to be run again."""
        ...

    def finished(self, job: Job, error: str | None) -> None:
        """A trial is committed, or failed."""
        ...

    def noticed(self, text: str) -> None:
        """Something that the user should know of happened."""
        ...

    def placed(self, nodes: int, cpus: float) -> None:
        """The study runs on so many nodes with so many processors."""
        ...


class SilentObserver:
    """An observer that says nothing."""

    def started(self, todo: Sequence[Job], done: int) -> None:
        """Ignore."""

    def resumed(self, job: Job, generations: int) -> None:
        """Ignore."""

    def advanced(self, job: Job, generations: int) -> None:
        """Ignore."""

    def finished(self, job: Job, error: str | None) -> None:
        """Ignore."""

    def noticed(self, text: str) -> None:
        """Ignore."""

    def placed(self, nodes: int, cpus: float) -> None:
        """Ignore."""
