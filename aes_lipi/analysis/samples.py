"""The values that tests compare: one per unit of analysis, by variant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from aes_lipi.analysis.reading import Measurements, check_unit
from aes_lipi.analysis.units import Unit
from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError, nearest, printable

_SHOWN = 8


@dataclass(frozen=True)
class Sample:
    """A variant's values of one measure.

    Attributes:
        variant: its id.
        label: what tables call it.
        values: float64, shape (n,), finite.
        trials: int64, shape (n,): which trial each is of.
        seed: of the study; trials of the same number and seed share their random draws, whatever
            their variant. None if trials are not to be paired.
    """

    variant: str
    label: str
    values: Float64
    trials: Int64
    seed: int | None = None

    def of_trials(self, trials: Int64) -> Float64:
        """The values of some of its trials, in their order."""
        places = {int(trial): place for place, trial in enumerate(self.trials)}
        return self.values[[places[int(trial)] for trial in trials]]


def generation_samples(
    data: Measurements,
    measure: str = "mean_L1",
    unit: Unit = "trial_mean",
    generation: int | None = None,
) -> tuple[Sample, ...]:
    """Each variant's values in one generation.

    Args:
        data: of one or several studies.
        measure: which.
        unit: what counts as one observation; pooled cells are never paired.
        generation: which; by default the last of each variant.

    Returns:
        in the order of the labels, variants without values among them; values that are not finite
        are left out.

    Raises:
        UserError: the unit or the measure was not read, or no variant was measured in that
            generation.
    """
    table = unit_table(data, unit, [measure])
    if generation is not None:
        _check_generation(table, measure, generation)
    samples = []
    for variant, rows in rows_of_variants(table, data.labels).items():
        wanted = rows["generation"].max() if generation is None else generation
        chosen = rows[rows["generation"] == wanted]
        samples.append(_sample(data, variant, chosen, measure, unit != "pooled_cells"))
    return tuple(samples)


def trial_samples(data: Measurements, column: str) -> tuple[Sample, ...]:
    """Each variant's values of a column of the table of trials.

    Args:
        data: of one or several studies.
        column: a numeric one, such as `test_L1` or `wall_time_s`.

    Returns:
        as `generation_samples`.

    Raises:
        UserError: there is no such column of numbers.
    """
    check_numeric(data.trials, column)
    return tuple(
        _sample(data, variant, rows, column, paired=True)
        for variant, rows in rows_of_variants(data.trials, data.labels).items()
    )


def unit_table(data: Measurements, unit: str, measures: Iterable[str]) -> pd.DataFrame:
    """The table of a unit, if it and the measures were read.

    Raises:
        UserError: they were not.
    """
    known = check_unit(unit)
    if known not in data.units:
        raise UserError(f"{known}: was not read; name it among the units to read")
    for name in measures:
        if name not in data.measures:
            close = nearest(name, data.measures)
            raise UserError(f"{printable(name)}: not among the measures that were read{close}")
    return data.units[known]


def check_numeric(trials: pd.DataFrame, column: str) -> None:
    """Refuse what is no column of numbers.

    Raises:
        UserError: there is none of the name.
    """
    numeric = trials.select_dtypes("number").columns
    if column not in numeric:
        close = nearest(column, numeric)
        raise UserError(f"{printable(column)}: no numeric column of the trials{close}")


def rows_of_variants(table: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """The rows of each of the variants, none of some, in the order of the labels."""
    places = table.groupby("variant", sort=False, observed=True).indices
    none = np.empty(0, dtype=np.int64)
    return {variant: table.iloc[places.get(variant, none)] for variant in labels}


def values_of(rows: pd.DataFrame, measure: str) -> Float64:
    """A column as float64, NaN where there is no value."""
    return rows[measure].to_numpy(dtype=np.float64, na_value=np.nan)


def _check_generation(table: pd.DataFrame, measure: str, generation: int) -> None:
    measured = np.unique(table["generation"].to_numpy()[table[measure].notna().to_numpy()])
    if generation in measured:
        return
    shown = ", ".join(map(str, measured[:_SHOWN])) + (", ..." if len(measured) > _SHOWN else "")
    raise UserError(
        f"generation {generation}: {measure} was not measured there; it was in {shown or 'none'}"
    )


def _sample(
    data: Measurements, variant: str, rows: pd.DataFrame, measure: str, paired: bool
) -> Sample:
    values = values_of(rows, measure)
    known = np.isfinite(values)
    return Sample(
        variant=variant,
        label=data.labels[variant],
        values=values[known],
        trials=rows["trial"].to_numpy(dtype=np.int64)[known],
        seed=_seed(data.trials, variant) if paired else None,
    )


def _seed(trials: pd.DataFrame, variant: str) -> int | None:
    seeds = trials.loc[trials["variant"] == variant, "rng_seed"].dropna().unique()
    return int(seeds[0]) if len(seeds) == 1 else None
