"""A study's results as pandas tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as pads

from aes_lipi.errors import UserError
from aes_lipi.results.schema import failures_schema, generations_schema, trials_schema

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Results:
    """The committed trials of a study.

    Attributes:
        trials: one row per trial: settings and results.
        generations: one row per trial, generation and cell.
        failures: one row per failed trial.
    """

    trials: pd.DataFrame
    generations: pd.DataFrame
    failures: pd.DataFrame


def load_results(directory: str | Path) -> Results:
    """Read the tables of a study's output folder; the column `variant` holds the variant's id.

    Raises:
        UserError: there is no study in the folder.
    """
    folder = Path(directory)
    if not (folder / "trials").is_dir() and not (folder / "failures").is_dir():
        raise UserError(f"{folder}: holds no results; give the --output_dir of a study")
    trials = read_table(folder, "trials", trials_schema())
    key = ["variant", "trial"]
    return Results(
        trials=trials,
        generations=read_table(folder, "generations", generations_schema()).merge(trials[key]),
        failures=read_table(folder, "failures", failures_schema()),
    )


def read_table(directory: Path, table: str, schema: pa.Schema) -> pd.DataFrame:
    """One table of a study, sorted by variant and trial; empty where nothing was written yet."""
    files = sorted((directory / table).glob("variant=*/trial=*.parquet"))
    partitioned = schema.append(pa.field("variant", pa.string()))
    if not files:
        empty: pd.DataFrame = partitioned.empty_table().to_pandas()
        return empty
    partitioning = pads.partitioning(pa.schema([("variant", pa.string())]), flavor="hive")
    dataset = pads.dataset(
        [str(path) for path in files],
        schema=partitioned,
        format="parquet",
        partitioning=partitioning,
    )
    frame: pd.DataFrame = dataset.to_table().to_pandas()
    return frame
