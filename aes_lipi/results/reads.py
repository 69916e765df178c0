"""What the cells of an asynchronous trial read, from its results."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.coevolution.order import Reads
from aes_lipi.errors import UserError
from aes_lipi.results.store import TrialId

_COLUMNS = ["generation", "cell", "read_generations"]


def load_reads(directory: Path, trial: TrialId, epochs: int) -> Reads:
    """The generations that a trial's cells read, in its results.

    Args:
        directory: the study's output folder.
        trial: which trial.
        epochs: its generations.

    Returns:
        int32, shape (epochs, cells, members).

    Raises:
        UserError: the trial is not there, or its table is not whole.
    """
    path = directory / "generations" / trial.file("parquet")
    try:
        with path.open("rb") as stream:
            table = pq.read_table(stream, columns=_COLUMNS).to_pandas()
    except (OSError, pa.ArrowException, KeyError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:100]
        raise UserError(f"--replay: {path}: cannot be read ({reason}); give its study") from None
    table = table.sort_values(["generation", "cell"])
    try:
        reads: Reads = np.stack(table["read_generations"].to_list()).astype(np.int32)
        return reads.reshape(epochs, -1, reads.shape[1])
    except (ValueError, TypeError, IndexError):
        raise UserError(
            f"--replay: {path}: does not hold what every cell read in {epochs} generations"
        ) from None
