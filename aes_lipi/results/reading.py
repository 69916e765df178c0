"""A study's results as tables: committed trials, from files that are what was committed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.coevolution.state import BEFORE_FIRST, Reads
from aes_lipi.config import label_variants
from aes_lipi.config.parameters import PARAMETRISED, parameter_columns, parameter_row
from aes_lipi.errors import UserError
from aes_lipi.results.description import (
    STUDY_FILE,
    StudyDescription,
    read_study_description,
)
from aes_lipi.results.inventory import (
    DAMAGED,
    READERS,
    Inventory,
    skipped_lines,
    take_inventory,
)
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.schema import failures_schema, generations_schema, trials_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import (
    FAILURES,
    MARKERS,
    MODELS,
    TABLES,
    FileFacts,
    Marker,
    TrialId,
    committed_content,
    stored_marker,
)
from aes_lipi.summaries import Summarised

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

Tables = dict[TrialId, pa.Table]

_SCHEMAS: dict[str, Callable[[], pa.Schema]] = {
    "trials": trials_schema,
    "generations": generations_schema,
}

_MALFORMED = (pa.ArrowException, OSError, LookupError, ValueError, RecursionError)


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
        UserError: the folder holds no study (give the --output_dir of one), or cannot be read.
    """
    tables, absent = _present(location) if tables is None else (tuple(tables), ())
    storage, inventory = open_results(location, tables)
    trials = sorted(inventory.committed)
    contents = {table: _committed(storage, inventory, table, trials) for table in tables}
    described = read_study_description(storage.read(STUDY_FILE) or b"")
    whole = set(trials).intersection(*contents.values())
    corrupt = {trial: DAMAGED for trial in trials if trial not in whole}
    kept = [trial for trial in trials if trial in whole]
    frames = {
        table: frame_of({trial: contents[table][trial] for trial in kept}, schema())
        if table in contents
        else frame_of({}, schema())
        for table, schema in _SCHEMAS.items()
    }
    failures = frame_of(read_failures(storage, sorted(inventory.failed)), failures_schema())
    labels = variant_labels([described] if described else [], [frames["trials"], failures])
    return Results(
        **{table: labelled(frame, labels) for table, frame in frames.items()},
        failures=labelled(failures, labels),
        skipped=(*absent, *skipped_lines({**inventory.skipped, **corrupt})),
        location=location,
    )


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


def _read_committed(
    storage: Storage, facts: FileFacts, columns: Sequence[str] | None = None
) -> pa.Table | None:
    """A committed Parquet file; None if it is not, bit for bit, what was committed.

    Args:
        storage: the study's folder.
        facts: what the trial's marker says of the file.
        columns: which to unpack, of those that are there; by default all.

    Raises:
        UserError: the folder cannot be read.
    """
    return _decode(committed_content(storage, facts), columns)


def read_each(
    storage: Storage,
    markers: Mapping[TrialId, Marker],
    table: str,
    schema: pa.Schema,
    reduce: Callable[[TrialId, pa.Table], T | None],
    *,
    with_metrics: bool = False,
) -> dict[TrialId, T]:
    """What is made of a table of each of the trials, several at a time.

    No more tables are in memory than are read at a time, unless `reduce` keeps them.

    Args:
        storage: the study's folder.
        markers: the trials, and what their markers say.
        table: `trials` or `generations`.
        schema: the columns to read; a column that an older table lacks is empty.
        reduce: what to keep of a trial's table; None where it is not what it should be.
        with_metrics: whether the columns that are metrics are read, too, as far as it has any.

    Returns:
        by trial, in the order of the markers; without those whose file is damaged.

    Raises:
        UserError: the folder cannot be read.
    """

    def read(trial: TrialId) -> T | None:
        columns = None if with_metrics else schema.names
        content = _read_committed(storage, markers[trial][table], columns)
        whole = schema
        if with_metrics and content is not None:
            whole = generations_schema(content.column_names)
        found = _fitted(content, whole)
        return None if found is None else reduce(trial, found)

    return _read_many(list(markers), read)


def read_failures(storage: Storage, trials: Sequence[TrialId]) -> Tables:
    """The records of failed trials, with the variant's id, without those that are damaged.

    Raises:
        UserError: the folder cannot be read.
    """
    schema = failures_schema()

    def read(trial: TrialId) -> pa.Table | None:
        found = _fitted(_decode(storage.read(trial.path(FAILURES))), schema)
        return None if found is None else with_variant(trial, found)

    return _read_many(trials, read)


def _committed(
    storage: Storage, inventory: Inventory, table: str, trials: Sequence[TrialId]
) -> Tables:
    markers = {trial: inventory.committed[trial] for trial in trials}
    schema, of_cells = _SCHEMAS[table](), table == "generations"
    return read_each(storage, markers, table, schema, with_variant, with_metrics=of_cells)


def _read_many(trials: Sequence[TrialId], read: Callable[[TrialId], T | None]) -> dict[TrialId, T]:
    """What can be read of the trials, several at a time."""
    with ThreadPoolExecutor(READERS) as readers:
        found = zip(trials, readers.map(read, trials), strict=True)
        return {trial: table for trial, table in found if table is not None}


def _decode(content: bytes | None, columns: Sequence[str] | None = None) -> pa.Table | None:
    """A Parquet file's table; None if it holds none."""
    if content is None:
        return None
    try:
        with pq.ParquetFile(pa.BufferReader(content)) as file:
            known = file.schema_arrow.names
            wanted = known if columns is None else [name for name in columns if name in known]
            return file.read(wanted, use_threads=False)  # files are read side by side already
    except _MALFORMED:
        return None


def frame_of(tables: Tables, schema: pa.Schema) -> pd.DataFrame:
    """The tables in one, in the order of their trials, with the variant's id as a column."""
    none = with_variant(TrialId("", 0), schema.empty_table())
    whole = pa.concat_tables(list(tables.values()), promote_options="default") if tables else none
    frame: pd.DataFrame = whole.to_pandas()
    return frame


def with_variant(trial: TrialId, table: pa.Table) -> pa.Table:
    """A trial's table with the variant's id as the column `variant`."""
    ids = pa.array([trial.variant] * len(table), pa.string())
    return table.append_column(pa.field("variant", pa.string()), ids)


def _fitted(table: pa.Table | None, schema: pa.Schema) -> pa.Table | None:
    """The columns of a schema, if they are that.

    Columns that a table of an earlier version lacks are empty.
    """
    try:
        return None if table is None else _with_schema(table, schema)
    except _MALFORMED:
        return None


def _with_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    if table.schema != schema:
        columns = [
            table[field.name].cast(field.type)
            if field.name in table.column_names
            else pa.nulls(len(table), field.type)
            for field in schema
        ]
        table = pa.table(columns, schema=schema)
    table.validate(full=True)  # text in UTF-8, for one
    return table


def handed_on(storage: Storage, trial: TrialId, folder: str) -> bytes:
    """The content of a committed trial's file, for use outside of the study.

    Args:
        storage: the study's folder.
        trial: which trial.
        folder: which of its files, as in `RESULTS`.

    Raises:
        UserError: the trial is not committed, or the file is missing or not what was committed; the
            line says how it is made again.
    """
    marker = stored_marker(storage, trial)
    path = f"{storage.shown}/{trial.path(folder)}"
    if marker is None:
        raise UserError(f"{path}: no committed trial; give the folder of a study that holds it")
    content = committed_content(storage, marker[folder])
    if content is None:
        again = "run its study again with --restore_models"
        if folder != MODELS:
            again = "remove it and run its study again"
        raise UserError(f"{path}: is missing, or is not what was committed; {again}")
    return content


_COLUMNS = ["generation", "cell", "read_generations"]


def load_reads(storage: Storage, trial: TrialId, epochs: int) -> Reads:
    """The generations that a trial's cells read, in its results.

    Args:
        storage: the study's folder.
        trial: which trial.
        epochs: its generations.

    Raises:
        UserError: the trial is not there, or its table is not what was committed.
    """
    path = f"{storage.shown}/{trial.path('generations')}"
    content = handed_on(storage, trial, "generations")
    try:
        return _reads(pq.read_table(pa.BufferReader(content)), epochs)
    except (*_MALFORMED, TypeError, OverflowError):
        raise UserError(
            f"--replay: {path}: does not hold what every cell read in {epochs} generations; give "
            "the folder of its study"
        ) from None


def _reads(found: pa.Table, epochs: int) -> Reads:
    """The reads in a table of generations.

    Raises:
        Exception: of several kinds, if it does not hold them.
    """
    schema = generations_schema()
    wanted = pa.schema([schema.field(name) for name in _COLUMNS])
    table = found.select(_COLUMNS).cast(wanted).to_pandas().sort_values(["generation", "cell"])
    rows = table["read_generations"].to_list()
    reads: Reads = np.full((len(rows), max(map(len, rows))), BEFORE_FIRST, np.int32)
    with np.errstate(invalid="ignore"):  # missing values become generations that there are not
        for place, row in enumerate(rows):
            reads[place, : len(row)] = row.astype(np.int32)
    if reads.min() < BEFORE_FIRST or reads.max() >= epochs:
        raise ValueError("there is no such generation")
    return reads.reshape(epochs, -1, reads.shape[1])
