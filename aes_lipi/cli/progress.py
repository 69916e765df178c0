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
from aes_lipi.execution.messages import Action, Began, Event, Heard, Placed, Say, Written
from aes_lipi.execution.study import StudyState, TrialProgress

PLAIN_INTERVAL_S = 10.0
BAR_WIDTH = 20
LINES_AROUND_ROWS = 5


class StudyProgress(Protocol):
    """Is shown while a block runs, and told of all that happens; see `Watch`."""

    def __enter__(self) -> StudyProgress: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __call__(
        self, state: StudyState, event: Event, actions: Sequence[Action], now: float
    ) -> None:
        """Take in what has happened."""


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

    def add(self, trial: TrialProgress) -> None:
        """Count a trial in."""
        self.trials += 1
        self.done += trial.ended and trial.error is None
        self.running += trial.is_under_way
        self.failed += trial.error is not None
        self.generations += trial.epochs
        self.generations_done += trial.done


def tallies(state: StudyState, at_most: int) -> list[VariantTally]:
    """The variants to show: if not all fit, first those that run, then those that will."""
    of_variant: dict[str, VariantTally] = {}
    for trial in tuple(state.trials.values()):
        of_variant.setdefault(trial.id.variant, VariantTally(trial.label)).add(trial)
    rows = list(of_variant.values())
    if len(rows) > max(1, at_most):
        rows.sort(key=lambda row: (row.running == 0, row.done + row.failed == row.trials))
    return rows[: max(1, at_most)]


def summary_line(state: StudyState, now: float) -> str:
    """Trials done, speed, time left, and on a cluster its size."""
    failed = f", {state.failed} failed" if state.failed else ""
    left = sum(not trial.ended for trial in tuple(state.trials.values()))
    trials = state.committed + state.failed + left
    done = f"{state.committed} of {trials} trials{failed}"
    rate, where = state.generations_per_second(now), _where(state)
    if rate is None:
        return f"{done}, starting{where}"
    time_left = duration(state.generations_left / rate)
    return f"{done}, {rate:.1f} generations/s, {time_left} left{where}"


def _where(state: StudyState) -> str:
    """How large the cluster is."""
    if state.cluster is None:
        return ""
    nodes, cpus = state.cluster
    return f", {nodes} {'node' if nodes == 1 else 'nodes'}, {cpus:g} CPUs"


class PlainProgress:
    """A line now and then, for logs."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._where = ""
        self._said = time.monotonic()

    def __enter__(self) -> PlainProgress:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(
        self, state: StudyState, event: Event, actions: Sequence[Action], now: float
    ) -> None:
        """Say what is new, and how the study goes if it was not said lately."""
        match event:
            case Began(committed):
                self._say(f"{len(state.trials)} trials to run, {committed} done before")
            case Placed() if _where(state) != self._where:
                self._where = _where(state)
                self._say(f"on {self._where.removeprefix(', ')}")
            case Written(trial, error) if error is not None:
                print(_failure_line(state.trials[trial], error), file=sys.stderr, flush=True)
            case Heard() if now - self._said >= PLAIN_INTERVAL_S:
                self._said = now
                self._say(summary_line(state, now))
        for action in actions:
            if isinstance(action, Say):
                self._say(action.text)

    def _say(self, text: str) -> None:
        print(f"{self._study.name}: {text}", file=sys.stderr, flush=True)


class LiveProgress:
    """A table that moves: a row for every variant, and below it the whole study."""

    def __init__(self, study: Study, console: Console) -> None:
        self._study = study
        self._state = StudyState([])
        self._console = console
        self._live = Live(
            get_renderable=self._table, console=console, refresh_per_second=4, transient=True
        )

    def __enter__(self) -> LiveProgress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(
        self, state: StudyState, event: Event, actions: Sequence[Action], now: float
    ) -> None:
        """Show the state from now on; what is said, and a failure, stay on the screen."""
        self._state = state
        if isinstance(event, Written) and event.error is not None:
            line = _failure_line(state.trials[event.trial], event.error)
            self._console.print(line, markup=False)
        for action in actions:
            if isinstance(action, Say):
                self._console.print(action.text, markup=False)

    def _table(self) -> Table:
        table = Table(
            box=None,
            pad_edge=False,
            caption=escape(summary_line(self._state, time.monotonic())),
            caption_justify="left",
        )
        table.add_column(escape(self._study.name), no_wrap=True, overflow="ellipsis")
        table.add_column("", width=BAR_WIDTH)
        for title in ("done", "running", "failed"):
            table.add_column(title, justify="right")
        for row in tallies(self._state, self._console.height - LINES_AROUND_ROWS):
            bar = ProgressBar(max(1, row.generations), row.generations_done, width=BAR_WIDTH)
            counts = (f"{row.done} of {row.trials}", str(row.running), str(row.failed or ""))
            table.add_row(escape(row.label), bar, *counts)
        return table


def _failure_line(trial: TrialProgress, error: str) -> str:
    """One line on a trial that failed."""
    where = f"{trial.label} (variant {trial.id.variant}), trial {trial.id.trial}"
    return f"failed: {where}: {error[:300]}"
