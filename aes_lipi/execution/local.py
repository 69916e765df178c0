"""Trials on one machine: in this process, or in several side by side."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from multiprocessing.connection import wait

from aes_lipi.config import Variant
from aes_lipi.engine.choice import compile_ahead
from aes_lipi.errors import UserError
from aes_lipi.execution.jobs import Checkpointed, Computed, Failed, Job, Leaving
from aes_lipi.execution.ledger import Ledger, act_on
from aes_lipi.execution.notice import minded, was_given
from aes_lipi.execution.observer import Observer
from aes_lipi.execution.retries import TRIES_WITHOUT_PROGRESS, Backoff
from aes_lipi.execution.setup import check_feasible, large_files_shared
from aes_lipi.execution.shared_data import SharedDataset
from aes_lipi.execution.trial import failed, run_trial
from aes_lipi.execution.workers import Worker
from aes_lipi.results.trial_files import TrialId

LOOK_INTERVAL_S = 0.5
GRACE_S = 20.0
"""Seconds after a notice in which trials are written down; batch systems give thirty or more."""


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

    def run(self, todo: Sequence[Job], observer: Observer, ledger: Ledger) -> None:
        """Run trials; see `Runner.run`."""
        with minded():
            if self._jobs == 1 or len(todo) <= 1:
                _run_here(todo, ledger)
            else:
                _SideBySide(todo, ledger).run(min(self._jobs, len(todo)))
            if was_given():
                raise KeyboardInterrupt


def _run_here(todo: Sequence[Job], ledger: Ledger) -> None:
    for job in todo:
        if was_given():
            return
        for message in run_trial(ledger.resumed(job), notice=was_given):
            act_on(message, job, ledger)


class _SideBySide:
    """Trials in worker processes: every worker is kept busy, and replaced if it dies.

    Args:
        todo: the trials.
        ledger: where they are entered.
    """

    def __init__(self, todo: Sequence[Job], ledger: Ledger) -> None:
        self._waiting = deque(todo)
        self._ledger = ledger
        self._tries: dict[TrialId, Backoff] = {job.id: Backoff() for job in todo}
        self._saved: Counter[TrialId] = Counter()
        self._workers: list[Worker] = []
        self._leave_by: float | None = None
        self._datasets: Mapping[Variant, SharedDataset] = {}

    def run(self, n_workers: int) -> None:
        """Until all trials have ended, or notice was given and they are written down."""
        variants = {job.variant for job in self._waiting}
        compile_ahead(variants)
        with large_files_shared(variants) as self._datasets:
            self._keep_busy(n_workers)

    def _keep_busy(self, n_workers: int) -> None:
        try:
            for _ in range(n_workers):
                self._workers.append(Worker(self._datasets))
            for worker in self._workers:
                self._assign_next(worker)
            while busy := [worker for worker in self._workers if worker.job is not None]:
                if self._must_leave(busy):
                    return
                ready = wait([worker.connection for worker in busy], timeout=LOOK_INTERVAL_S)
                for worker in [worker for worker in busy if worker.connection in ready]:
                    if not self._hear(worker):
                        self._replace(worker)
        finally:
            for worker in self._workers:
                worker.stop()

    def _must_leave(self, busy: Sequence[Worker]) -> bool:
        """After a notice, whether all that can be written down in time is."""
        if not was_given():
            return False
        if self._leave_by is None:
            self._leave_by = time.monotonic() + GRACE_S
            self._waiting.clear()
            for worker in busy:
                worker.give_notice()
        return time.monotonic() > self._leave_by

    def _assign_next(self, worker: Worker) -> None:
        worker.job = None
        if self._waiting:
            worker.assign(self._ledger.resumed(self._waiting.popleft()))

    def _hear(self, worker: Worker) -> bool:
        """Act on a worker's next word; False if the worker is dead."""
        job, message = worker.job, worker.receive()
        if job is None or message is None:
            return False
        act_on(message, job, self._ledger)
        if isinstance(message, Checkpointed):
            self._saved[job.id] = message.generations
        if isinstance(message, Computed | Failed | Leaving):
            self._assign_next(worker)
        return True

    def _replace(self, dead: Worker) -> None:
        """Start a worker in the place of a dead one, whose trial goes first now."""
        job, reason = dead.job, dead.exit_reason
        dead.stop()
        if self._leave_by is not None:
            dead.job = None
            return
        if job is not None and self._tries[job.id].another_try(self._saved[job.id]):
            self._waiting.appendleft(job)
        elif job is not None:
            error = RuntimeError(
                f"its worker process was {reason} {TRIES_WITHOUT_PROGRESS + 1} times; is there "
                "enough memory? Try fewer --jobs"
            )
            self._ledger.finished(job, failed(job, error, datetime.now(UTC)))
        self._workers[self._workers.index(dead)] = fresh = Worker(self._datasets)
        self._assign_next(fresh)
