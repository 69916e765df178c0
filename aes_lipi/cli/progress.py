"""How a running study shows itself: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from aes_lipi.cli.durations import duration
from aes_lipi.config import Study
from aes_lipi.execution.jobs import Job
from aes_lipi.execution.study import Observer

PLAIN_INTERVAL_S = 10.0
SETTLED_AFTER_S = 2.0  # before that, a speed would be a guess


class StudyProgress(Observer, Protocol):
    """An observer that is shown while a block runs."""

    def __enter__(self) -> StudyProgress: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def progress_for(study: Study) -> StudyProgress:
    """Live on a terminal, plain otherwise."""
    console = Console(stderr=True)
    return LiveProgress(study, console) if console.is_terminal else PlainProgress(study)


class Tally:
    """Counts what a study has done and foretells how long it will take."""

    def __init__(self) -> None:
        self.trials = self.trials_done = self.failed = 0
        self.generations = self.generations_done = 0
        self._of_job: dict[tuple[str, int], int] = {}
        self._first_news: float | None = None
        self.where = ""

    def place(self, nodes: int, cpus: float) -> None:
        """Take in how large the cluster is."""
        self.where = f", {nodes} {'node' if nodes == 1 else 'nodes'}, {cpus:g} CPUs"

    def start(self, todo: Sequence[Job], done: int) -> None:
        """Take in what is to be done."""
        self.trials, self.trials_done = len(todo) + done, done
        self.generations = sum(job.variant.epochs for job in todo)

    def advance(self, job: Job, generations: int) -> None:
        """Take in that a trial went on."""
        key = (job.id.variant, job.id.trial)
        self._of_job[key] = self._of_job.get(key, 0) + generations
        self.generations_done += generations
        self._first_news = self._first_news or time.monotonic()

    def finish(self, job: Job, error: str | None) -> None:
        """Take in that a trial ended; generations not reported one by one count now."""
        key = (job.id.variant, job.id.trial)
        self.generations_done += job.variant.epochs - self._of_job.pop(key, 0)
        if error is None:
            self.trials_done += 1
        else:
            self.failed += 1

    def line(self) -> str:
        """Trials done, speed, time left, and on a cluster its size."""
        return f"{self._state()}{self.where}"

    def _state(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        done = f"{self.trials_done} of {self.trials} trials{failed}"
        elapsed = 0.0 if self._first_news is None else time.monotonic() - self._first_news
        if elapsed < SETTLED_AFTER_S or self.generations_done <= 0:
            return f"{done}, starting"
        rate = self.generations_done / elapsed
        left = duration((self.generations - self.generations_done) / rate)
        return f"{done}, {rate:.1f} generations/s, {left} left"


class PlainProgress:
    """A line now and then, for logs."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._tally = Tally()
        self._said = time.monotonic()

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def started(self, todo: Sequence[Job], done: int) -> None:
        """Say what is to be done."""
        self._tally.start(todo, done)
        _say(f"{self._study.name}: {len(todo)} trials to run, {done} done before")

    def advanced(self, job: Job, generations: int) -> None:
        """Say how it goes, if it was not said lately."""
        self._tally.advance(job, generations)
        if time.monotonic() - self._said >= PLAIN_INTERVAL_S:
            self._said = time.monotonic()
            _say(f"{self._study.name}: {self._tally.line()}")

    def finished(self, job: Job, error: str | None) -> None:
        """Say that a trial failed."""
        self._tally.finish(job, error)
        if error is not None:
            _say(failure_line(job, error))

    def noticed(self, text: str) -> None:
        """Say it."""
        _say(f"{self._study.name}: {text}")

    def placed(self, nodes: int, cpus: float) -> None:
        """Say it if it is news."""
        before = self._tally.where
        self._tally.place(nodes, cpus)
        if self._tally.where != before:
            _say(f"{self._study.name}: on {self._tally.where.removeprefix(', ')}")


class LiveProgress:
    """One line that moves."""

    def __init__(self, study: Study, console: Console) -> None:
        self._tally = Tally()
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[line]}"),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task(study.name, total=None, line="")

    def __enter__(self) -> LiveProgress:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def started(self, todo: Sequence[Job], done: int) -> None:
        """Show what is to be done."""
        self._tally.start(todo, done)
        self._progress.update(self._task, total=self._tally.generations)

    def advanced(self, job: Job, generations: int) -> None:
        """Move on."""
        self._tally.advance(job, generations)
        self._show()

    def finished(self, job: Job, error: str | None) -> None:
        """Move on; a failure stays on the screen."""
        self._tally.finish(job, error)
        if error is not None:
            self._progress.console.print(failure_line(job, error))
        self._show()

    def noticed(self, text: str) -> None:
        """It stays on the screen."""
        self._progress.console.print(text, markup=False)

    def placed(self, nodes: int, cpus: float) -> None:
        """Show it."""
        self._tally.place(nodes, cpus)
        self._show()

    def _show(self) -> None:
        self._progress.update(
            self._task, completed=self._tally.generations_done, line=self._tally.line()
        )


def failure_line(job: Job, error: str) -> str:
    """One line on a trial that failed."""
    return f"failed: {job.label} (variant {job.id.variant}), trial {job.trial}: {error[:300]}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
