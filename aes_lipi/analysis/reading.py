"""The committed trials of one or several studies, reduced to what an analysis needs of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np
import pandas as pd

from aes_lipi.analysis.labels import variant_labels
from aes_lipi.analysis.measures import MEASURES, check_measures
from aes_lipi.analysis.studies import Wanted, read_study, without_repetitions
from aes_lipi.analysis.units import UNITS, Rows, Unit
from aes_lipi.errors import UserError
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
        units: by unit (see `aes_lipi.analysis.units`) a table with the columns `variant`
            (categories in the order of the labels), `trial`, `generation`, `cell` and the measures,
            float64, NaN where not measured.
        measures: their names.
        best_by: the measure whose lowest value makes a cell the best of its trial.
        skipped: lines that say which trials were passed over, and why.
    """

    labels: Mapping[str, str]
    trials: pd.DataFrame
    failures: pd.DataFrame
    units: Mapping[Unit, pd.DataFrame]
    measures: tuple[str, ...]
    best_by: str
    skipped: tuple[str, ...]


def read_measurements(
    locations: str | Path | Sequence[str | Path],
    measures: Iterable[str] = MEASURES,
    units: Iterable[Unit] = ("trial_mean", "trial_best"),
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
        UserError: there is no study, it cannot be read, or a measure or unit is not known.
    """
    each = [locations] if isinstance(locations, str | Path) else list(locations)
    if not each:
        raise UserError("no directory to analyse; give the --output_dir of a study")
    wanted = Wanted(check_measures(measures), _check_units(units), *check_measures([best_by]))
    studies = without_repetitions([read_study(location, wanted) for location in each])
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


def _check_units(units: Iterable[Unit]) -> tuple[Unit, ...]:
    wanted = tuple(dict.fromkeys(units))
    for unit in wanted:
        check_unit(unit)
    return wanted


def check_unit(unit: str) -> Unit:
    """The unit of a name.

    Raises:
        UserError: there is none.
    """
    if unit not in UNITS:
        raise UserError(f"{unit}: no such unit of analysis; choose {', '.join(UNITS)}")
    return cast(Unit, unit)


def rows_frame(
    rows: Sequence[tuple[TrialId, Rows]], labels: Mapping[str, str], measures: Iterable[str]
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
