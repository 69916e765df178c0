from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up import (
    N_DECODER,
    N_PARAMETERS,
    commit_made_up,
    made_up_study,
)

from aes_lipi.analysis.measures import _known_measures, check_measures, sizes_of
from aes_lipi.analysis.read import Measurements, read_measurements
from aes_lipi.errors import UserError
from aes_lipi.results import trial_tables
from aes_lipi.results.reading import load_results
from aes_lipi.results.trial_files import TrialId

VALUES = [[0.5, 0.4], [np.nan, np.nan], [0.1, 0.3]]  # three generations of two cells
ZEROS = {"n_zero_encoder": [[0, 1], [2, 3], [4, 5]], "n_zero_decoder": [[0, 0], [1, 1], [2, 2]]}


def ids(data: Measurements) -> list[tuple[str, int]]:
    names = data.trials["variant"].map(dict(data.labels))
    return list(zip(names, data.trials["trial"], strict=True))


def committed(folder: Path, trials: int = 3, **settings: Any) -> Path:
    """Trials of one variant, all of the same values."""
    study = made_up_study(["random"], trials, **settings)
    commit_made_up(folder, study, {"random": [VALUES] * trials}, **ZEROS)
    return folder


def damage(folder: Path, table: str, trial: int) -> None:
    """Change a byte in the middle of a file, which keeps its size."""
    [path] = (folder / table).glob(f"*/trial={trial:04d}.*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_units_of_committed_trials(tmp_path: Path) -> None:
    data = read_measurements(committed(tmp_path, trials=1), ["mean_L1", "network_size"])
    mean, best = data.units["trial_mean"], data.units["trial_best"]
    assert mean.columns.tolist() == [
        *("variant", "trial", "generation", "cell", "mean_L1", "network_size")
    ]
    np.testing.assert_allclose(mean["mean_L1"], [0.45, np.nan, 0.2])
    np.testing.assert_allclose(mean["network_size"], N_PARAMETERS - np.array([0.5, 3.5, 6.5]))
    assert best["cell"].tolist() == [1, -1, 0]
    np.testing.assert_allclose(best["network_size"], N_PARAMETERS - np.array([1, np.nan, 6]))
    assert data.measures == ("mean_L1", "network_size")
    assert data.skipped == ()
    assert data.trials["encoder_size"].tolist() == [N_PARAMETERS - N_DECODER - 5]


def test_pooled_cells_are_read_where_they_are_asked_for(tmp_path: Path) -> None:
    data = read_measurements(committed(tmp_path, 2), ["mean_L1"], units=["pooled_cells"])
    assert len(data.units["pooled_cells"]) == 12
    assert list(data.units) == ["pooled_cells"]
    assert not read_measurements(tmp_path, units=[]).units


def test_what_is_not_committed_or_damaged_is_skipped_and_said(tmp_path: Path) -> None:
    committed(tmp_path, trials=5)
    [marker] = tmp_path.glob("committed/*/trial=0000.json")
    marker.unlink()
    damage(tmp_path, "generations", 1)
    damage(tmp_path, "trials", 2)
    [cut] = tmp_path.glob("generations/*/trial=0003.parquet")
    os.truncate(cut, 50)
    data = read_measurements(tmp_path)
    assert data.trials["trial"].tolist() == [4]
    assert data.units["trial_mean"]["trial"].unique().tolist() == [4]
    without, damaged = data.skipped
    assert without.startswith(f"{tmp_path}: skipped a trial without a commit marker")
    assert "skipped 3 trials with a table that is missing, or is not what" in damaged


def test_failures_are_counted_and_damaged_records_said(tmp_path: Path) -> None:
    study = made_up_study(["random", "lexicase"], 3)
    values: dict[str, list[Any]] = {"random": [VALUES, None, None], "lexicase": [None]}
    commit_made_up(tmp_path, study, values, **ZEROS)
    [record] = tmp_path.glob("failures/*/trial=0002.parquet")
    record.write_bytes(b"PAR1")
    data = read_measurements(tmp_path)
    assert list(data.labels.values()) == ["random", "lexicase"]
    assert sorted(data.failures["variant"].map(dict(data.labels))) == ["lexicase", "random"]
    assert "whose record of a failure cannot be read" in data.skipped[0]


def test_a_trial_in_two_directories_counts_once(tmp_path: Path) -> None:
    committed(tmp_path / "a", trials=2)
    committed(tmp_path / "b", trials=3)
    committed(tmp_path / "c", trials=2, rng_seed=2)
    data = read_measurements([tmp_path / "a", tmp_path / "b", tmp_path / "c"])
    assert data.trials.groupby("directory").size().tolist() == [2, 1, 2]
    assert len(data.units["trial_mean"]) == 5 * 3
    [line] = data.skipped
    assert line.startswith(f"{tmp_path / 'b'}: skipped 2 trials that another of the directories")
    assert len(set(data.labels.values())) == 2


def test_a_failure_that_another_directory_mended_is_none(tmp_path: Path) -> None:
    study = made_up_study(["random"], 1)
    commit_made_up(tmp_path / "failed", study, {"random": [None]})
    committed(tmp_path / "mended", trials=1)
    data = read_measurements([tmp_path / "failed", tmp_path / "mended"])
    assert (len(data.trials), len(data.failures)) == (1, 0)


def test_a_table_without_its_keys_is_damaged(tmp_path: Path) -> None:
    """Committed by a writer that forgot the cells: it is not read as something else."""
    from aes_lipi.results.trial_files import (  # noqa: PLC0415
        trial_files,
    )

    committed(tmp_path, trials=1)
    [variant] = (path.name.removeprefix("variant=") for path in (tmp_path / "trials").iterdir())
    trial = TrialId(variant, 0)
    files = trial_files({"variant_name": "x"}, [{"generation": 0}], model=b"")
    for folder, content in files.contents().items():
        (tmp_path / trial.path(folder)).write_bytes(content)
    (tmp_path / trial.path("committed")).write_bytes(files.marker(trial))
    data = read_measurements(tmp_path)
    assert len(data.trials) == 0
    assert "a table that is missing, or is not what" in data.skipped[0]


def test_only_the_columns_asked_for_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow.parquet as pq  # noqa: PLC0415

    asked = []
    read = pq.ParquetFile.read

    def watched(file: Any, columns: Any = None, **rest: Any) -> Any:
        asked.append(columns)
        return read(file, columns, **rest)

    monkeypatch.setattr(pq.ParquetFile, "read", watched)
    monkeypatch.setattr(trial_tables, "_SMALL", {"trials": 0, "generations": 0})
    read_measurements(committed(tmp_path, trials=1), ["decoder_size"], best_by="capacity")
    assert asked[1] == ["generation", "cell", "n_zero_decoder", "capacity"]


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        read_measurements(tmp_path)
    with pytest.raises(UserError, match="no directory to analyse"):
        read_measurements([])
    committed(tmp_path, trials=1)
    with pytest.raises(UserError, match="mean_L2: no such measure; did you mean mean_L1"):
        read_measurements(tmp_path, ["mean_L2"])
    with pytest.raises(UserError, match="read_generations: no such measure"):
        read_measurements(tmp_path, ["read_generations"])
    with pytest.raises(UserError, match="no such measure"):
        read_measurements(tmp_path, best_by="nothing")
    with pytest.raises(UserError, match="cell: no such unit of analysis; choose trial_mean"):
        read_measurements(tmp_path, units=["cell"])  # type: ignore[list-item]
    with pytest.raises(UserError, match="metric_typo: no trial has it; give a metric that was"):
        read_measurements(tmp_path, ["metric_typo"])
    with pytest.raises(UserError, match="tables: models is none; give some of trials, generations"):
        load_results(tmp_path, ["models"])
    assert list(load_results(tmp_path, "trials").trials["trial"]) == [0]


def test_a_pattern_is_of_the_names_that_are_shown_of_several_studies(tmp_path: Path) -> None:
    """And need not fit in every one of them."""
    places = [tmp_path / "a", tmp_path / "b"]
    committed(places[0], trials=1)
    committed(places[1], trials=1, radius=2)
    for pattern in ("radius=2", "*=2"):
        [name] = read_measurements(places, pattern=pattern).trials["radius"]
        assert name == 2
    with pytest.raises(UserError, match=r"fits none of the 2 variants of .+, such as radius=1; "):
        read_measurements(places, pattern="nothing")


def test_measures_are_numbers() -> None:
    known = _known_measures()
    assert {"mean_L1", "prune_event", "n_zero_encoder", "staleness", "network_size"} <= set(known)
    assert not {"variant_name", "trial", "cell", "generation", "read_generations"} & set(known)
    assert check_measures(["capacity", "mean_L1", "capacity"]) == ("capacity", "mean_L1")


def test_sizes_follow_from_the_widths() -> None:
    sizes = sizes_of("1000-30-10-30-1000", 61_670)
    assert (sizes.encoder_size, sizes.decoder_size) == (30_340, 31_330)
    variational = sizes_of("1000-30-10-30-1000 (variational)", 61_980)
    assert (variational.encoder_size, variational.decoder_size) == (30_650, 31_330)
    for unknown in (None, "", "7-4", "7-4-4-7", "a-b-c"):
        assert np.isnan(sizes_of(unknown, 5.0).encoder_size)
        assert sizes_of(unknown, 5.0).network_size == 5


def test_labels_say_what_differs_over_all_that_is_read(tmp_path: Path) -> None:
    committed(tmp_path / "a", trials=1)
    committed(tmp_path / "b", trials=1, radius=2)
    data = read_measurements([tmp_path / "a", tmp_path / "b"])
    assert list(data.labels.values()) == ["radius=1", "radius=2"]
    assert data.trials["variant_name"].tolist() == ["radius=1", "radius=2"]
    (tmp_path / "a" / "study.json").unlink()  # tables have all settings, too
    assert read_measurements([tmp_path / "a", tmp_path / "b"]).labels == data.labels


def test_a_study_that_grew_or_was_named_has_the_labels_of_its_whole(tmp_path: Path) -> None:
    committed(tmp_path, trials=1)
    assert load_results(tmp_path).trials["variant_name"].tolist() == ["made up"]
    grown = made_up_study(["random"], 1, radius=[1, 2])
    commit_made_up(tmp_path, grown, {}, **ZEROS)
    data = read_measurements(tmp_path)
    assert (list(data.labels.values()), [*data.untried.values()]) == (["radius=1"], ["radius=2"])
    results = load_results(tmp_path)
    assert set(results.trials["variant_name"]) == {"radius=1"}
    assert set(results.generations["variant_name"]) == {"radius=1"}
    commit_made_up(tmp_path, made_up_study(["random"], 1, radius=[1, 2], name="wide"), {})
    assert list(read_measurements(tmp_path).labels.values()) == ["wide, radius=1"]
