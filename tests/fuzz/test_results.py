"""A results folder whose files fit together and are not what they should be: passed over."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from helpers import tiny_variant
from prepared import prepared_study, run_prepared, trial_ids

from aes_lipi import load_results
from aes_lipi.results.replay import load_reads
from aes_lipi.results.storage import LocalStorage
from fuzz.hostile import parquet_bytes, refusal

TRIAL = trial_ids(prepared_study(1))[0]
ONE_CELL = tiny_variant(population_size=1, epochs=1)


def results_with(folder: Path, table: str, content: bytes) -> Path:
    """A trial whose marker says that it holds this table."""
    run_prepared(prepared_study(1), folder)
    (folder / TRIAL.path(table)).write_bytes(content)
    marker = folder / TRIAL.path("committed")
    document = json.loads(marker.read_text())
    facts = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    document["files"][table] |= facts
    marker.write_text(json.dumps(document))
    return folder


TEXT = pa.array([b"\xff"], pa.binary()).view(pa.string())

CONTENTS: dict[str, Any] = {
    "no parquet": b"x",
    "nothing": b"",
    "text for numbers": parquet_bytes({"generation": ["x"]}),
    "lists for numbers": parquet_bytes({"generation": [[1]]}),
    "no utf-8": parquet_bytes({"variant_name": TEXT}),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_table_that_is_none_is_passed_over(tmp_path: Path, name: str) -> None:
    results_with(tmp_path, "generations", CONTENTS[name])
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
        {"generation": [1], "cell": [0], "read_generations": [[0]]},
        {"generation": [0, 0], "cell": [0, 1], "read_generations": [[-1], [-1]]},
    ],
    ids=repr,
)
def test_reads_that_are_none_are_refused(tmp_path: Path, columns: dict[str, Any]) -> None:
    results_with(tmp_path, "generations", parquet_bytes(columns))
    message = refusal(lambda: load_reads(LocalStorage(tmp_path), TRIAL, ONE_CELL))
    assert "does not hold what every cell read in every generation; give the folder" in message
