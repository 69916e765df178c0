"""A running study says in its folder how it goes on, for those who ask from elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from aes_lipi.errors import UserError
from aes_lipi.execution.job import Checkpointed, Ending, Job
from aes_lipi.execution.ledger import Ledger
from aes_lipi.execution.pace import Pace
from aes_lipi.results.checkpoint import glance
from aes_lipi.results.progress import Progress, RunningTrial
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialId

LOOK_INTERVAL_S = 1.0
WRITE_INTERVAL_S = 5.0


@contextmanager
def published(
    store: ResultStore, claim: str, todo: Sequence[Job], ledger: Ledger
) -> Iterator[Ledger]:
    """Keep a study's `progress.json` while a block runs.

    What cannot be written is left out: no study ends for that.

    Args:
        store: the study's folder.
        claim: token of the driver's claim on it.
        todo: the trials to run.
        ledger: where they are entered.

    Yields:
        a ledger that passes everything on to that one.
    """
    watched = ProgressLedger(ledger, todo)
    ended = threading.Event()
    arguments = (store, claim, watched, ended)
    publisher = threading.Thread(target=_publish, args=arguments, name="progress", daemon=True)
    publisher.start()
    try:
        yield watched
    finally:
        ended.set()
        publisher.join()
        with suppress(UserError):  # nobody believes it once its driver is gone
            store.remove_progress()


def _publish(
    store: ResultStore, claim: str, ledger: ProgressLedger, ended: threading.Event
) -> None:
    """Write what has changed now and then, until the end."""
    known, written = ledger.progress(claim), float("-inf")
    while not ended.wait(LOOK_INTERVAL_S):
        progress = ledger.progress(claim)
        if progress == known or time.monotonic() - written < WRITE_INTERVAL_S:
            continue
        known, written = progress, time.monotonic()
        with suppress(UserError):  # the next one may get through
            store.write_progress(progress)


class ProgressLedger:
    """A ledger that knows which trials run, and how far they are.

    Args:
        ledger: is told everything first.
        todo: the trials that are to run.
    """

    def __init__(self, ledger: Ledger, todo: Sequence[Job]) -> None:
        self._ledger = ledger
        self._pace = Pace()
        self._pace.begin(sum(job.variant.epochs for job in todo))
        self._running: dict[TrialId, RunningTrial] = {}
        self._lock = threading.Lock()

    def progress(self, claim: str) -> Progress:
        """How the study goes on, under the token of its driver's claim; from any thread."""
        with self._lock:
            return Progress(
                claim=claim,
                generations_per_second=self._pace.per_second,
                generations_left=self._pace.left,
                running=tuple(self._running.values()),
            )

    def resumed(self, job: Job) -> Job:
        """See `Ledger.resumed`."""
        resumed = self._ledger.resumed(job)
        generations, loss = _glance(resumed.checkpoint)
        if not self._move(job, generations, mean_L1=loss):
            self._start(job, generations, loss)
        return resumed

    def reached(self, job: Job, generations: int) -> None:
        """See `Ledger.reached`."""
        self._ledger.reached(job, generations)
        self._move(job, generations)

    def checkpointed(self, job: Job, checkpoint: Checkpointed) -> None:
        """See `Ledger.checkpointed`."""
        self._ledger.checkpointed(job, checkpoint)
        self._move(job, checkpoint.generations, mean_L1=_glance(checkpoint.content)[1])

    def finished(self, job: Job, ending: Ending) -> None:
        """See `Ledger.finished`."""
        self._ledger.finished(job, ending)
        self._move(job, job.variant.epochs)
        with self._lock:
            self._running.pop(job.id, None)

    def _start(self, job: Job, generations: int, loss: float | None) -> None:
        trial = RunningTrial(
            variant=job.id.variant,
            label=job.label,
            trial=job.trial,
            generations=generations,
            epochs=job.variant.epochs,
            mean_L1=loss,
        )
        with self._lock:
            self._pace.resume(generations)
            self._running[job.id] = trial

    def _move(self, job: Job, generations: int, **changes: float | None) -> bool:
        """Note how far a running trial is, and what else has changed; False if it does not run."""
        with self._lock:
            before = self._running.get(job.id)
            if before is None:
                return False
            self._pace.advance(generations - before.generations)
            changes = {"generations": generations, **changes}
            self._running[job.id] = before.model_copy(update=changes)
            return True


def _glance(checkpoint: bytes | None) -> tuple[int, float | None]:
    """Generations and loss of a checkpoint's trial; of one that begins, none."""
    try:
        return (0, None) if checkpoint is None else glance(checkpoint)
    except ValueError:  # the trial itself will say so
        return 0, None
