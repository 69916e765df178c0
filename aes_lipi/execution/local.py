"""Trials on one machine: in this process, or in several side by side."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from datetime import UTC, datetime
from multiprocessing.connection import wait

from aes_lipi.config import Variant
from aes_lipi.engine.choice import compile_ahead
from aes_lipi.errors import UserError
from aes_lipi.execution.jobs import Advanced, Computed, Failed, Job, Message, Refused
from aes_lipi.execution.setup import check_feasible
from aes_lipi.execution.study import Observer, OnEnding
from aes_lipi.execution.trial import failed, run_trial
from aes_lipi.execution.workers import Worker
from aes_lipi.results.trial_files import TrialId

ATTEMPTS = 3


class LocalRunner:
    """Runs trials on this machine.

    Args:
        jobs: trials at a time; with 1, they run in this process.

    Raises:
        UserError: there would be no trial at a time.
    """

    def __init__(self, jobs: int = 1) -> None:
        if jobs < 1:
            raise UserError(f"--jobs {jobs}: at least one trial must run at a time")
        self._jobs = jobs

    def check(self, variants: Sequence[Variant]) -> None:
        """Find out whether this machine has what variants need; see `Runner.check`."""
        for variant in variants:
            check_feasible(variant)

    def run(self, todo: Sequence[Job], observer: Observer, finished: OnEnding) -> None:
        """Run trials; see `Runner.run`."""
        if self._jobs == 1 or len(todo) <= 1:
            _run_here(todo, observer, finished)
        else:
            _run_side_by_side(todo, min(self._jobs, len(todo)), observer, finished)


def _run_here(todo: Sequence[Job], observer: Observer, finished: OnEnding) -> None:
    for job in todo:
        for message in run_trial(job):
            act_on(message, job, observer, finished)


def act_on(message: Message, job: Job, observer: Observer, finished: OnEnding) -> None:
    """Pass on what a trial says of itself.

    Raises:
        UserError: no trial can go on.
    """
    match message:
        case Advanced(generations):
            observer.advanced(job, generations)
        case Refused(text):
            raise UserError(text)
        case Computed() | Failed():
            finished(job, message)


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
    act_on(message, job, observer, finished)
    if isinstance(message, Computed | Failed):
        _assign_next(worker, waiting, attempts)
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
