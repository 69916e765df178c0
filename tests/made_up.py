"""Studies whose measures are given: for what is known about them beforehand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from aes_lipi.analysis.tables import Sample
from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.results.schema import settings_row
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialFiles, TrialId, trial_files

Float64 = npt.NDArray[np.float64]

ARCHITECTURE = "7-4-3-4-7"
N_PARAMETERS = (7 * 4 + 4) + (4 * 3 + 3) + (3 * 4 + 4) + (4 * 7 + 7)
N_DECODER = (3 * 4 + 4) + (4 * 7 + 7)


def made_up_study(methods: Sequence[str], trials: int, **settings: Any) -> Study:
    """A variant for each of some pruning operators."""
    return resolve_study(
        "made up",
        StudyFile(trials=trials, settings={"prune_method": list(methods), **settings}),
        {},
    )


def made_up_trial(
    study: Study, variant: Variant, trial: int, losses: Any, **columns: Any
) -> TrialFiles:
    """A trial's files.

    Args:
        study: the trial's.
        variant: the trial's.
        trial: its number.
        losses: `mean_L1`, shape (generations, cells); NaN is written as missing.
        columns: of the table of generations, of the same shape.
    """
    values = {"mean_L1": losses, **columns}
    known = {name: np.asarray(each, dtype=np.float64) for name, each in values.items()}
    named = {"variant_name": study.label(variant), "trial": trial}
    rows = [
        {**named, "generation": t, "cell": cell}
        | {name: None if np.isnan(each[t, cell]) else each[t, cell] for name, each in known.items()}
        for t, cell in np.ndindex(known["mean_L1"].shape)
    ]
    row = {
        **settings_row(variant),
        **named,
        **{"study": study.name, "architecture": ARCHITECTURE, "n_parameters": N_PARAMETERS},
        **{"n_zero_encoder": 5, "n_zero_decoder": 6, "wall_time_s": 2.0 + trial},
        **{"mean_L1": float(known["mean_L1"][-1].mean()), "capacity": 0.9},
    }
    return trial_files(row, rows, model=b"made up")


def commit_made_up(
    location: str | Path, study: Study, values: Mapping[str, Sequence[Any]], **columns: Any
) -> None:
    """Commit trials with the `mean_L1` given: by operator, of each trial (generations, cells).

    The values of None are left for failures.
    """
    store = ResultStore(location)
    with store.locked():
        store.open(study)
        for variant in study.variants:
            for trial, value in enumerate(values.get(variant.prune_method, [])):
                where = TrialId(variant.id, trial)
                if value is None:
                    store.record_failure(where, failure_of(study, variant, trial))
                else:
                    store.commit(where, made_up_trial(study, variant, trial, value, **columns))


def failure_of(study: Study, variant: Variant, trial: int) -> dict[str, Any]:
    return {
        **settings_row(variant),
        **{"study": study.name, "variant_name": study.label(variant), "trial": trial},
        **{"error": "ValueError: made up", "traceback": ""},
    }


def sample(variant: str, values: Any, seed: int | None = None) -> Sample:
    """Of trials numbered from 0."""
    known = np.asarray(values, dtype=np.float64)
    return Sample(variant, variant, known, np.arange(len(known)), seed)
