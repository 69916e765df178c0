"""The committed trials of one or several studies, each reduced to its measures when it is read."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import cast

import numpy as np
import pandas as pd
import pyarrow as pa

from aes_lipi.analysis.measures import (
    MEASURES,
    SIZES,
    UNITS,
    AnalysisUnit,
    Sizes,
    TrialRows,
    check_measures,
    columns_of,
    parameters_of,
    sizes_of,
    trial_rows,
)
from aes_lipi.config.defaults import METRIC_PREFIX
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.results.description import StudyDescription
from aes_lipi.results.inventory import DAMAGED, Inventory, skipped_lines
from aes_lipi.results.reading import StudyFolder, fitting, labelled, open_folder, variant_labels
from aes_lipi.results.schema import failures_schema, generations_schema
from aes_lipi.results.trial_files import TrialId
from aes_lipi.results.trial_tables import TrialTables, frame_of, read_each, read_failures, read_rows


@dataclass(frozen=True)
class Measurements:
    """The committed trials of one or several studies.

    Attributes:
        labels: of the variants that were tried, by id: what tables and figures call them, in the
            order of the directories and of their studies.
        untried: the labels of variants of which no trial was tried yet, by id.
        trials: one row per trial: `directory`, `variant`, `trial`, all settings and results, and
            the sizes of the best pair (`network_size`, `encoder_size`, `decoder_size`; also with
            `_published` behind).
        failures: one row per failed trial, `directory`, `variant` and `trial` among its columns.
        units: by unit (see `aes_lipi.analysis.measures`) a table with the columns `variant`
            (categories in the order of the labels), `trial`, `generation`, `cell` and the measures,
            float64, NaN where not measured.
        measures: their names.
        best_by: the measure whose lowest value makes a cell the best of its trial.
        skipped: lines that say which trials were passed over, and why.
    """

    labels: Mapping[str, str]
    untried: Mapping[str, str]
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
    variants: Collection[str] | None = None,
    *,
    pattern: str | None = None,
    most_variants: int | None = None,
) -> Measurements:
    """Read the committed trials of one or several studies.

    Only committed trials are read, and only if their files are what was committed, bit for bit. A
    trial that several directories hold (the same settings, the same number) counts once, as the
    first of them has it.

    Args:
        locations: an output folder of a study, its address (as in `s3://bucket/results`), or
            several.
        measures: numeric columns of `generations`, or `network_size`, `encoder_size` and
            `decoder_size`: parameters that are not zero, and with `_published` behind it by the
            published definition. None of the other columns is unpacked.
        units: `trial_mean`, `trial_best`, `pooled_cells`; each takes its memory, and with none
            `generations` is not read. `pooled_cells` keeps every row.
        best_by: the measure whose lowest value makes a cell the best of its trial, generation by
            generation.
        variants: ids of those whose trials to read; by default of all.
        pattern: only variants whose name or id fits it; see `aes_lipi.results.reading.fitting`.
        most_variants: that may be read; more are refused before anything is.

    Raises:
        UserError: a place holds no study (give its --output_dir), refuses to be read, or there is
            no such measure, unit or variant, or too many of these; those there are are told.
    """
    wanted = _wanted(measures, units, best_by, variants)
    return _measured(open_folders(locations, pattern, most_variants), wanted)


def open_folders(
    locations: str | Path | Sequence[str | Path],
    pattern: str | None = None,
    most_variants: int | None = None,
) -> list[StudyFolder]:
    """The directories, before any table of theirs is read.

    Args:
        locations: as for `read_measurements`.
        pattern: likewise.
        most_variants: likewise.

    Raises:
        UserError: a place holds no study (give its --output_dir), or refuses to be read, or there
            are too many variants, or none of such a name.
    """
    each = [locations] if isinstance(locations, str | Path) else list(locations)
    if not each:
        raise UserError("no directory to analyse; give the --output_dir of a study")
    folders = [open_folder(location) for location in each]
    folders = folders if pattern is None else fitting(folders, pattern)
    _check_number(folders, most_variants)
    return folders


def read_folders(
    folders: Sequence[StudyFolder],
    measures: Iterable[str],
    units: Iterable[AnalysisUnit],
    variants: Collection[str] | None = None,
) -> Measurements:
    """Read committed trials of folders that were looked through, without looking again.

    Args:
        folders: the studies'.
        measures: as for `read_measurements`.
        units: likewise.
        variants: ids of those whose trials to read; by default of all.

    Raises:
        UserError: a folder refuses to be read.
    """
    return _measured(folders, _wanted(measures, units, "mean_L1", variants))


def _wanted(
    measures: Iterable[str],
    units: Iterable[AnalysisUnit],
    best_by: str,
    variants: Collection[str] | None,
) -> _Wanted:
    """What is asked for.

    Raises:
        UserError: there is no such measure or unit.
    """
    [best] = check_measures([best_by])
    only = None if variants is None else frozenset(variants)
    return _Wanted(check_measures(measures), _check_units(units), best, only)


def _measured(folders: Sequence[StudyFolder], wanted: _Wanted) -> Measurements:
    studies = _without_repetitions([_read_study(folder, wanted) for folder in folders])
    trials = pd.concat([study.trials for study in studies], ignore_index=True)
    failures = pd.concat([study.failures for study in studies], ignore_index=True)
    described = [study.described for study in studies if study.described is not None]
    everything = variant_labels(described, [trials, failures])
    tried = {*trials["variant"], *failures["variant"]}
    labels = {variant: name for variant, name in everything.items() if variant in tried}
    rows = [(trial, found) for study in studies for trial, found in study.rows.items()]
    _check_metrics(wanted.measures, [of_unit for _, found in rows for of_unit in found.values()])
    return Measurements(
        labels=MappingProxyType(labels),
        untried=MappingProxyType({k: name for k, name in everything.items() if k not in labels}),
        trials=labelled(trials, labels),
        failures=labelled(failures, labels),
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


def _check_metrics(measures: Iterable[str], rows: Sequence[TrialRows]) -> None:
    """Refuse a user's metric that no trial has: any name could be one.

    Raises:
        UserError: it is nowhere a number; give one that the study's `metrics` name.
    """
    for name in measures:
        values = (each.measures[name] for each in rows)
        if name.startswith(METRIC_PREFIX) and rows and all(np.isnan(v).all() for v in values):
            raise UserError(f"{printable(name)}: no trial has it; give a metric that was measured")


def _check_number(folders: Sequence[StudyFolder], most: int | None) -> None:
    """Refuse more variants than one report can have.

    Raises:
        UserError: there are too many; choose some by --variants.
    """
    found = set().union(*(folder.variants for folder in folders))
    if most is not None and len(found) > most:
        places = ", ".join(folder.storage.shown for folder in folders)
        raise UserError(
            f"{places}: {len(found)} variants are too many for one report; choose {most} at most "
            "by --variants PATTERN, in which * stands for any text"
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


REPEATED = "that another of the directories holds as well"

_UNREADABLE_FAILURE = "whose record of a failure cannot be read"

_KEYS = ("generation", "cell")
_DESCRIBED = ("architecture", "n_parameters")


@dataclass(frozen=True)
class _StudyTrials:
    """What was read of one directory.

    Attributes:
        directory: its place, for messages.
        described: what the study says of itself; None if it cannot be read.
        trials: one row per committed trial.
        failures: one row per failed trial.
        rows: the units of the committed trials.
        skipped: lines that say which trials were passed over, and why.
    """

    directory: str
    described: StudyDescription | None
    trials: pd.DataFrame
    failures: pd.DataFrame
    rows: Mapping[TrialId, Mapping[AnalysisUnit, TrialRows]]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Wanted:
    """What is asked for of each trial.

    Attributes:
        measures: see `aes_lipi.analysis.measures`.
        units: see `UNITS` there.
        best_by: the measure whose lowest value makes a cell the best of its trial.
        variants: ids of those whose trials are read; None of all.
    """

    measures: tuple[str, ...]
    units: tuple[AnalysisUnit, ...]
    best_by: str
    variants: frozenset[str] | None = None

    def of(self, trials: Iterable[TrialId]) -> list[TrialId]:
        """Those of the trials that are asked for, in order."""
        names = self.variants
        return sorted(each for each in trials if names is None or each.variant in names)

    def read(
        self, inventory: Inventory, sizes: Mapping[TrialId, Sizes]
    ) -> dict[TrialId, Mapping[AnalysisUnit, TrialRows]]:
        """The units of the trials, each reduced as soon as it is read."""
        if not self.units:
            return {trial: {} for trial in sizes}
        measures = tuple(dict.fromkeys((*self.measures, self.best_by)))
        whole = generations_schema(measures)
        schema = pa.schema([whole.field(name) for name in (*_KEYS, *columns_of(measures))])

        def reduce(trial: TrialId, table: pa.Table) -> Mapping[AnalysisUnit, TrialRows] | None:
            try:
                rows = trial_rows(table, measures, sizes[trial])
            except ValueError:
                return None
            return {unit: UNITS[unit](rows, self.best_by) for unit in self.units}

        return read_each(inventory, sizes, "generations", schema, reduce)


def _read_study(folder: StudyFolder, wanted: _Wanted) -> _StudyTrials:
    """Read one directory.

    Raises:
        UserError: the place refuses to be read.
    """
    storage, inventory = folder.storage, folder.inventory
    committed = wanted.of(inventory.committed)
    tables = read_rows(inventory, committed, "trials").single()
    sizes = _sizes(tables)
    rows = wanted.read(inventory, sizes)
    failures = wanted.of(inventory.failed)
    records = read_failures(storage, failures)
    failed = {trial: record for trial, record in records.items() if len(record) == 1}
    corrupt = {trial: DAMAGED for trial in committed if trial not in rows}
    unreadable = dict.fromkeys(set(failures) - failed.keys(), _UNREADABLE_FAILURE)
    kept = tables.only(rows)
    return _StudyTrials(
        directory=storage.shown,
        described=folder.described,
        trials=_with_sizes(
            _identified(storage.shown, kept.trials, kept.frame()),
            [sizes[trial] for trial in kept.trials],
        ),
        failures=_identified(storage.shown, list(failed), frame_of(failed, failures_schema())),
        rows=rows,
        skipped=skipped_lines({**inventory.skipped, **corrupt, **unreadable}),
    )


def _sizes(tables: TrialTables) -> dict[TrialId, Sizes]:
    """How many parameters the networks have that rows of the table of trials describe."""
    described = zip(*(tables.rows[name].to_pylist() for name in _DESCRIBED), strict=True)
    return {
        trial: sizes_of(architecture, np.nan if n_parameters is None else n_parameters)
        for trial, (architecture, n_parameters) in zip(tables.trials, described, strict=True)
    }


def _identified(directory: str, trials: Sequence[TrialId], rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of trials, identified by where they lie rather than by what they say."""
    frame = rows.drop(columns=["variant", "trial"])
    frame.insert(0, "directory", pd.Series([directory] * len(trials), dtype="str"))
    frame.insert(1, "variant", pd.Series([trial.variant for trial in trials], dtype="str"))
    frame.insert(2, "trial", pd.Series([trial.trial for trial in trials], dtype="int64"))
    return frame


def _with_sizes(trials: pd.DataFrame, parameters: Sequence[Sizes]) -> pd.DataFrame:
    """The trials with the sizes of their best pairs."""
    sizes = {}
    for name, columns in SIZES.items():
        zeros = trials[list(columns)].astype(float).sum(axis=1, skipna=False).to_numpy()
        whole = [parameters_of(each, name) for each in parameters]
        sizes[name] = np.array(whole, dtype=np.float64) - zeros
    return trials.assign(**sizes)


def _without_repetitions(studies: Sequence[_StudyTrials]) -> list[_StudyTrials]:
    """The studies, each without the trials that an earlier one holds.

    A trial that failed in one and is committed in another has not failed.
    """
    committed = {trial for study in studies for trial in study.rows}
    seen: set[TrialId] = set()
    found = []
    for study in studies:
        repeated = {trial: REPEATED for trial in study.rows if trial in seen}
        failed = [trial for trial in _ids(study.failures) if trial not in committed | seen]
        new = {trial: rows for trial, rows in study.rows.items() if trial not in seen}
        found.append(
            replace(
                study,
                trials=_only(study.trials, new),
                failures=_only(study.failures, failed),
                rows=new,
                skipped=(*study.skipped, *skipped_lines(repeated)),
            )
        )
        seen.update(new, failed)
    return found


def _ids(table: pd.DataFrame) -> list[TrialId]:
    return [TrialId(*each) for each in zip(table["variant"], table["trial"], strict=True)]


def _only(table: pd.DataFrame, trials: Iterable[TrialId]) -> pd.DataFrame:
    wanted = set(trials)
    kept = np.array([trial in wanted for trial in _ids(table)], dtype=bool)
    return table[kept].reset_index(drop=True)
