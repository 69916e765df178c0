"""A trial, and what its files hold."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.results.schema import generations_schema, trials_schema

Row = Mapping[str, Any]

RESULTS = {"models": "safetensors", "generations": "parquet", "trials": "parquet"}
"""The folders that hold a committed trial's files, in the order of writing, and their suffixes."""

FAILURES, MARKERS = "failures", "committed"
FOLDERS = {**RESULTS, FAILURES: "parquet", MARKERS: "json"}
"""All folders of a study, and the suffixes of their files."""

_FILE = re.compile(r"([a-z]+)/variant=(v[0-9a-f]{10})/trial=([0-9]{4})\.([a-z]+)")


@dataclass(frozen=True, order=True)
class TrialId:
    """Which trial of which variant."""

    variant: str
    trial: int

    def file(self, suffix: str) -> str:
        """Path of the trial's file inside a folder of the study."""
        return f"variant={self.variant}/trial={self.trial:04d}.{suffix}"

    def path(self, folder: str) -> str:
        """Path of the trial's file of one folder inside the study."""
        return f"{folder}/{self.file(FOLDERS[folder])}"


def trial_of(path: str) -> tuple[str, TrialId] | None:
    """The folder and the trial of a file of a study; None if no study makes such a file."""
    found = _FILE.fullmatch(path)
    if found is None or FOLDERS.get(found[1]) != found[4]:
        return None
    return found[1], TrialId(found[2], int(found[3]))


@dataclass(frozen=True)
class TrialFiles:
    """A finished trial as the contents of its files: computed anywhere, committed by the driver.

    Attributes:
        generations: Parquet, a row per generation and cell.
        model: safetensors, the best pair.
        trial: Parquet, one row.
    """

    generations: bytes
    model: bytes
    trial: bytes

    def contents(self) -> dict[str, bytes]:
        """The contents by folder, in the order of writing."""
        return {"models": self.model, "generations": self.generations, "trials": self.trial}


def trial_files(row: Row, generations: Sequence[Row], model: bytes) -> TrialFiles:
    """Encode a finished trial.

    Args:
        row: the columns of `trials_schema`.
        generations: rows with the columns of `generations_schema`.
        model: the content of the model's file.
    """
    return TrialFiles(
        generations=parquet(generations, generations_schema()),
        model=model,
        trial=parquet([row], trials_schema()),
    )


def parquet(rows: Sequence[Row], schema: pa.Schema) -> bytes:
    """Encode rows as a Parquet file."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()
