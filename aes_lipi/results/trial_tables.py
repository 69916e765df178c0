"""The tables of many trials as one: what the index knows of them, and the files of the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.arrays import Int64
from aes_lipi.results.index import KINDS, MALFORMED, FileVersion, KeptRows, SchemaOf, with_schema
from aes_lipi.results.inventory import READERS, Inventory, take_inventory
from aes_lipi.results.schema import failures_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import FAILURES, TABLES, TrialId, committed_content

if TYPE_CHECKING:
    import pandas as pd

T = TypeVar("T")

Tables = dict[TrialId, pa.Table]

_BATCH = 64  # tables, each far larger in memory than its rows, that are made one
_BATCHES = 32  # after which the index is written
_BLOCK = 2_000  # trials whose small tables are in memory at a time
_SMALL = {"trials": 2**18, "generations": 2**15}
"""Bytes of the largest table that is indexed: to open a small file costs more than to read it."""


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
