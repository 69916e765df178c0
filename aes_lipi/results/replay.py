"""What a trial's cells read, by which it is replayed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.coevolution.state import BEFORE_FIRST, Reads
from aes_lipi.errors import UserError
from aes_lipi.results.index import MALFORMED
from aes_lipi.results.schema import generations_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import TrialId, handed_on

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
