"""A study on one machine: its trials in this process, or in several side by side."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing.connection import wait
from pathlib import Path
from typing import Protocol

from aes_lipi.config import Study
from aes_lipi.engine.choice import compile_ahead
from aes_lipi.errors import UserError
from aes_lipi.execution.digests import with_digests
from aes_lipi.execution.setup import check_feasible
from aes_lipi.execution.trial import Computed, Failed, Job, failed, jobs_of, run_trial, settle
from aes_lipi.execution.workers import (
    Advanced,
    Finished,
    Refused,
    Worker,
)
from aes_lipi.results.store import ResultStore, TrialId

ATTEMPTS = 3

OnEnding = Callable[[Job, Computed | Failed], None]


class Observer(Protocol):
    """Is told how a study goes on."""

    def started(self, todo: Sequence[Job], done: int) -> None:
        """The study begins: trials to run, and how many were committed before."""
        ...

    def advanced(self, job: Job, generations: int) -> None:
        """A trial went on by some generations."""
        ...

    def finished(self, job: Job, error: str | None) -> None:
        """A trial is committed, or failed."""
        ...


class SilentObserver:
    """An observer that says nothing."""

    def started(self, todo: Sequence[Job], done: int) -> None:
        """Ignore."""

    def advanced(self, job: Job, generations: int) -> None:
        """Ignore."""

    def finished(self, job: Job, error: str | None) -> None:
        """Ignore."""


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
    jobs: int = 1,
    observer: Observer | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Run what is missing of a study.

    Args:
        study: what to run.
        directory: output folder; made if need be.
        jobs: trials at a time; with 1, they run in this process.
        observer: is told how it goes on.
        retry_failed: also run trials that failed before.

    Raises:
        UserError: the folder holds another study, the data are unfit, or results cannot be written.
    """
    if jobs < 1:
        raise UserError(f"--jobs {jobs}: at least one trial must run at a time")
    study = with_digests(study)
    watcher = observer or SilentObserver()
    for variant in study.variants:
        check_feasible(variant)
    store = ResultStore(directory)
    store.open(study)
    everything = jobs_of(study)
    todo = [
        job
        for job in everything
        if not store.is_committed(job.id) and (retry_failed or not store.has_failed(job.id))
    ]
    watcher.started(todo, sum(store.is_committed(job.id) for job in everything))

    def finished(job: Job, ending: Computed | Failed) -> None:
        watcher.finished(job, settle(store, job, ending))

    if jobs == 1 or len(todo) <= 1:
        _run_here(todo, watcher, finished)
    elif todo:
        _run_side_by_side(todo, min(jobs, len(todo)), watcher, finished)
    committed = sum(store.is_committed(job.id) for job in everything)
    n_failed = sum(store.has_failed(job.id) for job in everything)
    return Summary(committed, n_failed)


def _run_here(todo: Sequence[Job], observer: Observer, finished: OnEnding) -> None:
    for job in todo:

        def advanced(job: Job = job) -> None:
            observer.advanced(job, 1)

        finished(job, run_trial(job, advanced))


def _run_side_by_side(
    todo: Sequence[Job], n_workers: int, observer: Observer, finished: OnEnding
) -> None:
    """Keep every worker busy until all trials are done; replace workers that die."""
    compile_ahead({job.variant for job in todo})
    waiting = deque(todo)
    attempts: Counter[TrialId] = Counter()
    workers = [Worker() for _ in range(n_workers)]
    try:
        for worker in workers:
            _assign_next(worker, waiting, attempts)
        while busy := [worker for worker in workers if worker.job is not None]:
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                if not _handle(worker, waiting, attempts, observer, finished):
                    _give_back(worker, waiting, attempts, finished)
                    workers[workers.index(worker)] = fresh = Worker()
                    _assign_next(fresh, waiting, attempts)
    finally:
        for worker in workers:
            worker.stop()


def _assign_next(worker: Worker, waiting: deque[Job], attempts: Counter[TrialId]) -> None:
    worker.job = None
    if waiting:
        job = waiting.popleft()
        attempts[job.id] += 1
        worker.assign(job)


def _handle(
    worker: Worker,
    waiting: deque[Job],
    attempts: Counter[TrialId],
    observer: Observer,
    finished: OnEnding,
) -> bool:
    """Act on a worker's next word; False if the worker is dead."""
    job, message = worker.job, worker.receive()
    if job is None or message is None:
        return False
    match message:
        case Advanced(generations):
            observer.advanced(job, generations)
        case Finished(ending):
            finished(job, ending)
            _assign_next(worker, waiting, attempts)
        case Refused(text):
            raise UserError(text)
    return True


def _give_back(
    worker: Worker, waiting: deque[Job], attempts: Counter[TrialId], finished: OnEnding
) -> None:
    """Take the trial of a dead worker: it goes first now, or has failed if that is its habit."""
    job, reason = worker.job, worker.exit_reason
    worker.stop()
    if job is None:
        return
    if attempts[job.id] < ATTEMPTS:
        waiting.appendleft(job)
        return
    error = RuntimeError(
        f"its worker process was {reason} {ATTEMPTS} times; is there enough memory? "
        "Try fewer --jobs"
    )
    finished(job, failed(job, error, datetime.now(UTC)))
