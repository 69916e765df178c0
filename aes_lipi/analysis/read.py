"""The committed trials of one or several studies, and the values of theirs that tests compare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np
import pandas as pd

from aes_lipi.analysis.measures import MEASURES, UNITS, AnalysisUnit, TrialRows, check_measures
from aes_lipi.analysis.studies import Wanted, read_studies, variant_labels
from aes_lipi.arrays import Float64, Int64
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.results.trial_files import TrialId


@dataclass(frozen=True)
class Measurements:
    """The committed trials of one or several studies.

    Attributes:
        labels: of the variants that were tried, by id: what tables and figures call them, in the
            order of the directories and of their studies.
        trials: one row per trial: `directory`, `variant`, `trial`, all settings and results, and
            the sizes of the best pair (`network_size`, `encoder_size`, `decoder_size`).
        failures: one row per failed trial, `directory`, `variant` and `trial` among its columns.
        units: by unit (see `aes_lipi.analysis.measures`) a table with the columns `variant`
            (categories in the order of the labels), `trial`, `generation`, `cell` and the measures,
            float64, NaN where not measured.
        measures: their names.
        best_by: the measure whose lowest value makes a cell the best of its trial.
        skipped: lines that say which trials were passed over, and why.
    """

    labels: Mapping[str, str]
    trials: pd.DataFrame
    failures: pd.DataFrame
    units: Mapping[AnalysisUnit, pd.DataFrame]
    measures: tuple[str, ...]
    best_by: str
    skipped: tuple[str, ...]

    def of_unit(self, unit: str, measures: Iterable[str]) -> pd.DataFrame:
        """The table of a unit, if it and the measures were read.

        Raises:
            UserError: the measure was not read; name it to `read_measurements`.
        """
        known = _check_unit(unit)
        if known not in self.units:
            raise UserError(f"{known}: was not read; name it among the units to read")
        for name in measures:
            if name not in self.measures:
                close = nearest(name, self.measures)
                raise UserError(f"{printable(name)}: not among the measures that were read{close}")
        return self.units[known]

    def check_column(self, column: str) -> None:
        """Refuse what is no column of numbers.

        Raises:
            UserError: the trials have no numeric column of that name; names like it are told.
        """
        numeric = self.trials.select_dtypes("number").columns
        if column not in numeric:
            close = nearest(column, numeric)
            raise UserError(f"{printable(column)}: no numeric column of the trials{close}")


def read_measurements(
    locations: str | Path | Sequence[str | Path],
    measures: Iterable[str] = MEASURES,
    units: Iterable[AnalysisUnit] = ("trial_mean", "trial_best"),
    best_by: str = "mean_L1",
) -> Measurements:
    """Read the committed trials of one or several studies.

    Only committed trials are read, and only if their files are what was committed, bit for bit. A
    trial that several directories hold (the same settings, the same number) counts once, as the
    first of them has it.

    Args:
        locations: an output folder of a study, its address (as in `s3://bucket/results`), or
            several.
        measures: numeric columns of `generations`, or `network_size`, `encoder_size` and
            `decoder_size`: parameters that are not zero. None of the other columns is unpacked.
        units: `trial_mean`, `trial_best`, `pooled_cells`; each takes its memory, and with none
            `generations` is not read. `pooled_cells` keeps every row.
        best_by: the measure whose lowest value makes a cell the best of its trial, generation by
            generation.

    Raises:
        UserError: a place holds no study (give its --output_dir), refuses to be read, or there is
            no such measure or unit; those there are are told.
    """
    each = [locations] if isinstance(locations, str | Path) else list(locations)
    if not each:
        raise UserError("no directory to analyse; give the --output_dir of a study")
    wanted = Wanted(check_measures(measures), _check_units(units), *check_measures([best_by]))
    studies = read_studies(each, wanted)
    trials = pd.concat([study.trials for study in studies], ignore_index=True)
    failures = pd.concat([study.failures for study in studies], ignore_index=True)
    order = dict.fromkeys(variant for study in studies for variant in study.order)
    named = ["variant", "variant_name", "study"]
    labels = variant_labels(order, pd.concat([trials[named], failures[named]]))
    rows = [(trial, found) for study in studies for trial, found in study.rows.items()]
    return Measurements(
        labels=MappingProxyType(labels),
        trials=trials,
        failures=failures,
        units=MappingProxyType(
            {
                unit: rows_frame(
                    [(trial, found[unit]) for trial, found in rows], labels, wanted.measures
                )
                for unit in wanted.units
            }
        ),
        measures=wanted.measures,
        best_by=wanted.best_by,
        skipped=tuple(f"{study.directory}: {line}" for study in studies for line in study.skipped),
    )


def _check_units(units: Iterable[AnalysisUnit]) -> tuple[AnalysisUnit, ...]:
    wanted = tuple(dict.fromkeys(units))
    for unit in wanted:
        _check_unit(unit)
    return wanted


def _check_unit(unit: str) -> AnalysisUnit:
    """The unit of a name.

    Raises:
        UserError: the unit is unknown; give one of `UNITS`.
    """
    if unit not in UNITS:
        raise UserError(f"{unit}: no such unit of analysis; choose {', '.join(UNITS)}")
    return cast(AnalysisUnit, unit)


def rows_frame(
    rows: Sequence[tuple[TrialId, TrialRows]], labels: Mapping[str, str], measures: Iterable[str]
) -> pd.DataFrame:
    """A table of what was read of trials.

    Args:
        rows: the trials, in the order wanted.
        labels: of their variants, by id.
        measures: which to have.

    Returns:
        the columns `variant` (categories in the order of the labels), `trial`, `generation`,
        `cell` and the measures.
    """
    lengths = [len(each.generation) for _, each in rows]
    codes = {variant: code for code, variant in enumerate(labels)}
    variants = np.repeat([codes[trial.variant] for trial, _ in rows], lengths)
    ids = pd.Index(list(labels), dtype="str")
    columns = {
        "variant": pd.Categorical.from_codes(variants.astype(np.int64), ids),
        "trial": np.repeat([trial.trial for trial, _ in rows], lengths).astype(np.int64),
        "generation": _joined([each.generation for _, each in rows], np.int64),
        "cell": _joined([each.cell for _, each in rows], np.int64),
    }
    for name in measures:
        columns[name] = _joined([each.measures[name] for _, each in rows], np.float64)
    return pd.DataFrame(columns, copy=False)


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


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
    unit: AnalysisUnit = "trial_mean",
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
        UserError: the unit or the measure was not read (name it to `read_measurements`), or no
            variant was measured in that generation; those in which one was are told.
    """
    table = data.of_unit(unit, [measure])
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
        UserError: the trials have no numeric column of that name; names like it are told.
    """
    data.check_column(column)
    return tuple(
        _sample(data, variant, rows, column, paired=True)
        for variant, rows in rows_of_variants(data.trials, data.labels).items()
    )


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
