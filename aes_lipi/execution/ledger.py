"""Where runners report how trials go, and find where to go on with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from aes_lipi.errors import UserError
from aes_lipi.execution.endings import processor_name, settle
from aes_lipi.execution.job import (
    Checkpointed,
    Computed,
    Ending,
    Failed,
    Job,
    Leaving,
    Message,
    Reached,
    Refused,
)
from aes_lipi.execution.observer import Observer
from aes_lipi.results.checkpoint import Identity, digest_of_reads, identify, software
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialId


class Ledger(Protocol):
    """A study as its runner sees it."""

    def resumed(self, job: Job) -> Job:
        """The same trial from its newest checkpoint; to be asked before every start."""
        ...

    def reached(self, job: Job, generations: int) -> None:
        """Take in how far a trial has come."""
        ...

    def checkpointed(self, job: Job, checkpoint: Checkpointed) -> None:
        """Write down a trial on its way."""
        ...

    def finished(self, job: Job, ending: Ending) -> None:
        """Commit a trial, or write down that it failed."""
        ...


def act_on(message: Message, job: Job, ledger: Ledger) -> None:
    """Enter into the ledger what a trial says of itself.

    Raises:
        UserError: no trial can go on.
    """
    match message:
        case Reached(generations):
            ledger.reached(job, generations)
        case Checkpointed():
            ledger.checkpointed(job, message)
        case Refused(text):
            raise UserError(text)
        case Computed() | Failed():
            ledger.finished(job, message)
        case Leaving():
            pass  # it will be started again


class StudyLedger:
    """The ledger of a study that has its folder.

    Args:
        store: the folder.
        observer: is told what is entered.
        settled: is told of every trial that ended, and of its error if it failed.
    """

    def __init__(
        self, store: ResultStore, observer: Observer, settled: Callable[[Job, str | None], None]
    ) -> None:
        self._store = store
        self._observer = observer
        self._settled = settled
        self._reached: dict[TrialId, int] = {}

    def resumed(self, job: Job) -> Job:
        """See `Ledger.resumed`."""
        found = self._newest(job)
        content, generations = (None, 0) if found is None else (found[0], found[1].generations)
        if job.id not in self._reached:
            if found is not None:
                self._say_whence(job, found[1])
                self._observer.resumed(job, generations)
        elif generations != self._reached[job.id]:
            self._observer.advanced(job, generations - self._reached[job.id])
        self._reached[job.id] = generations
        return replace(job, checkpoint=content)

    def reached(self, job: Job, generations: int) -> None:
        """See `Ledger.reached`."""
        before = self._reached.get(job.id, 0)
        self._reached[job.id] = generations
        self._observer.advanced(job, generations - before)

    def checkpointed(self, job: Job, checkpoint: Checkpointed) -> None:
        """See `Ledger.checkpointed`.

        Raises:
            UserError: it cannot be written.
        """
        self._store.write_checkpoint(job.id, checkpoint.generations, checkpoint.content)

    def finished(self, job: Job, ending: Ending) -> None:
        """See `Ledger.finished`.

        Raises:
            UserError: the results cannot be written.
        """
        error = settle(self._store, job, ending)
        self._reached.pop(job.id, None)
        self._settled(job, error)
        self._observer.finished(job, error)

    def _newest(self, job: Job) -> tuple[bytes, Identity] | None:
        """The newest checkpoint of a trial that is whole."""
        for path, content in self._store.checkpoints(job.id):
            try:
                identity = identify(content)
                _check_fits(identity, job)
            except ValueError as error:
                self._observer.noticed(f"passed over {path}: {error}")
            else:
                return content, identity
        return None

    def _say_whence(self, job: Job, identity: Identity) -> None:
        if identity.processor != processor_name():
            self._observer.noticed(
                f"{job.label}, trial {job.trial}: its first {identity.generations} generations are "
                f"of another processor ({identity.processor}); the same bits are promised on "
                "processors of one kind"
            )


def _check_fits(identity: Identity, job: Job) -> None:
    """Whether a trial can go on from a checkpoint with the same bits.

    Raises:
        ValueError: it cannot.
    """
    if (identity.variant, identity.trial) != (job.id.variant, job.trial):
        raise ValueError(f"is of variant={identity.variant} trial={identity.trial:04d}")
    if identity.replay != digest_of_reads(job.replay):
        raise ValueError("is of a trial that repeats other reads, or none")
    if identity.software != software():
        raise ValueError(f"was written by {identity.software}, and this is {software()}")
