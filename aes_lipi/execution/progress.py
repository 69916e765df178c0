"""How far a study is and how long it will take, read from its state; and `progress.json`."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from aes_lipi.errors import UserError
from aes_lipi.execution.study import StudyState, TrialProgress
from aes_lipi.results.progress import Progress, RunningTrial
from aes_lipi.results.store import ResultStore

SETTLED_AFTER_S = 2.0  # before that, a speed would be a guess
LOOK_INTERVAL_S = 1.0
WRITE_INTERVAL_S = 5.0


def generations_left(state: StudyState) -> int:
    """Generations of all trials that are still to be done."""
    return sum(each.epochs - each.done for each in tuple(state.trials.values()))


def generations_per_second(state: StudyState, now: float) -> float | None:
    """Generations a second that this run has done; None as long as nobody can know."""
    elapsed = 0.0 if state.first_news is None else now - state.first_news
    here = sum(each.done - each.before for each in tuple(state.trials.values()))
    return None if elapsed < SETTLED_AFTER_S or here <= 0 else here / elapsed


def progress_of(state: StudyState, claim: str, now: float) -> Progress:
    """What `progress.json` says of a study, under the token of its driver's claim."""
    return Progress(
        claim=claim,
        generations_per_second=generations_per_second(state, now),
        generations_left=generations_left(state),
        running=tuple(_running(state.trials[trial]) for trial in tuple(state.under_way)),
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
def published(store: ResultStore, claim: str, state: StudyState) -> Iterator[None]:
    """Keep a study's `progress.json` while a block runs.

    What cannot be written is left out: no study ends for that.

    Args:
        store: the study's folder.
        claim: token of the driver's claim on it.
        state: of the study; whoever changes it need not know of this.
    """
    ended = threading.Event()
    arguments = (store, claim, state, ended)
    publisher = threading.Thread(target=_publish, args=arguments, name="progress", daemon=True)
    publisher.start()
    try:
        yield
    finally:
        ended.set()
        publisher.join()
        with suppress(UserError):  # nobody believes it once its driver is gone
            store.remove_progress()


def _publish(store: ResultStore, claim: str, state: StudyState, ended: threading.Event) -> None:
    """Write what has changed now and then, until the end."""
    known, written = progress_of(state, claim, time.monotonic()), float("-inf")
    while not ended.wait(LOOK_INTERVAL_S):
        now = time.monotonic()
        progress = progress_of(state, claim, now)
        if progress == known or now - written < WRITE_INTERVAL_S:
            continue
        known, written = progress, now
        with suppress(UserError):  # the next one may get through
            store.write_progress(progress)
