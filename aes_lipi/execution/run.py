"""A study is run: what is missing of it is computed, and committed trial by trial.

Meanwhile `progress.json` says how far it is.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from aes_lipi.coevolution.schedule import runs_freely
from aes_lipi.config import WHOLE, Study, StudyPart, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import data_read, with_digests
from aes_lipi.execution.messages import Job, Remarked, jobs_of
from aes_lipi.execution.study import StudyState, TrialProgress
from aes_lipi.execution.study_run import StudyRun, Watch
from aes_lipi.results.description import Progress, Remark, RunningTrial
from aes_lipi.results.inventory import (
    Inventory,
    models_line,
    skipped_lines,
    with_damaged_models,
)
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.replay import called_end, load_reads
from aes_lipi.results.storage import Storage
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_tables import index_all

_LOOK_INTERVAL_S = 1.0
WRITE_INTERVAL_S = 5.0
_LONGEST_REMARK = 500  # characters
_INDEXED, _INDEXED_SHARE = 64, 20
"""Trials, at least, and the part of all of them that the index may lack."""


class Runner(Protocol):
    """Runs trials, somewhere."""

    def check(self, variants: Sequence[Variant]) -> None:
        """Find out, before anything is computed or written, whether variants can be run.

        Raises:
            UserError: a variant needs what is not here; the message says what to change.
        """
        ...

    def run(self, jobs: Sequence[Job], study: StudyRun) -> None:
        """Run trials until each has ended.

        Args:
            jobs: the trials.
            study: is told what happens, and tells what to do.

        Raises:
            UserError: no trial can go on; the message says what to mend.
            KeyboardInterrupt: the process is to stop, and its trials are written down.
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


@dataclass(frozen=True)
class _Stock:
    """What there is to do of a study, and how much is done.

    Attributes:
        todo: trials to run.
        committed: trials whose results are there.
        failed: trials that failed before and are not to be run again.
    """

    todo: list[Job]
    committed: int
    failed: int


def run_study(
    study: Study,
    directory: str | Path,
    runner: Runner,
    watch: Watch | None = None,
    *,
    retry_failed: bool = False,
    restore_models: bool = False,
    replay: str | Path | None = None,
    fresh: bool = False,
    part: StudyPart = WHOLE,
) -> Summary:
    """Run what is missing of a study.

    Args:
        study: what to run.
        directory: output folder, or an address as in `s3://bucket/results`; made if need be.
        runner: where its trials run.
        watch: is told of all that happens.
        retry_failed: also run trials that failed before.
        restore_models: also run trials whose model is missing or damaged, to make it again; an
            asynchronous one repeats what its cells read.
        replay: output folder of the same study, run before with asynchronous updates; its cells'
            reads are repeated, so that the results are the same.
        fresh: remove the results that the folder holds, and start again.
        part: what is run of the study; the folder is that of the whole.

    Raises:
        UserError: the folder holds another study (choose another, or `fresh`) or is in use by
            another driver, the data are unfit, or results cannot be written.
    """
    study = with_digests(study)
    jobs = jobs_of(study)
    if not part.is_whole:
        ids = {variant.id for variant in part.variants(study)}
        trials = set(part.trials(study))
        jobs = [job for job in jobs if job.id.variant in ids and job.trial in trials]
    if replay is not None:
        jobs = [_replaying(job, replay) for job in jobs]
    store = ResultStore(directory)
    if store.holds(study, fresh):
        inventory = store.inventory()
        stock = _stock(jobs, inventory, retry_failed, store if restore_models else None)
        if not stock.todo:
            run = StudyRun(store, stock.todo, stock.committed, watch)
            for line in models_line(inventory.without_model):
                run.tell(Remarked(line))
            return _summary(run, stock)
    runner.check(study.variants)
    with store.locked() as held:
        if fresh:
            store.holds(study, fresh)
            known, stock = None, _Stock(jobs, 0, 0)
        else:
            store.open(study)
            known = store.inventory()
            stock = _stock(jobs, known, retry_failed, store if restore_models else None)
            store.drop_checkpoints(known.committed.keys() - {job.id for job in stock.todo})
        emptied = partial(store.open, study, fresh=True) if fresh else None
        run = StudyRun(store, stock.todo, stock.committed, watch, emptied)
        read = data_read(study.variants) if stock.todo else []
        for line in (*read, *_remarks(held.stale, known, restore_models)):
            run.tell(Remarked(line))
        if stock.todo:
            with published(store, held.lock.token, run.state):
                runner.run(stock.todo, run)
    return _summary(run, stock)


def _summary(run: StudyRun, stock: _Stock) -> Summary:
    return Summary(run.state.committed, stock.failed + run.state.failed)


def _stock(
    jobs: Sequence[Job], inventory: Inventory, retry_failed: bool, restored: ResultStore | None
) -> _Stock:
    """What there is to do; of a folder whose models are to be restored, these, too."""
    ours = {job.id for job in jobs}
    committed = ours & inventory.committed.keys()
    if restored is not None:
        marked = {trial: inventory.committed[trial] for trial in sorted(committed)}
        lost = with_damaged_models(restored.storage, marked)
        jobs = [_made_again(job, restored) if job.id in lost else job for job in jobs]
        committed -= lost
    failed = set() if retry_failed else ours & inventory.failed - committed
    settled = committed | failed
    todo = [job for job in jobs if job.id not in settled]
    return _Stock(todo, len(committed), len(failed))


def _made_again(job: Job, store: ResultStore) -> Job:
    """A committed trial, to be run as it was.

    Raises:
        UserError: its tables do not hold what it read, or where it ended.
    """
    if job.replay is not None:
        return job
    if runs_freely(job.variant):
        return _repeating(job, store.storage)
    return replace(job, ends_at=called_end(store.storage, job.id))


def _repeating(job: Job, storage: Storage) -> Job:
    """An asynchronous trial, made to read what it read before, in as many generations."""
    reads = load_reads(storage, job.id, job.variant)
    return replace(job, replay=reads, ends_at=len(reads))


def _remarks(stale: Sequence[str], inventory: Inventory | None, restored: bool) -> list[str]:
    """What a user should know of the folder before the study goes on in it."""
    remarks = [f"took over from {whose}, which is gone" for whose in stale]
    if inventory is None:
        return remarks
    remarks += [f"{line}; to be run again" for line in skipped_lines(inventory.skipped)]
    return remarks + ([] if restored else list(models_line(inventory.without_model)))


def _replaying(job: Job, directory: str | Path) -> Job:
    """The same trial, made to read what it read in an earlier run.

    Raises:
        UserError: the run to repeat does not hold the trial, or was not asynchronous; give one
            that was.
    """
    if not runs_freely(job.variant):
        raise UserError(
            f"--replay: {job.label} ({job.variant.cell_evaluation}, {job.variant.update_order}) "
            "has the same bits in every run; only asynchronous trials are replayed"
        )
    return _repeating(job, open_storage(directory))


def progress_of(state: StudyState, lock: str, now: float, since: float = 0.0) -> Progress:
    """What `progress.json` says of a study.

    Args:
        state: of the study.
        lock: token of its driver's lock.
        now: seconds of the clock of `StudyState.handle`.
        since: when that clock stood at 0, in seconds since 1970.
    """
    nodes, cpus = state.cluster or (None, None)
    return Progress(
        lock=lock,
        generations_per_second=state.generations_per_second(now),
        generations_left=state.generations_left,
        running=tuple(_running(state.trials[trial]) for trial in tuple(state.under_way)),
        nodes=nodes,
        cpus=cpus,
        remarks=tuple(
            Remark(at=int(since + at), text=text[:_LONGEST_REMARK])
            for at, text in state.remarks.copy()
        ),
    )


def _running(trial: TrialProgress) -> RunningTrial:
    return RunningTrial(
        variant=trial.id.variant,
        label=trial.label,
        trial=trial.id.trial,
        generations=trial.generations,
        epochs=trial.epochs,
        mean_L1=trial.mean_L1,
    )


@contextmanager
def published(store: ResultStore, lock: str, state: StudyState) -> Iterator[None]:
    """Keep a study's `progress.json` while a block runs.

    What cannot be written is left out: no study ends for that.

    Args:
        store: the study's folder.
        lock: token of the driver's lock on it.
        state: of the study; whoever changes it need not know of this.
    """
    ended = threading.Event()
    arguments = (store, lock, state, ended)
    publisher = threading.Thread(target=_publish, args=arguments, name="progress", daemon=True)
    publisher.start()
    try:
        yield
    finally:
        ended.set()
        publisher.join()
        with suppress(UserError):  # nobody believes it once its driver is gone
            store.remove_progress()


def _publish(store: ResultStore, lock: str, state: StudyState, ended: threading.Event) -> None:
    """Write what has changed now and then, and keep the index up, until the end."""
    since = time.time() - time.monotonic()
    known, written = progress_of(state, lock, time.monotonic(), since), float("-inf")
    indexed = state.committed
    while not ended.wait(_LOOK_INTERVAL_S):
        if state.committed - indexed >= max(_INDEXED, indexed // _INDEXED_SHARE):
            indexed = state.committed
            with suppress(UserError):  # the next reader does it
                index_all(store.storage, ended.is_set)
        now = time.monotonic()
        progress = progress_of(state, lock, now, since)
        if progress == known or now - written < WRITE_INTERVAL_S:
            continue
        known, written = progress, now
        with suppress(UserError):  # the next one may get through
            store.write_progress(progress)
