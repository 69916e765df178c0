"""How a running study shows itself: a live line on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from aes_lipi.cli.tables import duration
from aes_lipi.config import Study
from aes_lipi.execution.job import Job
from aes_lipi.execution.observer import Observer
from aes_lipi.execution.pace import Pace

PLAIN_INTERVAL_S = 10.0
BAR_WIDTH = 20
LINES_AROUND_ROWS = 5


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


@dataclass
class VariantTally:
    """What is done of one variant, of what was to be done."""

    label: str
    trials: int = 0
    done: int = 0
    running: int = 0
    failed: int = 0
    generations: int = 0
    generations_done: int = 0


class Tally:
    """Counts what a study has done and foretells how long it will take."""

    def __init__(self) -> None:
        self._of_variant: dict[str, VariantTally] = {}
        self.trials = self.trials_done = self.failed = 0
        self._of_job: dict[tuple[str, int], int] = {}
        self._pace = Pace()
        self.where = ""

    def place(self, nodes: int, cpus: float) -> None:
        """Take in how large the cluster is."""
        self.where = f", {nodes} {'node' if nodes == 1 else 'nodes'}, {cpus:g} CPUs"

    def start(self, todo: Sequence[Job], done: int) -> None:
        """Take in what is to be done."""
        self.trials, self.trials_done = len(todo) + done, done
        self._pace.begin(sum(job.variant.epochs for job in todo))
        for job in todo:
            row = self._of_variant.setdefault(job.id.variant, VariantTally(job.label))
            row.trials += 1
            row.generations += job.variant.epochs

    def resume(self, job: Job, generations: int) -> None:
        """Take in what an earlier run did of a trial; it says nothing of this one's speed."""
        self._pace.resume(generations)
        self._count(job, generations)

    def advance(self, job: Job, generations: int) -> None:
        """Take in that a trial went on."""
        self._pace.advance(generations)
        self._count(job, generations)

    def _count(self, job: Job, generations: int) -> None:
        key = (job.id.variant, job.id.trial)
        row = self._of_variant[job.id.variant]
        row.running += key not in self._of_job
        row.generations_done += generations
        self._of_job[key] = self._of_job.get(key, 0) + generations

    def finish(self, job: Job, error: str | None) -> None:
        """Take in that a trial ended; generations not reported one by one count now."""
        key = (job.id.variant, job.id.trial)
        row = self._of_variant[job.id.variant]
        row.running -= key in self._of_job
        left = job.variant.epochs - self._of_job.pop(key, 0)
        self._pace.advance(left)
        row.generations_done += left
        if error is None:
            self.trials_done += 1
            row.done += 1
        else:
            self.failed += 1
            row.failed += 1

    def rows(self, at_most: int) -> list[VariantTally]:
        """The variants to show: if not all fit, first those that run, then those that will."""
        rows = list(self._of_variant.values())
        if len(rows) > max(1, at_most):
            rows.sort(key=lambda row: (row.running == 0, row.done + row.failed == row.trials))
        return rows[: max(1, at_most)]

    def line(self) -> str:
        """Trials done, speed, time left, and on a cluster its size."""
        return f"{self._state()}{self.where}"

    def _state(self) -> str:
        failed = f", {self.failed} failed" if self.failed else ""
        done = f"{self.trials_done} of {self.trials} trials{failed}"
        rate = self._pace.per_second
        if rate is None:
            return f"{done}, starting"
        return f"{done}, {rate:.1f} generations/s, {duration(self._pace.left / rate)} left"


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

    def resumed(self, job: Job, generations: int) -> None:
        """Say where it goes on."""
        self._tally.resume(job, generations)
        _say(f"{self._study.name}: {resumption_line(job, generations)}")

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
    """A table that moves: a row for every variant, and below it the whole study."""

    def __init__(self, study: Study, console: Console) -> None:
        self._study = study
        self._tally = Tally()
        self._console = console
        self._live = Live(
            get_renderable=self._table, console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def started(self, todo: Sequence[Job], done: int) -> None:
        """Show what is to be done."""
        self._tally.start(todo, done)

    def resumed(self, job: Job, generations: int) -> None:
        """Move on; it stays on the screen."""
        self._tally.resume(job, generations)
        self._console.print(resumption_line(job, generations), markup=False)

    def advanced(self, job: Job, generations: int) -> None:
        """Move on."""
        self._tally.advance(job, generations)

    def finished(self, job: Job, error: str | None) -> None:
        """Move on; a failure stays on the screen."""
        self._tally.finish(job, error)
        if error is not None:
            self._console.print(failure_line(job, error), markup=False)

    def noticed(self, text: str) -> None:
        """It stays on the screen."""
        self._console.print(text, markup=False)

    def placed(self, nodes: int, cpus: float) -> None:
        """Show it."""
        self._tally.place(nodes, cpus)

    def _table(self) -> Table:
        table = Table(
            box=None, pad_edge=False, caption=escape(self._tally.line()), caption_justify="left"
        )
        table.add_column(escape(self._study.name), no_wrap=True, overflow="ellipsis")
        table.add_column("", width=BAR_WIDTH)
        for title in ("done", "running", "failed"):
            table.add_column(title, justify="right")
        for row in self._tally.rows(self._console.height - LINES_AROUND_ROWS):
            bar = ProgressBar(max(1, row.generations), row.generations_done, width=BAR_WIDTH)
            counts = (f"{row.done} of {row.trials}", str(row.running), str(row.failed or ""))
            table.add_row(escape(row.label), bar, *counts)
        return table


def resumption_line(job: Job, generations: int) -> str:
    """One line on a trial that an earlier run began."""
    of = f"{generations} of {job.variant.epochs}"
    return f"{job.label}, trial {job.trial}: goes on from its checkpoint at generation {of}"


def failure_line(job: Job, error: str) -> str:
    """One line on a trial that failed."""
    return f"failed: {job.label} (variant {job.id.variant}), trial {job.trial}: {error[:300]}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
