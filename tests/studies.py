"""Comparing studies, and disturbing them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pandas as pd

from aes_lipi.config import Study
from aes_lipi.execution.jobs import Job
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.study import Observer, SilentObserver, Summary
from aes_lipi.execution.study import run_study as run_on
from aes_lipi.results.reading import load_results
from aes_lipi.results.schema import TIMING_COLUMNS


def run_study(
    study: Study,
    directory: Path,
    jobs: int = 1,
    observer: Observer | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Run a study on this machine."""
    return run_on(study, directory, LocalRunner(jobs), observer, retry_failed=retry_failed)


def without_timing(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in TIMING_COLUMNS if name in table])


def assert_same_study(left: Path, right: Path) -> None:
    """Every non-timing value and every byte of the models are the same."""
    ours, theirs = load_results(left), load_results(right)
    assert len(ours.trials) > 0
    for table in ("trials", "generations"):
        pd.testing.assert_frame_equal(
            without_timing(getattr(ours, table)),
            without_timing(getattr(theirs, table)),
            check_exact=True,
        )
    models = sorted(path.relative_to(left) for path in left.glob("models/*/*"))
    assert len(models) == len(ours.trials)
    for path in models:
        assert (left / path).read_bytes() == (right / path).read_bytes()


class Killer(SilentObserver):
    """An observer that kills a worker whenever it hears of one, some times."""

    def __init__(self, kills: int) -> None:
        self.kills = kills

    def advanced(self, job: Job, generations: int) -> None:
        if self.kills > 0:
            self.kills -= 1
            os.kill(_a_child(), signal.SIGKILL)


def _a_child() -> int:
    """A spawned worker of this process."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if parent == os.getpid() and b"spawn_main" in command:
            return int(entry.name)
    raise AssertionError("no worker is running")
