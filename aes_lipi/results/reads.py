"""What the cells of an asynchronous trial read, from its results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from aes_lipi.coevolution.order import BEFORE_FIRST, Reads
from aes_lipi.errors import UserError
from aes_lipi.results.locations import open_storage
from aes_lipi.results.markers import LONGEST_MARKER, marker_path, read_marker
from aes_lipi.results.reading import read_committed
from aes_lipi.results.schema import generations_schema
from aes_lipi.results.trial_files import TrialId

_COLUMNS = ["generation", "cell", "read_generations"]


def load_reads(location: str | Path, trial: TrialId, epochs: int) -> Reads:
    """The generations that a trial's cells read, in its results.

    Args:
        location: the study's output folder, or its address.
        trial: which trial.
        epochs: its generations.

    Returns:
        int32, shape (epochs, cells, members).

    Raises:
        UserError: the trial is not there, or its table is not whole.
    """
    storage = open_storage(location)
    marker = read_marker(storage.read(marker_path(trial), LONGEST_MARKER), trial)
    found = None if marker is None else read_committed(storage, marker["generations"])
    path = f"{storage.shown}/{trial.path('generations')}"
    if found is None:
        raise UserError(f"--replay: {path}: no committed trial; give the folder of its study")
    try:
        return _reads(found, epochs)
    except (ValueError, TypeError, LookupError, OverflowError, pa.ArrowException):
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
    with np.errstate(invalid="ignore"):  # missing values become generations that there are not
        reads: Reads = np.stack(table["read_generations"].to_list()).astype(np.int32)
    if reads.min() < BEFORE_FIRST or reads.max() >= epochs:
        raise ValueError("there is no such generation")
    return reads.reshape(epochs, -1, reads.shape[1])
