"""What a trial is repeated by, of its results: what its cells read, and where it was ended."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.coevolution.state import BEFORE_FIRST, Reads
from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.results.index import MALFORMED
from aes_lipi.results.schema import generations_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import TrialId, handed_on

_COLUMNS = ["generation", "cell", "read_generations"]


def load_reads(storage: Storage, trial: TrialId, variant: Variant) -> Reads:
    """The generations that a trial's cells read, in its results.

    Args:
        storage: the study's folder.
        trial: which trial.
        variant: its settings.

    Returns:
        int32, shape (generations, cells, members): as many generations as it ran.

    Raises:
        UserError: the trial is not there, or its table is not what was committed.
    """
    path = f"{storage.shown}/{trial.path('generations')}"
    content = handed_on(storage, trial, "generations")
    try:
        return _reads(pq.read_table(pa.BufferReader(content)), variant)
    except (*MALFORMED, TypeError, OverflowError):
        raise UserError(
            f"--replay: {path}: does not hold what every cell read in every generation; give the "
            "folder of its study"
        ) from None


def called_end(storage: Storage, trial: TrialId) -> int | None:
    """Generations of a committed trial that a callback ended; None where its settings did.

    Args:
        storage: the study's folder.
        trial: which trial.

    Raises:
        UserError: the trial is not there, or its table is not what was committed.
    """
    content = handed_on(storage, trial, "trials")
    try:
        [row] = pq.read_table(pa.BufferReader(content)).to_pylist()
        return int(row["epochs_run"]) if row.get("stopped") == "callback" else None
    except (*MALFORMED, TypeError, OverflowError):
        raise UserError(
            f"{storage.shown}/{trial.path('trials')}: does not say where its trial ended; remove "
            "it and run its study again"
        ) from None


def _reads(found: pa.Table, variant: Variant) -> Reads:
    """The reads in a table of generations.

    Raises:
        Exception: of several kinds, if it does not hold them.
    """
    schema = generations_schema()
    wanted = pa.schema([schema.field(name) for name in _COLUMNS])
    table = found.select(_COLUMNS).cast(wanted).to_pandas().sort_values(["generation", "cell"])
    rows, n_cells = table["read_generations"].to_list(), variant.population_size
    generations = min(len(rows) // n_cells, variant.epochs)
    whole = np.indices((generations, n_cells)).reshape(2, -1).T
    if not len(whole) or not np.array_equal(table[["generation", "cell"]], whole):
        raise ValueError("there are not all cells of all generations")
    reads: Reads = np.full((len(rows), max(map(len, rows))), BEFORE_FIRST, np.int32)
    with np.errstate(invalid="ignore"):  # missing values become generations that there are not
        for place, row in enumerate(rows):
            reads[place, : len(row)] = row.astype(np.int32)
    if reads.min() < BEFORE_FIRST or reads.max() >= generations:
        raise ValueError("there is no such generation")
    return reads.reshape(generations, n_cells, -1)
