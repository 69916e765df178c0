"""A results folder whose files are consistent, and hostile: such trials are passed over."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from prepared import prepared_study, run_prepared, trial_ids

from aes_lipi import load_results
from aes_lipi.results.markers import marker_path
from aes_lipi.results.reads import load_reads
from fuzz.hostile import harmless, parquet_bytes, parquet_with_a_huge_page, refusal

TRIAL = trial_ids(prepared_study(1))[0]


def results_with(folder: Path, table: str, content: bytes) -> Path:
    """A trial whose marker says that it holds this table."""
    run_prepared(prepared_study(1), folder)
    (folder / TRIAL.path(table)).write_bytes(content)
    marker = folder / marker_path(TRIAL)
    document = json.loads(marker.read_text())
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    document["files"][table] |= facts
    marker.write_text(json.dumps(document))
    return folder


TEXT = pa.array([b"\xff"], pa.binary()).view(pa.string())
LONG = pa.DictionaryArray.from_arrays(pa.array(np.zeros(9000, np.int32)), pa.array(["x" * 50_000]))

CONTENTS: dict[str, Any] = {
    "no parquet": b"x",
    "nothing": b"",
    "text for numbers": parquet_bytes({"generation": ["x"]}),
    "lists for numbers": parquet_bytes({"generation": [[1]]}),
    "no utf-8": parquet_bytes({"variant_name": TEXT}),
    "endless rows": parquet_bytes({"cell": np.zeros(12_000_000)}),
    "endless text": parquet_bytes({"variant_name": LONG}),
    "endless page": parquet_with_a_huge_page(),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_hostile_table_is_passed_over(tmp_path: Path, name: str) -> None:
    results_with(tmp_path, "generations", CONTENTS[name])
    harmless(lambda: load_results(tmp_path))
    results = load_results(tmp_path)
    assert len(results.trials) == len(results.generations) == 0
    assert "skipped a trial" in results.skipped[0]


@pytest.mark.parametrize(
    "columns",
    [
        {"generation": [0], "cell": [0]},
        {"generation": [0], "cell": [0], "read_generations": [7]},
        {"generation": [[0]], "cell": [0], "read_generations": [[0]]},
        {"generation": ["x"], "cell": [0], "read_generations": [[0]]},
        {"generation": [0], "cell": [0], "read_generations": [[]]},
        {"generation": [0], "cell": [0], "read_generations": [[2**31 - 1]]},
        {"generation": [0], "cell": [0], "read_generations": [[-2]]},
        {"generation": [0], "cell": [0], "read_generations": [[None]]},
        {"generation": [], "cell": [], "read_generations": []},
    ],
    ids=repr,
)
def test_hostile_reads_are_refused(tmp_path: Path, columns: dict[str, Any]) -> None:
    results_with(tmp_path, "generations", parquet_bytes(columns))
    message = refusal(lambda: load_reads(tmp_path, TRIAL, 1))
    assert "does not hold what every cell read in 1 generations; give the folder" in message
