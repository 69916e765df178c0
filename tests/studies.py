"""Comparing studies, and disturbing them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from aes_lipi.coevolution.cell import Task
from aes_lipi.coevolution.generation import generation
from aes_lipi.config import Study
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.messages import Action, Event, Heard, Placed, Reached, Say, Started, Written
from aes_lipi.execution.run import Summary
from aes_lipi.execution.run import run_study as run_on
from aes_lipi.execution.study import StudyState, TrialProgress
from aes_lipi.execution.study_run import Watch
from aes_lipi.results.index import INDEX
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.reading import load_results
from aes_lipi.results.trial_files import CHECKPOINTS, FOLDERS, TrialId

TIMING_COLUMNS = (
    *("wall_time_s", "cpu_time_s", "pca_cpu_time_s", "started_at", "host", "processor"),
)
"""Columns that say when, where and how long: all that may differ between runs of the same study."""


def run_study(
    study: Study,
    directory: str | Path,
    jobs: int = 1,
    observer: Watch | None = None,
    *,
    retry_failed: bool = False,
    fresh: bool = False,
) -> Summary:
    """Run a study on this machine."""
    return run_on(
        study, directory, LocalRunner(jobs), observer, retry_failed=retry_failed, fresh=fresh
    )


def breaks_in_trial_one(tasks: Sequence[Task]) -> Any:
    """In place of `aes_lipi.coevolution.evolution.generation`: a trial that diverges."""
    if tasks[0].plan.address.trial == 1:
        raise FloatingPointError("training diverged")
    return generation(tasks)


def without_timing(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in TIMING_COLUMNS if name in table])


def assert_same_study(left: str | Path, right: str | Path) -> None:
    """Every non-timing value, every byte of the models and every file's name are the same."""
    ours, theirs = load_results(left), load_results(right)
    assert len(ours.trials) > 0
    assert ours.skipped == theirs.skipped == ()
    for table in ("trials", "generations"):
        pd.testing.assert_frame_equal(
            without_timing(getattr(ours, table)),
            without_timing(getattr(theirs, table)),
            check_exact=True,
        )
    models = contents(left, "models")
    assert len(models) == len(ours.trials)
    assert models == contents(right, "models")
    assert names(left) == names(right)


def contents(location: str | Path, folder: str) -> dict[str, bytes | None]:
    """The files of a folder of a study."""
    storage = open_storage(location)
    return {entry.name: storage.read(entry.name) for entry in storage.files(folder)}


def names(location: str | Path) -> set[str]:
    """All files in a study's folder but the index: results, and what should not be left there."""
    storage = open_storage(location)
    folders = {*FOLDERS, CHECKPOINTS}
    tops = {entry.name for entry in storage.children()} - folders - {INDEX}
    return tops | {entry.name for folder in folders for entry in storage.files(folder)}


class Listener:
    """Hears what happens to a study; those who want to know of something say so."""

    def __call__(
        self, state: StudyState, event: Event, actions: Sequence[Action], now: float
    ) -> None:
        known: dict[TrialId, int] = self.__dict__.setdefault("_known", {})
        match event:
            case Started(trial, generations) if trial not in known:
                known[trial] = generations
                if generations:
                    self.resumed(state.trials[trial], generations)
            case Started(trial, generations) | Heard(trial, Reached(generations)):
                before = known.get(trial, generations)
                known[trial] = generations
                if generations != before:
                    self.advanced(state.trials[trial], generations - before)
            case Written(trial, error):
                self.finished(state.trials[trial], error)
            case Placed(nodes, cpus):
                self.placed(nodes, cpus)
        for action in actions:
            if isinstance(action, Say) and "goes on from its checkpoint" not in action.text:
                self.noticed(action.text)

    def resumed(self, trial: TrialProgress, generations: int) -> None:
        """A trial goes on where an earlier run left it, with so many generations behind it."""

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        """A trial went on by some generations; by less than none if some are to be run again."""

    def finished(self, trial: TrialProgress, error: str | None) -> None:
        """A trial is committed, or failed."""

    def noticed(self, text: str) -> None:
        """The user was told something."""

    def placed(self, nodes: int, cpus: float) -> None:
        """The study runs on so many nodes with so many processors."""


class Killer(Listener):
    """An observer that kills a worker whenever it hears of one, some times."""

    def __init__(self, kills: int) -> None:
        self.kills = kills
        self._killed: set[int] = set()

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        living = {worker.pid for worker in multiprocessing.active_children() if worker.pid}
        if self.kills > 0 and living - self._killed:
            self.kills -= 1
            victim = min(living - self._killed)
            self._killed.add(victim)
            os.kill(victim, signal.SIGKILL)
