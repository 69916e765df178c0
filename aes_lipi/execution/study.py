"""A study: what is missing of it is run, and committed trial by trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from aes_lipi.coevolution.order import runs_freely
from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.digests import with_digests
from aes_lipi.execution.jobs import Ending, Job, jobs_of
from aes_lipi.execution.trial import settle
from aes_lipi.results.reads import load_reads
from aes_lipi.results.store import ResultStore

OnEnding = Callable[[Job, Ending], None]


class Observer(Protocol):
    """Is told how a study goes on."""

    def started(self, todo: Sequence[Job], done: int) -> None:
        """The study begins: trials to run, and how many were committed before."""
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

    def advanced(self, job: Job, generations: int) -> None:
        """Ignore."""

    def finished(self, job: Job, error: str | None) -> None:
        """Ignore."""

    def noticed(self, text: str) -> None:
        """Ignore."""

    def placed(self, nodes: int, cpus: float) -> None:
        """Ignore."""


class Runner(Protocol):
    """Runs trials, somewhere."""

    def check(self, variants: Sequence[Variant]) -> None:
        """Find out, before anything is computed or written, whether variants can be run.

        Raises:
            UserError: they cannot.
        """
        ...

    def run(self, todo: Sequence[Job], observer: Observer, finished: OnEnding) -> None:
        """Run trials.

        Args:
            todo: which.
            observer: is told of their progress.
            finished: is told how each of them ended, in any order.

        Raises:
            UserError: no trial can go on.
        """
        ...


@dataclass(frozen=True)
class Summary:
    """How a study ended.

    Attributes:
        committed: trials whose results are there, of this run or earlier ones.
        failed: trials recorded as failed, of this run or earlier ones.
    """

    committed: int
    failed: int


def run_study(
    study: Study,
    directory: Path,
    runner: Runner,
    observer: Observer | None = None,
    *,
    retry_failed: bool = False,
    replay: Path | None = None,
) -> Summary:
    """Run what is missing of a study.

    Args:
        study: what to run.
        directory: output folder; made if need be.
        runner: where its trials run.
        observer: is told how it goes on.
        retry_failed: also run trials that failed before.
        replay: output folder of the same study, run before with asynchronous updates; its cells'
            reads are repeated, so that the results are the same.

    Raises:
        UserError: the folder holds another study, the data are unfit, or results cannot be written.
    """
    study = with_digests(study)
    watcher = observer or SilentObserver()
    runner.check(study.variants)
    everything = jobs_of(study)
    if replay is not None:
        everything = [_replaying(job, replay) for job in everything]
    store = ResultStore(directory)
    store.open(study)
    todo = [
        job
        for job in everything
        if not store.is_committed(job.id) and (retry_failed or not store.has_failed(job.id))
    ]
    watcher.started(todo, sum(store.is_committed(job.id) for job in everything))

    def finished(job: Job, ending: Ending) -> None:
        watcher.finished(job, settle(store, job, ending))

    if todo:
        runner.run(todo, watcher, finished)
    committed = sum(store.is_committed(job.id) for job in everything)
    n_failed = sum(store.has_failed(job.id) for job in everything)
    return Summary(committed, n_failed)


def _replaying(job: Job, directory: Path) -> Job:
    """The same trial, made to read what it read in an earlier run.

    Raises:
        UserError: that run does not hold the trial, or it was not asynchronous.
    """
    if not runs_freely(job.variant):
        raise UserError(
            f"--replay: {job.label} ({job.variant.cell_evaluation}, {job.variant.update_order}) "
            "has the same bits in every run; only asynchronous trials are replayed"
        )
    return replace(job, replay=load_reads(directory, job.id, job.variant.epochs))
