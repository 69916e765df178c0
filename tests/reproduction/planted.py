"""Reproductions whose losses are given: for what is known about them beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from made_up import failure_of, made_up_trial

from aes_lipi.analysis.tables import Sample
from aes_lipi.config import Study, Variant
from aes_lipi.reproduction.evidence import PlanResults
from aes_lipi.reproduction.plan import PlannedStudy, ReproductionPlan, quick_plan
from aes_lipi.reproduction.published import TrialLoss, load_published
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialFiles, TrialId

Float64 = npt.NDArray[np.float64]

Losses = Mapping[tuple[str, str], Sequence[float | None] | Float64]
"""By figure or control and series, of every trial: its loss at the end, or None if it failed."""

CELLS = np.array([-0.01, 0.01])  # of each trial, around its mean
QUICK_PLAN = quick_plan(
    Path("nowhere"), [each for each in load_published().names if each != "schedules_lexicase"]
)


def around(mean: float, trials: int, seed: int = 1) -> Float64:
    """Losses of trials that spread by 0.01 around their mean, no two differences alike."""
    offsets = np.random.default_rng(seed).uniform(-0.005, 0.005, trials)
    losses: Float64 = mean + offsets - (offsets.mean() if trials else 0)
    return losses


def results_of(losses: Losses, plan: ReproductionPlan = QUICK_PLAN) -> PlanResults:
    """What was measured in the last generation, as if it had been read."""
    samples = {}
    for (name, series), values in losses.items():
        variant, known = plan.variants[name][series].id, np.array(values, dtype=np.float64)
        samples[variant] = Sample(variant, series, known, np.arange(len(known)), seed=1)
    last: dict[TrialLoss, dict[str, Sample]] = {"mean of cells": samples, "answer": samples}
    return PlanResults(plan, last, {}, {}, {}, {}, ())


def commit_losses(plan: ReproductionPlan, losses: Losses) -> None:
    """Commit trials of a plan's studies; those with nothing to commit are not begun."""
    wanted = {plan.variants[name][series].id: each for (name, series), each in losses.items()}
    for planned in plan.studies:
        if wanted.keys() & {variant.id for variant in planned.study.variants}:
            _commit(planned, wanted)


def _commit(planned: PlannedStudy, wanted: Mapping[str, Sequence[float | None] | Float64]) -> None:
    study = planned.study
    store = ResultStore(planned.location)
    with store.locked():
        store.open(study)
        for variant in study.variants:
            for trial, loss in enumerate(wanted.get(variant.id, ())):
                where = TrialId(variant.id, trial)
                if loss is None:
                    store.record_failure(where, failure_of(study, variant, trial))
                else:
                    store.commit(where, _trial(study, variant, trial, loss))


def _trial(study: Study, variant: Variant, trial: int, loss: float) -> TrialFiles:
    """Two cells that fall from 0.5, measured as often as the settings say."""
    values = np.full((variant.epochs, len(CELLS)), np.nan)
    for generation in _recorded(variant):
        share = generation / (variant.epochs - 1)
        values[generation] = 0.5 + share * (loss - 0.5) + CELLS
    return made_up_trial(study, variant, trial, values)


def _recorded(variant: Variant) -> Iterator[int]:
    yield from range(0, variant.epochs - 1, variant.record_interval)
    yield variant.epochs - 1
