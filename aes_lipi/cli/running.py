"""Studies run one after another: where, and what the terminal shows of it meanwhile."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from aes_lipi.cli.tables import duration
from aes_lipi.cli.terminal import cell, console, say
from aes_lipi.config import WHOLE, Study, StudyPart, parse_seconds
from aes_lipi.errors import UserError
from aes_lipi.execution.messages import Action, Began, Event, Heard, Placed, Say, Written
from aes_lipi.execution.study import StudyState, TrialProgress

_PLAIN_INTERVAL_S = 10.0
_BAR_WIDTH = 20
_LINES_AROUND_ROWS = 5


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
    errors = console(errors=True)
    is_live = errors.is_terminal or errors.is_jupyter
    return LiveProgress(study, errors) if is_live else PlainProgress(study)


@dataclass
class _VariantTally:
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


def tallies(state: StudyState, at_most: int) -> list[_VariantTally]:
    """The variants to show: if not all fit, first those that run, then those that will."""
    of_variant: dict[str, _VariantTally] = {}
    for trial in tuple(state.trials.values()):
        of_variant.setdefault(trial.id.variant, _VariantTally(trial.label)).add(trial)
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
                say(_failure_line(state.trials[trial], error), error=True)
            case Heard() if now - self._said >= _PLAIN_INTERVAL_S:
                self._said = now
                self._say(summary_line(state, now))
        for action in actions:
            if isinstance(action, Say):
                self._say(action.text)

    def _say(self, text: str) -> None:
        say(f"{self._study.name}: {text}", error=True)


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
            self._console.print(cell(line))
        for action in actions:
            if isinstance(action, Say):
                self._console.print(cell(action.text))

    def _table(self) -> Table:
        table = Table(
            box=None,
            pad_edge=False,
            caption=cell(summary_line(self._state, time.monotonic())),
            caption_justify="left",
        )
        table.add_column(cell(self._study.name), no_wrap=True, overflow="ellipsis")
        table.add_column("", width=_BAR_WIDTH)
        for title in ("done", "running", "failed"):
            table.add_column(title, justify="right")
        for row in tallies(self._state, self._console.height - _LINES_AROUND_ROWS):
            bar = ProgressBar(max(1, row.generations), row.generations_done, width=_BAR_WIDTH)
            counts = (f"{row.done} of {row.trials}", str(row.running), str(row.failed or ""))
            table.add_row(cell(row.label), bar, *counts)
        return table


def _failure_line(trial: TrialProgress, error: str) -> str:
    """One line on a trial that failed."""
    where = f"{trial.label} (variant {trial.id.variant}), trial {trial.id.trial}"
    return f"failed: {where}: {error[:300]}"


if TYPE_CHECKING:
    from aes_lipi.execution.ray.connection import ClusterOptions
    from aes_lipi.execution.run import Runner

    Place = Callable[[], AbstractContextManager[Runner]]


@dataclass(frozen=True)
class RunOptions:
    """What the flags say of where and how trials run, and of results that are there."""

    local: bool = False
    address: str | None = None
    placement: str | None = None
    cells_per_actor: str | None = None
    cell_resources: str | None = None
    trials_per_worker: str | None = None
    jobs: int | None = None
    retry_failed: bool = False
    restore_models: bool = False
    replay: str | None = None
    fresh: bool = False
    time_limit: str | None = None
    part: StudyPart = WHOLE

    def check(self) -> None:
        """Refuse what a run would refuse of these flags, before it looks for a cluster.

        Raises:
            UserError: a flag has no such value, or does not go with another.
        """
        self.seconds()
        self._of_cluster()
        self._check_local()

    def place(self) -> Place:
        """Find the cluster, if there is one, and check what is asked of it.

        Raises:
            UserError: a flag has no such value, or the cluster has not what is asked for.
        """
        options = self._of_cluster()
        found = self._where()
        if found is None:
            return lambda: _local_runner(self.jobs, options.trials_per_worker)
        say(f"on the Ray cluster at {found} (--local to run here)", error=True)
        return lambda: _cluster_runner(found, options)

    def _of_cluster(self) -> ClusterOptions:
        from aes_lipi.execution.ray.connection import (  # noqa: PLC0415 - numpy is slow to import
            ClusterOptions,
            parse_resources,
        )

        if self.placement not in (None, "cell", "trial"):
            raise UserError(f"--placement {self.placement}: give cell or trial")
        return ClusterOptions(
            placement="trial" if self.placement == "trial" else "cell",
            cells_per_actor=number_or_auto("--cells_per_actor", self.cells_per_actor or "auto"),
            resources=parse_resources(self.cell_resources) if self.cell_resources else (),
            trials_at_a_time=self.jobs,
            trials_per_worker=number_or_auto(
                "--trials_per_worker", self.trials_per_worker or "auto"
            ),
        )

    def seconds(self) -> float | None:
        """After which the run ends; None for no limit.

        Raises:
            UserError: it is no time; give seconds, or a number with s, min or h.
        """
        try:
            return None if self.time_limit is None else parse_seconds(self.time_limit)
        except ValueError as error:
            raise UserError(f"--time_limit {self.time_limit}: {error}") from None

    @property
    def _needs_cluster(self) -> bool:
        return any((self.placement, self.cells_per_actor, self.cell_resources))

    def _check_local(self) -> None:
        if self.local and (self.address is not None or self._needs_cluster):
            raise UserError(
                "--local: runs without a cluster; leave out --address, --placement, "
                "--cells_per_actor and --cell_resources"
            )

    def _where(self) -> str | None:
        """The address of the cluster to use; None for this machine alone."""
        from aes_lipi.execution.ray.address import HERE, Chosen, find_cluster  # noqa: PLC0415

        self._check_local()
        found = Chosen(None) if self.local else find_cluster(self.address)
        if found.remark:
            say(found.remark, error=True)
        if found.address is None and self._needs_cluster:
            return find_cluster(HERE).address
        return found.address


@contextmanager
def _local_runner(jobs: int | None, trials_per_worker: int | None) -> Iterator[Runner]:
    """Trials in processes of this machine; see `LocalRunner`."""
    from aes_lipi.execution.local import LocalRunner  # noqa: PLC0415

    yield LocalRunner(jobs, trials_per_worker)


@contextmanager
def _cluster_runner(address: str, options: ClusterOptions) -> Iterator[Runner]:
    """Trials on a Ray cluster, to which this process is connected meanwhile."""
    from aes_lipi.execution.ray.connection import connected  # noqa: PLC0415

    with connected(address):
        from aes_lipi.execution.ray.runner import ClusterRunner  # noqa: PLC0415 - ray is slow

        yield ClusterRunner(options)


def number_or_auto(flag: str, text: str) -> int | None:
    """A number from 1, or None for `auto`.

    Raises:
        UserError: neither a number from 1 nor `auto`; give one of them.
    """
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) < 2**20:
        raise UserError(f"{flag} {text[:40]}: give auto, or a number from 1")
    return int(text)


def _terminate() -> bool:
    """Give this process the notice that a batch system gives."""
    os.kill(os.getpid(), signal.SIGTERM)
    return True


def run_all(
    studies: Sequence[Study],
    folders: Sequence[str | Path],
    options: RunOptions,
    parts: Sequence[StudyPart] | None = None,
) -> int:
    """Run studies one after another, each with its table.

    Args:
        studies: to run.
        folders: of each its own.
        options: where and how.
        parts: what is run of each; by default what the options say.

    Returns:
        how many trials failed.
    """
    from aes_lipi.cli.tables import print_summary  # noqa: PLC0415
    from aes_lipi.execution.process import time_limit  # noqa: PLC0415
    from aes_lipi.execution.run import run_study  # noqa: PLC0415

    failed = 0
    seconds, place = options.seconds(), options.place()
    with time_limit(seconds, _terminate), place() as runner:
        of_each = parts or [options.part] * len(studies)
        for study, folder, part in zip(studies, folders, of_each, strict=True):
            with progress_for(study) as progress:
                summary = run_study(
                    study,
                    folder,
                    runner,
                    progress,
                    retry_failed=options.retry_failed,
                    restore_models=options.restore_models,
                    replay=options.replay,
                    fresh=options.fresh,
                    part=part,
                )
            print_summary(study, folder, summary)
            failed += summary.failed
    return failed
