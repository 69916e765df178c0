"""Large files are read once, by the driver; workers map what it read."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import TINY, random_dataset
from studies import Killer, assert_same_study, run_study

from aes_lipi.config import Study, StudyFile, resolve_study
from aes_lipi.data.minmax import MinMax
from aes_lipi.execution import inputs
from aes_lipi.execution.shared_data import shared
from aes_lipi.execution.study import Summary


def study_of(path: Path, **settings: object) -> Study:
    kept = {name: value for name, value in TINY.items() if not name.startswith("n_")}
    own = {**kept, "data": str(path), "scale": "minmax", "hidden_sizes": [4], **settings}
    return resolve_study("own", StudyFile(trials=3, settings=own), {})


def write(path: Path) -> Path:
    rng = np.random.default_rng(1)
    pd.DataFrame(rng.normal(size=(80, 7)), columns=list("abcdefg")).to_parquet(path)
    return path


def test_mapped_data_are_the_same_and_cannot_be_changed() -> None:
    scaling = MinMax(np.zeros(3), np.ones(3))
    dataset = replace(random_dataset(11, 3), columns=("a", "b", "c"), scaling=scaling)
    with shared(dataset) as held:
        mapped = held.mapped()
        for mine, theirs in zip(mapped.splits, dataset.splits, strict=True):
            assert np.array_equal(mine, theirs)
            assert not mine.flags.writeable
        assert (mapped.name, mapped.columns) == ("bits", ("a", "b", "c"))
        assert mapped.scaling is scaling


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="files without a name need /proc")
def test_another_process_maps_them_until_the_driver_is_done() -> None:
    program = "import numpy as np, sys; print(np.memmap(sys.argv[1], np.float32, 'r').sum())"
    dataset = random_dataset(50, 4)
    with shared(dataset) as held:
        command = [sys.executable, "-c", program, held.path]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert float(told) == sum(rows.sum() for rows in dataset.splits)
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_workers_that_map_have_the_bits_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(write(tmp_path / "table.parquet"), epochs=200, record_interval=100)
    assert run_study(study, tmp_path / "alone") == Summary(3, 0)
    monkeypatch.setattr(inputs, "SHARED_FROM", 1)
    killer = Killer(kills=1)
    assert run_study(study, tmp_path / "mapped", jobs=2, observer=killer) == Summary(3, 0)
    assert killer.kills == 0
    assert_same_study(tmp_path / "alone", tmp_path / "mapped")


def test_where_there_is_no_room_every_worker_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(write(tmp_path / "table.parquet"))
    run_study(study, tmp_path / "alone")
    monkeypatch.setattr(inputs, "SHARED_FROM", 1)
    monkeypatch.setattr("tempfile.tempdir", os.devnull)
    assert run_study(study, tmp_path / "read", jobs=2) == Summary(3, 0)
    assert_same_study(tmp_path / "alone", tmp_path / "read")
