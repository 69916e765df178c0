"""A study's results as pandas tables."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.datasets.parquet_claims import parquet_claims
from aes_lipi.datasets.source import is_page_plausible
from aes_lipi.errors import UserError
from aes_lipi.results.description import STUDY_FILE
from aes_lipi.results.inventory import (
    CORRUPT,
    READERS,
    Inventory,
    skipped_lines,
    take_inventory,
)
from aes_lipi.results.locations import open_storage
from aes_lipi.results.markers import FileFacts
from aes_lipi.results.schema import failures_schema, generations_schema, trials_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import FAILURES, TrialId

if TYPE_CHECKING:
    import pandas as pd

Tables = dict[TrialId, pa.Table]

SCHEMAS = {"trials": trials_schema, "generations": generations_schema}

_MALFORMED = (pa.ArrowException, OSError, LookupError, ValueError, RecursionError)

# How far a file may be packed: beyond this, a small file would fill the memory.
_DENSEST = 1024  # bytes of the table for each of the file
_FREE_SIZE = 2**26
_LONGEST_LIST = 1_000_000  # Arrow's own limit; it takes memory for a whole list at once


@dataclass(frozen=True)
class Results:
    """The committed trials of a study.

    Attributes:
        trials: one row per trial: settings and results.
        generations: one row per trial, generation and cell; empty if they were not asked for.
        failures: one row per failed trial.
        skipped: lines that say which trials were passed over, and why: not committed, or damaged.
    """

    trials: pd.DataFrame
    generations: pd.DataFrame
    failures: pd.DataFrame
    skipped: tuple[str, ...] = ()


def load_results(location: str | Path, tables: Iterable[str] = tuple(SCHEMAS)) -> Results:
    """Read the tables of a study; the column `variant` holds the variant's id.

    Only committed trials are read, and only if the files are what was committed, bit for bit.

    Args:
        location: the study's output folder, or its address, as in `s3://bucket/results`.
        tables: which of `trials` and `generations` to read.

    Raises:
        UserError: there is no study, or it cannot be read.
    """
    storage = open_storage(location)
    inventory = take_inventory(storage)
    if inventory.is_empty() and storage.read(STUDY_FILE, 1) is None:
        raise UserError(f"{storage.shown}: holds no results; give the --output_dir of a study")
    trials = sorted(inventory.committed)
    contents = {table: _committed(storage, inventory, table, trials) for table in tables}
    whole = set(trials).intersection(*contents.values())
    corrupt = {trial: CORRUPT for trial in trials if trial not in whole}
    kept = [trial for trial in trials if trial in whole]
    return Results(
        **{
            table: _frame({trial: contents[table][trial] for trial in kept}, schema())
            if table in contents
            else _frame({}, schema())
            for table, schema in SCHEMAS.items()
        },
        failures=_frame(_failures(storage, sorted(inventory.failed)), failures_schema()),
        skipped=skipped_lines({**inventory.skipped, **corrupt}),
    )


def read_committed(storage: Storage, facts: FileFacts) -> pa.Table | None:
    """A committed Parquet file; None if it is not, bit for bit, what was committed.

    Raises:
        UserError: the folder cannot be read.
    """
    content = storage.read(facts.path)
    return _decode(content) if facts.match(content) else None


def _committed(
    storage: Storage, inventory: Inventory, table: str, trials: Sequence[TrialId]
) -> Tables:
    schema = SCHEMAS[table]()

    def read(trial: TrialId) -> pa.Table | None:
        found = read_committed(storage, inventory.committed[trial][table])
        return _fitted(found, trial.variant, schema)

    return _read_many(trials, read)


def _failures(storage: Storage, trials: Sequence[TrialId]) -> Tables:
    schema = failures_schema()

    def read(trial: TrialId) -> pa.Table | None:
        return _fitted(_decode(storage.read(trial.path(FAILURES))), trial.variant, schema)

    return _read_many(trials, read)


def _read_many(trials: Sequence[TrialId], read: Callable[[TrialId], pa.Table | None]) -> Tables:
    """What can be read of the trials, several at a time."""
    with ThreadPoolExecutor(READERS) as readers:
        found = zip(trials, readers.map(read, trials), strict=True)
        return {trial: table for trial, table in found if table is not None}


def _decode(content: bytes | None) -> pa.Table | None:
    """A Parquet file's table; None if it holds none, or one too large for its size."""
    try:
        return None if not content else _whole_table(content)
    except _MALFORMED:
        return None


def _whole_table(content: bytes) -> pa.Table | None:
    claims = parquet_claims(io.BytesIO(content))
    too_large = claims.size > max(_FREE_SIZE, _DENSEST * len(content))
    if too_large or not is_page_plausible(claims.largest_page, len(content)):
        return None
    limit = min(len(content), _LONGEST_LIST)
    with pq.ParquetFile(pa.BufferReader(content), thrift_container_size_limit=limit) as file:
        return file.read(use_threads=False)  # files are read side by side already


def _frame(tables: Tables, schema: pa.Schema) -> pd.DataFrame:
    """The tables in one, in the order of their trials, with the variant's id as a column."""
    none = _with_variant(schema.empty_table(), "")
    whole = pa.concat_tables(list(tables.values())) if tables else none
    frame: pd.DataFrame = whole.to_pandas()
    return frame


def _fitted(table: pa.Table | None, variant: str, schema: pa.Schema) -> pa.Table | None:
    """The columns of a schema, and the variant's id, if they are that.

    Columns that a table of an earlier version lacks are empty.
    """
    try:
        return None if table is None else _with_variant(_with_schema(table, schema), variant)
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


def _with_variant(table: pa.Table, variant: str) -> pa.Table:
    ids = pa.array([variant] * len(table), pa.string())
    return table.append_column(pa.field("variant", pa.string()), ids)
