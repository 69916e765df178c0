"""Trials that need no training: their files are made up, the same ones every time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.results.schema import settings_row
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialFiles, TrialId, trial_files


def prepared_study(trials: int = 2, **settings: Any) -> Study:
    """A study of one variant, unless a setting is swept."""
    return resolve_study("prepared", StudyFile(trials=trials, settings=settings), {})


def trial_ids(study: Study) -> list[TrialId]:
    return [
        TrialId(variant.id, trial) for variant in study.variants for trial in range(study.trials)
    ]


def prepared_files(trial: TrialId, run: int = 0) -> TrialFiles:
    """Of a trial, as computed by one of several runs: they differ in their timing columns."""
    generations = [
        {
            "variant_name": "one",
            "generation": generation,
            "cell": cell,
            "trial": trial.trial,
        }
        for generation in range(20)
        for cell in range(5)
    ]
    started_at = datetime(2025, 1, 1 + run, tzinfo=UTC)
    row = _identity(trial) | {"mean_L1": 0.5, "wall_time_s": 10.0**run, "started_at": started_at}
    return trial_files(row, generations, model=f"model of {trial}".encode() * 100)


def prepared_checkpoint(generations: int) -> bytes:
    """Of any trial: the folder does not look into it."""
    return f"checkpoint at {generations}\n".encode() * 500


def prepared_failure(trial: TrialId) -> dict[str, Any]:
    return _identity(trial) | {"error": "ValueError: made up", "traceback": ""}


def run_prepared(study: Study, location: str | Path, run: int = 0) -> list[TrialId]:
    """Commit what is missing of a study, as a driver does; say what that was."""
    store = ResultStore(location)
    with store.locked():
        store.open(study)
        done = store.inventory().committed
        missing = [trial for trial in trial_ids(study) if trial not in done]
        for trial in missing:
            store.commit(trial, prepared_files(trial, run))
    return missing


def _identity(trial: TrialId) -> dict[str, Any]:
    settings = settings_row(Variant())
    return {**settings, "study": "prepared", "variant_name": "one", "trial": trial.trial}
