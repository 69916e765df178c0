"""A study: what is missing of it is run, and committed trial by trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from aes_lipi.coevolution.schedule import runs_freely
from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.digests import with_digests
from aes_lipi.execution.job import Job, jobs_of
from aes_lipi.execution.ledger import Ledger, StudyLedger
from aes_lipi.execution.observer import Observer, SilentObserver
from aes_lipi.execution.publishing import published
from aes_lipi.results.inventory import Inventory, skipped_lines
from aes_lipi.results.reading import load_reads
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialId


class Runner(Protocol):
    """Runs trials, somewhere."""

    def check(self, variants: Sequence[Variant]) -> None:
        """Find out, before anything is computed or written, whether variants can be run.

        Raises:
            UserError: they cannot.
        """
        ...

    def run(self, todo: Sequence[Job], observer: Observer, ledger: Ledger) -> None:
        """Run trials.

        Args:
            todo: which.
            observer: is told of what else happens.
            ledger: knows where to go on with them, and is told of their progress and, in any
                order, of how each of them ended.

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
    directory: str | Path,
    runner: Runner,
    observer: Observer | None = None,
    *,
    retry_failed: bool = False,
    replay: str | Path | None = None,
    fresh: bool = False,
) -> Summary:
    """Run what is missing of a study.

    Args:
        study: what to run.
        directory: output folder, or an address as in `s3://bucket/results`; made if need be.
        runner: where its trials run.
        observer: is told how it goes on.
        retry_failed: also run trials that failed before.
        replay: output folder of the same study, run before with asynchronous updates; its cells'
            reads are repeated, so that the results are the same.
        fresh: remove the results that the folder holds, and start again.

    Raises:
        UserError: the folder holds another study or is in use by another driver, the data are
            unfit, or results cannot be written.
    """
    study = with_digests(study)
    watcher = observer or SilentObserver()
    runner.check(study.variants)
    everything = jobs_of(study)
    if replay is not None:
        everything = [_replaying(job, replay) for job in everything]
    store = ResultStore(directory)
    work = _Work(everything, retry_failed)
    if store.holds(study, fresh):
        work.take_stock(store.inventory())
        if not work.todo:
            watcher.started([], len(work.committed))
            return work.summary()
    with store.locked() as held:
        removed = store.open(study, fresh)
        inventory = store.inventory()
        work.take_stock(inventory)
        store.drop_checkpoints(inventory.committed)
        for line in _notices(removed, held.stale, inventory):
            watcher.noticed(line)
        watcher.started(work.todo, len(work.committed))
        own = StudyLedger(store, watcher, work.settled)
        with published(store, held.lock.token, work.todo, own) as ledger:
            if work.todo:
                runner.run(work.todo, watcher, ledger)
    return work.summary()


class _Work:
    """What there is to do of a study, and what is done.

    Args:
        everything: all trials of the study.
        retry_failed: whether trials that failed before are to do.
    """

    def __init__(self, everything: Sequence[Job], retry_failed: bool) -> None:
        self._everything = everything
        self._retry_failed = retry_failed
        self.todo: list[Job] = []
        self.committed: set[TrialId] = set()
        self.failed: set[TrialId] = set()

    def take_stock(self, inventory: Inventory) -> None:
        """Find out what is done."""
        ours = {job.id for job in self._everything}
        self.committed = ours & inventory.committed.keys()
        self.failed = ours & inventory.failed
        done = self.committed if self._retry_failed else self.committed | self.failed
        self.todo = [job for job in self._everything if job.id not in done]

    def settled(self, job: Job, error: str | None) -> None:
        """Take in how a trial ended."""
        (self.committed if error is None else self.failed).add(job.id)
        (self.failed if error is None else self.committed).discard(job.id)

    def summary(self) -> Summary:
        """What is done so far."""
        return Summary(len(self.committed), len(self.failed))


def _notices(removed: int, stale: Sequence[str], inventory: Inventory) -> list[str]:
    """What a user should know of the folder before the study goes on in it."""
    notices = [f"took over from {whose}, which is gone" for whose in stale]
    if removed:
        notices.append(f"removed {removed} files of earlier results, and none of others")
    again = [f"{line}; to be run again" for line in skipped_lines(inventory.skipped)]
    return notices + again


def _replaying(job: Job, directory: str | Path) -> Job:
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
