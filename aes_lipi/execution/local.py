"""Trials on one machine: in this process, or in several side by side."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Hashable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from multiprocessing.connection import wait

from aes_lipi.config import Variant
from aes_lipi.engine.auto import compile_ahead
from aes_lipi.errors import UserError
from aes_lipi.execution.dry_run import check_feasible
from aes_lipi.execution.endings import failed
from aes_lipi.execution.inputs import (
    SharedDataset,
    large_files_shared,
    trains_on_gpu,
    trials_on_gpu,
)
from aes_lipi.execution.job import Checkpointed, Computed, Failed, Job, Leaving
from aes_lipi.execution.ledger import Ledger, act_on
from aes_lipi.execution.notice import minded, was_given
from aes_lipi.execution.observer import Observer
from aes_lipi.execution.retries import TRIES_WITHOUT_PROGRESS, Backoff
from aes_lipi.execution.stacks import (
    can_stack,
    check_trials_per_worker,
    gpu_memory,
    halves,
    stacks_of,
)
from aes_lipi.execution.trial import run_trials
from aes_lipi.execution.workers import Worker
from aes_lipi.results.trial_files import TrialId

LOOK_INTERVAL_S = 0.5
WORKERS_PER_GPU = 3
"""Processes that share a GPU: while one decides on its next steps, others keep it busy."""

GRACE_S = 20.0
"""Seconds after a notice in which trials are written down; batch systems give thirty or more."""


class LocalRunner:
    """Runs trials on this machine.

    Args:
        jobs: processes that work at a time; with 1, everything runs in this one. None for as many
            as there are cores, or as keep a GPU busy where it trains all of them.
        trials_per_worker: trials that an engine for a GPU trains side by side in each; None for as
            many as its memory holds.

    Raises:
        UserError: there would be no trial at a time.
    """

    def __init__(self, jobs: int | None = 1, trials_per_worker: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise UserError(f"--jobs {jobs}: at least one trial must run at a time")
        self._jobs = jobs
        self._trials_per_worker = trials_per_worker

    def check(self, variants: Sequence[Variant]) -> None:
        """Find out whether this machine has what variants need; see `Runner.check`."""
        for variant in variants:
            check_feasible(variant)
        if not any(trains_on_gpu(variant) for variant in variants):
            check_trials_per_worker(self._trials_per_worker, variants)

    def run(self, todo: Sequence[Job], observer: Observer, ledger: Ledger) -> None:
        """Run trials; see `Runner.run`."""
        n_workers, stacks = self._arranged(todo)
        with minded():
            if n_workers == 1 or len(stacks) <= 1:
                _run_here(stacks, ledger)
            else:
                _SideBySide(stacks, ledger).run(min(n_workers, len(stacks)))
            if was_given():
                raise KeyboardInterrupt

    def _arranged(self, todo: Sequence[Job]) -> tuple[int, list[tuple[Job, ...]]]:
        """How many processes work, and the trials that are together."""
        variants = dict.fromkeys(job.variant for job in todo)
        on_gpu = {variant for variant in variants if trains_on_gpu(variant)}
        n_workers = self._jobs or (
            WORKERS_PER_GPU if len(on_gpu) == len(variants) else available_cores()
        )
        sharing = self._jobs or WORKERS_PER_GPU
        share = gpu_memory() // sharing if on_gpu and self._trials_per_worker is None else 0
        most = {variant: self._most(variant, variant in on_gpu, share) for variant in variants}
        return n_workers, stacks_of(todo, most, sharing if on_gpu else n_workers)

    def _most(self, variant: Variant, on_gpu: bool, share: int) -> int:
        """Trials of a variant that one process may train side by side, in its share of a GPU."""
        if self._trials_per_worker is not None and (on_gpu or can_stack(variant)):
            return self._trials_per_worker
        return trials_on_gpu(variant, share) if on_gpu else 1


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run_here(stacks: Sequence[tuple[Job, ...]], ledger: Ledger) -> None:
    for stack in stacks:
        if was_given():
            return
        resumed = [ledger.resumed(job) for job in stack]
        with closing(run_trials(resumed, notice=was_given)) as said:
            for job, message in said:
                act_on(message, job, ledger)


class _SideBySide:
    """Trials in worker processes: every worker is kept busy, and replaced if it dies.

    Args:
        stacks: the trials, those together that one process trains side by side.
        ledger: where they are entered.
    """

    def __init__(self, stacks: Sequence[tuple[Job, ...]], ledger: Ledger) -> None:
        self._waiting = deque(stacks)
        self._ledger = ledger
        self._tries: dict[TrialId, Backoff] = {
            job.id: Backoff() for stack in stacks for job in stack
        }
        self._saved: Counter[TrialId] = Counter()
        self._workers: list[Worker] = []
        self._leave_by: float | None = None
        self._datasets: Mapping[Hashable, SharedDataset] = {}

    def run(self, n_workers: int) -> None:
        """Until all trials have ended, or notice was given and they are written down."""
        variants = {job.variant for stack in self._waiting for job in stack}
        compile_ahead(variants)
        with large_files_shared(variants) as self._datasets:
            self._keep_busy(n_workers)

    def _keep_busy(self, n_workers: int) -> None:
        try:
            for _ in range(n_workers):
                self._workers.append(Worker(self._datasets))
            for worker in self._workers:
                self._assign_next(worker)
            while busy := [worker for worker in self._workers if worker.stack]:
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
        worker.stack = {}
        if self._waiting:
            worker.assign([self._ledger.resumed(job) for job in self._waiting.popleft()])

    def _hear(self, worker: Worker) -> bool:
        """Act on a worker's next word; False if the worker is dead."""
        said = worker.receive()
        if said is None:
            return False
        job, message = said
        act_on(message, job, self._ledger)
        if isinstance(message, Checkpointed):
            self._saved[job.id] = message.generations
        if isinstance(message, Computed | Failed | Leaving):
            del worker.stack[job.id]
            if not worker.stack:
                self._assign_next(worker)
        return True

    def _replace(self, dead: Worker) -> None:
        """Start a worker in the place of a dead one, whose trials go first now."""
        stack, reason = tuple(dead.stack.values()), dead.exit_reason
        dead.stop()
        dead.stack = {}
        if self._leave_by is not None:
            return
        again = tuple(job for job in stack if self._tries[job.id].another_try(self._saved[job.id]))
        stuck = any(self._tries[job.id].is_stuck for job in again)
        for part in halves(again) if stuck else (again,):
            if part:
                self._waiting.appendleft(part)
        for job in stack:
            if job not in again:
                error = RuntimeError(
                    f"its worker process was {reason} {TRIES_WITHOUT_PROGRESS + 1} times; is there "
                    "enough memory? Try fewer --jobs"
                )
                self._ledger.finished(job, failed(job, error, datetime.now(UTC)))
        self._workers[self._workers.index(dead)] = fresh = Worker(self._datasets)
        self._assign_next(fresh)
