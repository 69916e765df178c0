"""The trials that a plan's studies have so far, by series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from aes_lipi.analysis.reading import Measurements, read_measurements
from aes_lipi.analysis.samples import Sample, generation_samples, rows_of_variants, values_of
from aes_lipi.analysis.studies import REPEATED
from aes_lipi.analysis.units import Unit
from aes_lipi.arrays import Float64
from aes_lipi.config import Variant
from aes_lipi.reproduction.plans import Plan
from aes_lipi.results.description import STUDY_FILE
from aes_lipi.results.object_storage import open_storage

MEASURE = "mean_L1"
UNIT: Unit = "trial_mean"
CAPACITY = "mean_capacity"


@dataclass(frozen=True)
class Evidence:
    """What was measured of a plan's variants; the trial is the unit, its mean over cells.

    Attributes:
        plan: what was to be run.
        last: values of `mean_L1` in the last generation, by variant id; none of variants that were
            not tried.
        rows: `mean_L1` of each trial and generation, by variant id.
        trials: the row of each trial, by variant id.
        failed: number of failed trials, by variant id.
        skipped: lines that say which trials were passed over, and why.
    """

    plan: Plan
    last: Mapping[str, Sample]
    rows: Mapping[str, pd.DataFrame]
    trials: Mapping[str, pd.DataFrame]
    failed: Mapping[str, int]
    skipped: tuple[str, ...]

    def sample(self, variant: Variant, label: str) -> Sample:
        """A variant's values in the last generation, under a name; maybe none."""
        none = Sample(variant.id, label, np.empty(0), np.empty(0, dtype=np.int64))
        return replace(self.last.get(variant.id, none), label=label)

    def values(self, variant: Variant, generation: int) -> Float64:
        """A variant's values in a generation, shape (trials,); maybe none."""
        rows = self.rows.get(variant.id)
        if rows is None:
            return np.empty(0)
        found = values_of(rows[rows["generation"] == generation], MEASURE)
        return found[np.isfinite(found)]

    def capacity(self, variant: Variant) -> float:
        """The mean over trials of the share of parameters that are not zero at the end."""
        trials = self.trials.get(variant.id)
        if trials is None or not len(trials):
            return float("nan")
        return float(values_of(trials, CAPACITY).mean())


def read_results(plan: Plan) -> Measurements | None:
    """Read once what the plan's studies have so far.

    Returns:
        None if none of the studies was begun.

    Raises:
        UserError: results cannot be read.
    """
    locations = [each.location for each in plan.studies]
    begun = [each for each in locations if open_storage(each).read(STUDY_FILE, 1) is not None]
    if not begun:
        return None
    return read_measurements(begun, [MEASURE], units=[UNIT])


def gather(plan: Plan, data: Measurements | None) -> Evidence:
    """Put in order what was measured.

    Args:
        plan: what was to be run.
        data: of its studies, from `read_results`.

    Raises:
        UserError: the data are without `mean_L1` or its mean over cells.
    """
    if data is None:
        return Evidence(plan, {}, {}, {}, {}, ())
    return Evidence(
        plan=plan,
        last={each.variant: each for each in generation_samples(data, MEASURE, UNIT)},
        rows=rows_of_variants(data.units[UNIT], data.labels),
        trials=rows_of_variants(data.trials, data.labels),
        failed=Counter(data.failures["variant"]),
        skipped=tuple(line for line in data.skipped if REPEATED not in line),
    )
