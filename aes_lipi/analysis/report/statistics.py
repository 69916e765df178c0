"""All tables and tests of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from aes_lipi.analysis.comparisons import Comparisons, compare
from aes_lipi.analysis.reading import Measurements
from aes_lipi.analysis.samples import generation_samples, trial_samples
from aes_lipi.analysis.tables import describe_generations, describe_trials
from aes_lipi.analysis.units import Unit

TITLES = {
    "loss": "Loss: L1 on the training rows, mean over cells",
    "test_loss": "Test loss: L1 of the trials' answers on the test rows",
    "capacity": "Capacity left: mean over cells",
}
"""The families of tests, and what they compare; in the last generation all."""


MATRIX = 16
"""Up to how many variants a page shows all pairs; the tables beside it always do."""


@dataclass(frozen=True)
class Statistics:
    """What is said of the trials.

    Attributes:
        by_trial: of `describe_trials`.
        by_generation: by unit, of `describe_generations`.
        families: by name (see `TITLES`) all pairs of variants.
    """

    by_trial: pd.DataFrame
    by_generation: Mapping[Unit, pd.DataFrame]
    families: Mapping[str, Comparisons]


def _resamples(n_variants: int) -> int:
    """Of each interval of an effect size: fewer where there are thousands of pairs."""
    return 2000 if n_variants <= MATRIX else 200


def statistics(data: Measurements, units: Sequence[Unit], alpha: float) -> Statistics:
    """Describe and compare all variants.

    Args:
        data: the measurements.
        units: of the tables by generation.
        alpha: error rate of each family of tests.
    """
    samples = {
        "loss": generation_samples(data, "mean_L1"),
        "test_loss": trial_samples(data, "test_L1"),
        "capacity": generation_samples(data, "capacity"),
    }
    return Statistics(
        by_trial=describe_trials(data),
        by_generation={unit: describe_generations(data, unit) for unit in units},
        families={
            name: compare(each, alpha=alpha, resamples=_resamples(len(each)))
            for name, each in samples.items()
        },
    )
