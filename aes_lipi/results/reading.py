"""A study's results as tables: committed trials, from files that are what was committed."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.arrays import Int64
from aes_lipi.coevolution.state import BEFORE_FIRST, Reads
from aes_lipi.config import label_variants
from aes_lipi.config.parameters import PARAMETRISED, parameter_columns, parameter_row
from aes_lipi.errors import UserError, printable
from aes_lipi.results.description import (
    STUDY_FILE,
    StudyDescription,
    read_study_description,
)
from aes_lipi.results.index import KINDS, MALFORMED, FileVersion, KeptRows, SchemaOf, with_schema
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
    TrialId,
    committed_content,
    stored_marker,
)
from aes_lipi.summaries import Summarised

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

Tables = dict[TrialId, pa.Table]

_SCHEMAS: Mapping[str, Callable[[], pa.Schema]] = {
    "trials": trials_schema,
    "generations": generations_schema,
}

_BATCH = 64  # tables, each far larger in memory than its rows, that are made one
_NAMED = 3
_BATCHES = 32  # after which the index is written
_BLOCK = 2_000  # trials whose small tables are in memory at a time
_SMALL = {"trials": 2**18, "generations": 2**15}
"""Bytes of the largest table that is indexed: to open a small file costs more than to read it."""


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
    found = {table: read_rows(inventory, trials, table) for table in tables}
    described = read_study_description(storage.read(STUDY_FILE) or b"")
    whole = set(trials).intersection(*(each.trials for each in found.values()))
    corrupt = {trial: DAMAGED for trial in trials if trial not in whole}
    named = {table: rows.only(whole).named() for table, rows in found.items()}
    del found  # so that columns are let go one by one
    frames = {
        table: _frame_once(named.pop(table)) if table in named else frame_of({}, schema())
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


def open_folder(location: str | Path, variants: str | None = None) -> StudyFolder:
    """A study's folder, before any table of it is read.

    Args:
        location: the study's output folder, or its address.
        variants: only those whose name or id fits this pattern, as `fnmatch` has it: `*` stands for
            any text, `?` for a character, `[ab]` for one of some; capitals count.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), or cannot be read, or
            the pattern fits no variant; names that there are are told.
    """
    storage, inventory = open_results(location)
    described = read_study_description(storage.read(STUDY_FILE) or b"")
    whole = StudyFolder(storage, inventory, described)
    if variants is None:
        return whole
    names = {variant: variant for variant in whole.variants}
    names |= {key: described.label(key) for key in described.variants} if described else {}
    fit = {
        k for k, name in names.items() if fnmatchcase(name, variants) or fnmatchcase(k, variants)
    }
    if not fit:
        known = ", ".join(printable(name) for name in itertools.islice(names.values(), _NAMED))
        raise UserError(
            f"--variants {printable(variants)}: fits none of the {len(names)} variants of "
            f"{storage.shown}, such as {known}; * stands for any text"
        )
    if described is not None:
        there = {key: each for key, each in described.variants.items() if key in fit}
        described = replace(described, variants=there)
    return StudyFolder(storage, inventory.only(fit), described)


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


@dataclass(frozen=True)
class TrialTables:
    """The rows that a table of each of some trials has, in one table.

    Attributes:
        trials: whose.
        lengths: how many rows each has, shape (trials,).
        rows: of one trial after another.
    """

    trials: Sequence[TrialId]
    lengths: Int64
    rows: pa.Table

    def each(self) -> Iterator[tuple[TrialId, pa.Table]]:
        """One trial after another, and its rows."""
        stops = np.cumsum(self.lengths)
        for trial, stop, length in zip(
            self.trials, stops.tolist(), self.lengths.tolist(), strict=True
        ):
            yield trial, self.rows.slice(stop - length, length)

    def only(self, trials: Collection[TrialId]) -> TrialTables:
        """Those of some trials."""
        chosen = np.array([trial in trials for trial in self.trials], dtype=bool)
        if chosen.all():
            return self
        rows = self.rows.filter(pa.array(np.repeat(chosen, self.lengths)))
        kept = [trial for trial, is_chosen in zip(self.trials, chosen, strict=True) if is_chosen]
        return TrialTables(kept, self.lengths[chosen], rows)

    def single(self) -> TrialTables:
        """Those that have one row, as a table of `trials` has."""
        pairs = zip(self.trials, self.lengths.tolist(), strict=True)
        return self.only({trial for trial, length in pairs if length == 1})

    def named(self) -> pa.Table:
        """The rows, with the variants' ids as the column `variant`."""
        numbers = np.repeat(np.arange(len(self.trials)), self.lengths)
        ids = pa.array([trial.variant for trial in self.trials], pa.string()).take(numbers)
        return self.rows.append_column(pa.field("variant", pa.string()), ids)

    def frame(self) -> pd.DataFrame:
        """The rows of `named`."""
        frame: pd.DataFrame = self.named().to_pandas()
        return frame


def read_rows(
    inventory: Inventory,
    trials: Sequence[TrialId],
    table: str,
    schema: pa.Schema | None = None,
) -> TrialTables:
    """A table of each of the trials, in one; what the index knows of them is not read again.

    Args:
        inventory: what the study's folder holds.
        trials: some of its committed trials.
        table: `trials` or `generations`.
        schema: the columns to read, by default all that it has and metrics among them; a column
            that an older table lacks is empty.

    Returns:
        in the order of `trials`, without those whose file is damaged.

    Raises:
        UserError: the folder cannot be read.
    """
    reading = _Reading(inventory, table, schema)
    rows = reading.known(trials)
    found = {trial: at for trial in trials if (at := rows.find(inventory.version(trial, table)))}
    lengths = np.array([at.length for at in found.values()], np.int64)
    return TrialTables(list(found), lengths, rows.rows(list(found.values()), reading.wanted))


def index_all(storage: Storage, is_over: Callable[[], bool]) -> None:
    """Let the index know all small tables of the committed trials.

    Args:
        storage: the study's folder.
        is_over: is asked now and then whether to stop early.

    Raises:
        UserError: the folder cannot be read.
    """
    inventory = take_inventory(storage)
    for table in TABLES:
        reading = _Reading(inventory, table, None)
        reading.known(filter(reading.is_small, sorted(inventory.committed)), is_over)


def read_each(
    inventory: Inventory,
    trials: Iterable[TrialId],
    table: str,
    schema: pa.Schema,
    reduce: Callable[[TrialId, pa.Table], T | None],
) -> dict[TrialId, T]:
    """What is made of a table of each of the trials, several at a time.

    No more large tables are in memory than are read at a time, unless `reduce` keeps them.

    Args:
        inventory: what the study's folder holds.
        trials: some of its committed trials.
        table: `trials` or `generations`.
        schema: the columns to read; a column that an older table lacks is empty.
        reduce: what to keep of a trial's table; None where it is not what it should be.

    Returns:
        by trial, in their order; without those whose file is damaged.

    Raises:
        UserError: the folder cannot be read.
    """
    wanted = list(trials)
    reading = _Reading(inventory, table, schema)

    def read(trial: TrialId) -> T | None:
        found = reading.table(trial)
        return None if found is None else reduce(trial, found)

    small = [trial for trial in wanted if reading.is_small(trial)]
    found = _read_many([trial for trial in wanted if not reading.is_small(trial)], read)
    for start in range(0, len(small), _BLOCK):
        block = read_rows(inventory, small[start : start + _BLOCK], table, schema)
        reduced = ((trial, reduce(trial, rows)) for trial, rows in block.each())
        found |= {trial: result for trial, result in reduced if result is not None}
    return {trial: found[trial] for trial in wanted if trial in found}


@dataclass(frozen=True)
class _Reading:
    """What is asked of a table of trials; see `read_rows`."""

    inventory: Inventory
    name: str
    schema: pa.Schema | None

    def wanted(self, there: Sequence[str]) -> pa.Schema:
        """The columns to have, given those that a table has."""
        return KINDS[self.name](there) if self.schema is None else self.schema

    def is_small(self, trial: TrialId) -> bool:
        """Whether it takes longer to open a trial's file than to read it: those are indexed."""
        return self.inventory.committed[trial][self.name].size <= _SMALL[self.name]

    def table(self, trial: TrialId) -> pa.Table | None:
        """The columns wanted of a trial's table; None if it is not what was committed."""
        content = committed_content(
            self.inventory.storage, self.inventory.committed[trial][self.name]
        )
        return None if content is None else self._decoded(content)

    def known(
        self, trials: Iterable[TrialId], is_over: Callable[[], bool] = lambda: False
    ) -> KeptRows:
        """What is known of the trials once all of them that have to be are read, or it is over."""
        rows = self.inventory.index.rows_of(self.name)
        versions = [self.inventory.version(trial, self.name) for trial in trials]
        missing = [version for version in versions if rows.find(version) is None]
        for start in range(0, len(missing), _BATCH):
            if is_over():
                break
            self._read(rows, missing[start : start + _BATCH])
            if (start // _BATCH + 1) % _BATCHES == 0:
                rows.save(lambda version: self.inventory.is_recent(version, self.name))
        rows.save(lambda version: self.inventory.is_recent(version, self.name))
        return rows

    def _read(self, rows: KeptRows, versions: Sequence[FileVersion]) -> None:
        """Read files that the index does not know as they are now."""

        def read(version: FileVersion) -> tuple[bool, pa.Table | None]:
            facts = self.inventory.committed[version.trial][self.name]
            content = committed_content(self.inventory.storage, facts)
            if content is None or rows.find_content(version) is not None:
                return content is not None, None
            if self.inventory.index.is_kept and self.is_small(version.trial):
                table = _fitted(_decode(content), KINDS[self.name])
                if table is not None:
                    return True, table
            return False, self._decoded(content)

        with ThreadPoolExecutor(READERS) as readers:
            found = dict(zip(versions, readers.map(read, versions), strict=True))
        for version, (is_whole, table) in found.items():
            if is_whole and table is None:
                rows.see(version)
        tables = [(version, *each) for version, each in found.items() if each[1] is not None]
        for lasts in (True, False):
            those = {version: table for version, is_whole, table in tables if is_whole is lasts}
            rows.add(those, lasts=lasts)

    def _decoded(self, content: bytes) -> pa.Table | None:
        columns = None if self.schema is None else self.schema.names
        return _fitted(_decode(content, columns), self.wanted)


def read_failures(storage: Storage, trials: Sequence[TrialId]) -> Tables:
    """The records of failed trials, with the variant's id, without those that are damaged.

    Raises:
        UserError: the folder cannot be read.
    """
    schema = failures_schema()

    def read(trial: TrialId) -> pa.Table | None:
        content = storage.read(trial.path(FAILURES))
        found = _fitted(_decode(content), lambda there: schema)
        return None if found is None else with_variant(trial, found)

    return _read_many(trials, read)


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
    except MALFORMED:
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


def _fitted(table: pa.Table | None, schema_of: SchemaOf) -> pa.Table | None:
    """The columns of a schema, if they are that.

    Columns that a table of an earlier version lacks are empty.
    """
    try:
        if table is None:
            return None
        found = with_schema(table, schema_of(table.column_names), len(table))
        found.validate(full=True)  # text in UTF-8, for one
    except MALFORMED:
        return None
    return found


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
    except (*MALFORMED, TypeError, OverflowError):
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
