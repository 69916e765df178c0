"""A study's results as tables: committed trials, from files that are what was committed."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from aes_lipi.config import label_variants
from aes_lipi.config.parameters import PARAMETRISED, parameter_columns, parameter_row
from aes_lipi.errors import UserError, printable
from aes_lipi.results.description import (
    STUDY_FILE,
    StudyDescription,
    read_study_description,
)
from aes_lipi.results.inventory import DAMAGED, Inventory, skipped_lines, take_inventory
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.schema import failures_schema, generations_schema, trials_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import MARKERS, TABLES
from aes_lipi.results.trial_tables import frame_of, read_failures, read_rows
from aes_lipi.summaries import Summarised

if TYPE_CHECKING:
    import pandas as pd

_SCHEMAS: Mapping[str, Callable[[], pa.Schema]] = {
    "trials": trials_schema,
    "generations": generations_schema,
}

_NAMED = 3  # variants that a message names


@dataclass(frozen=True, repr=False)
class Results(Summarised):
    """The committed trials of a study.

    Attributes:
        trials: one row per trial: settings and results.
        generations: one row per trial, generation and cell; empty if they were not asked for, or
            are not there.
        failures: one row per failed trial.
        skipped: lines that say which trials were passed over, and why: not committed, or damaged.
        location: the folder that they are of, or its address; None if they are of none.
    """

    trials: pd.DataFrame
    generations: pd.DataFrame
    failures: pd.DataFrame
    skipped: tuple[str, ...] = ()
    location: str | Path | None = None

    def show(self, variants: Sequence[str] | None = None, measure: str = "mean_L1") -> Any:
        """Figures of the study, by name; a notebook shows them all.

        They are those of `aes-lipi dashboard`: of plotly where it is installed (the extra
        `dashboard`), of matplotlib where it is not.

        Args:
            variants: ids; by default those of the lowest losses, up to 12.
            measure: the loss, `mean_L1` or `test_L1`.

        Raises:
            UserError: the results are of no folder, or have no such variant or measure.
        """
        # By name: the page stands on this room, and this room needs none of it.
        page = importlib.import_module("aes_lipi.dashboard.notebook")
        return page.figures_of(self, variants, measure)

    @property
    def _summary(self) -> str:
        told = f"Results: {len(self.trials)} trials, {len(self.failures)} failed"
        return f"{told}, {len(self.skipped)} passed over; .trials, .generations, .failures"

    def _lines(self) -> list[str]:
        names = ["variant", "variant_name"]
        if self.trials.empty:
            return []
        return [
            f"{label}: {len(rows)} trials, median mean_L1 {rows['mean_L1'].median():.4g}"
            for (_, label), rows in self.trials.groupby(names, sort=False, dropna=False)
        ]


def load_results(location: str | Path, tables: Iterable[str] | None = None) -> Results:
    """Read the tables of a study; the column `variant` holds the variant's id.

    Only committed trials are read, and only if the files are what was committed, bit for bit. Files
    that are not asked for may be missing, as models may.

    Args:
        location: the study's output folder, or its address, as in `s3://bucket/results`.
        tables: which of `trials` and `generations` to read; by default those of which the folder
            has any, as a copy may lack one: `skipped` says so.

    Raises:
        UserError: there is no such table (give those there are), or the folder holds no study (give
            the --output_dir of one), or cannot be read.
    """
    tables, absent = _present(location) if tables is None else (_checked(tables), ())
    storage, inventory = open_results(location, tables)
    trials = sorted(inventory.committed)
    found = {table: read_rows(inventory, trials, table) for table in tables}
    failed = read_failures(storage, sorted(inventory.failed))
    whole = set(trials).intersection(*(each.trials for each in found.values()))
    corrupt = {trial: DAMAGED for trial in trials if trial not in whole}
    skipped = (*absent, *skipped_lines({**inventory.skipped, **corrupt}))
    named = {table: rows.only(whole).named() for table, rows in found.items()}
    del found, inventory  # their room is that of the frames, and columns are let go one by one
    frames = {
        table: _frame_once(named.pop(table)) if table in named else frame_of({}, schema())
        for table, schema in _SCHEMAS.items()
    }
    failures = frame_of(failed, failures_schema())
    described = read_study_description(storage.read(STUDY_FILE) or b"")
    labels = variant_labels([described] if described else [], [frames["trials"], failures])
    return Results(
        **{table: labelled(frame, labels) for table, frame in frames.items()},
        failures=labelled(failures, labels),
        skipped=skipped,
        location=location,
    )


def _checked(tables: Iterable[str]) -> tuple[str, ...]:
    """The tables that are asked for.

    Raises:
        UserError: there is no such table; give some of those there are.
    """
    asked = (tables,) if isinstance(tables, str) else tuple(tables)
    for table in asked:
        if table not in _SCHEMAS:
            known = ", ".join(_SCHEMAS)
            raise UserError(f"tables: {printable(table)} is none; give some of {known}")
    return asked


@dataclass(frozen=True)
class StudyFolder:
    """A study's folder, or the part of it that is of some variants.

    Attributes:
        storage: the folder.
        inventory: its trials.
        described: what its study.json says; None if there is none that can be read.
    """

    storage: Storage
    inventory: Inventory
    described: StudyDescription | None

    @property
    def variants(self) -> set[str]:
        """The ids of those that were tried."""
        return {trial.variant for trial in (*self.inventory.committed, *self.inventory.failed)}

    def only(self, variants: Collection[str]) -> StudyFolder:
        """What is of some variants."""
        described = self.described
        if described is not None:
            there = {key: each for key, each in described.variants.items() if key in variants}
            described = replace(described, variants=there)
        return StudyFolder(self.storage, self.inventory.only(variants), described)


def open_folder(location: str | Path) -> StudyFolder:
    """A study's folder, before any table of it is read.

    Args:
        location: the study's output folder, or its address.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), or cannot be read.
    """
    storage, inventory = open_results(location)
    return StudyFolder(storage, inventory, read_study_description(storage.read(STUDY_FILE) or b""))


def fitting(folders: Sequence[StudyFolder], pattern: str) -> list[StudyFolder]:
    """Of studies what is of variants whose names fit a pattern; those that have none are left out.

    Args:
        folders: the studies'.
        pattern: of names, within one study or among all of these, or of ids, as `fnmatch` has it:
            `*` stands for any text, `?` for a character, `[ab]` for one of some; capitals count.

    Raises:
        UserError: it fits no variant; names that there are are told.
    """
    together = variant_labels([each.described for each in folders if each.described], [])
    names = [_names_of(each, together) for each in folders]
    fit = [{k for k, of_it in known.items() if _fits(of_it, pattern)} for known in names]
    if not any(fit):
        every = {k: of_it[-1] for known in names for k, of_it in known.items()}
        some = "; ".join(printable(name) for name in itertools.islice(every.values(), _NAMED))
        raise UserError(
            f"--variants {printable(pattern)}: fits none of the {len(every)} variants of "
            f"{', '.join(each.storage.shown for each in folders)}, such as {some}; * stands for "
            "any text"
        )
    return [each.only(ids) for each, ids in zip(folders, fit, strict=True) if ids]


def _names_of(folder: StudyFolder, together: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """What each variant of a study is called: its id, its name there, and that among others."""
    names: dict[str, tuple[str, ...]] = {variant: (variant,) for variant in folder.variants}
    if folder.described is not None:
        for key in folder.described.variants:
            names[key] = (key, folder.described.label(key), together[key])
    return names


def _fits(names: Iterable[str], pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name in names)


def _frame_once(table: pa.Table) -> pd.DataFrame:
    """A table that nobody else has, and that is gone then, so that it is not in memory twice."""
    frame: pd.DataFrame = table.to_pandas(self_destruct=True)
    return frame


def variant_labels(
    described: Iterable[StudyDescription], tried: Iterable[pd.DataFrame]
) -> dict[str, str]:
    """What the variants of one or several studies are called: what differs over all of them.

    Args:
        described: the studies, as far as they say what they are; those of their variants count of
            which there is no trial yet.
        tried: tables of trials, with the columns `variant`, `study` and the settings.

    Returns:
        by id, in the order of the studies, and then of the tables.
    """
    settings: dict[str, Mapping[str, Any]] = {}
    names: list[str] = []
    for study in described:
        names.append(study.name)
        for key in study.variants:
            settings.setdefault(key, study.settings(key))
    for table in tried:
        rows = table.drop_duplicates("variant").set_index("variant").astype(object)
        for variant, row in rows.to_dict("index").items():
            settings.setdefault(str(variant), {str(name): value for name, value in row.items()})
            names.append(str(row["study"]))
    return label_variants(settings, next(iter(names), ""))


def labelled(table: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """A table with the labels of its variants as `variant_name`, as far as they are known.

    If it has settings, the parameters of plug-ins have columns of their own, too.
    """
    names = table["variant"].map(dict(labels))
    told = table.assign(variant_name=names.fillna(table["variant_name"]).astype("str"))
    if PARAMETRISED[0] not in table:
        return told
    first, fields = told.drop_duplicates("variant"), [*PARAMETRISED, "data"]
    given = first[fields].astype(object).where(first[fields].notna(), None)
    rows = [dict(zip(fields, row, strict=True)) for row in given.itertuples(index=False)]
    columns = parameter_columns(rows)
    found = [parameter_row(row, columns) for row in rows]
    of_variant = dict(zip(first["variant"], found, strict=True))
    added = {
        name: told["variant"].map({key: row[name] for key, row in of_variant.items()})
        for name, _ in columns
    }
    return told.assign(**added)


def _present(location: str | Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tables that a study's folder has, and lines on those that it lacks.

    Raises:
        UserError: the folder cannot be read.
    """
    names = {entry.name for entry in open_storage(location).children()}
    there = tuple(table for table in _SCHEMAS if table in names)
    if not there or MARKERS not in names:
        return tuple(_SCHEMAS), ()
    return there, tuple(f"{table}: not in the folder" for table in _SCHEMAS if table not in names)


def open_results(
    location: str | Path, tables: Collection[str] = TABLES
) -> tuple[Storage, Inventory]:
    """A study's folder, and what it holds.

    Args:
        location: the study's output folder, or its address.
        tables: those of each trial that are to be read.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), or cannot be read.
    """
    storage = open_storage(location)
    inventory = take_inventory(storage, tables)
    if inventory.is_empty() and storage.read(STUDY_FILE, 1) is None:
        raise UserError(f"{storage.shown}: holds no results; give the --output_dir of a study")
    return storage, inventory
