"""The Pareto front, and the candidates that it is drawn from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up import N_PARAMETERS, commit_made_up, made_up_study

from aes_lipi.analysis.pareto import CANDIDATE_COLUMNS, Tradeoff, read_candidates, shared_loss
from aes_lipi.coevolution.records import pareto_front
from aes_lipi.config import Study
from aes_lipi.errors import UserError
from aes_lipi.results import trial_tables
from aes_lipi.results.trial_files import TrialFiles, TrialId

NAN = np.nan
LOSS_COLUMNS = ["validation_loss", "validation_L1"]
LOSSES = np.array([[0.5, 0.4], [NAN, NAN], [0.1, 0.3]])  # three generations of two cells
MEASURED = {
    "validation_L1": LOSSES,
    "test_L1": LOSSES + 0.01,
    "capacity": [[1, 0.9], [0.8, 0.7], [0.6, 0.5]],
    "n_compact": [[90, 80], [NAN, NAN], [60, 50]],
}


def committed(folder: Path, trials: int = 2, **columns: Any) -> Study:
    study = made_up_study(["None", "random"], trials)
    every = {"None": [LOSSES] * trials, "random": [LOSSES] * trials}
    commit_made_up(folder, study, every, **{**MEASURED, **columns})
    return study


@pytest.mark.parametrize(
    ("sizes", "losses", "front"),
    [
        ([3, 1, 2], [1, 3, 2], [1, 2, 0]),
        ([1, 2, 3, 4], [4, 5, 2, 2], [0, 2]),  # larger and worse; larger and the same
        ([2, 1, 1, 1], [1, 3, 2, 2], [2, 0]),  # as small and worse; the same twice
        ([5, 5, 5], [1, 1, 1], [0]),
        ([NAN, 1, 2, 3], [0, NAN, 5, 4], [2, 3]),
        ([1, 2], [np.inf, -np.inf], [0, 1]),
        ([0.0, -0.0], [1, 2], [0]),
        ([NAN], [1], []),
        ([], [], []),
        ([7], [7], [0]),
    ],
)
def test_fronts_by_hand(sizes: list[float], losses: list[float], front: list[int]) -> None:
    assert pareto_front(sizes, losses).tolist() == front


@pytest.mark.parametrize("losses", [[1.0], [[1.0, 2.0]], 1.0])
def test_a_loss_for_every_size(losses: Any) -> None:
    with pytest.raises(ValueError, match="must be rows of one length"):
        pareto_front([1.0, 2.0], losses)


VALUES = st.one_of(st.integers(0, 5).map(float), st.floats(allow_nan=True, allow_infinity=True))


@given(st.lists(st.tuples(VALUES, VALUES), max_size=40))
def test_nothing_dominates_the_front_and_the_front_covers_all(
    points: list[tuple[float, float]],
) -> None:
    sizes, losses = np.array(points, dtype=np.float64).reshape(-1, 2).T
    front = pareto_front(sizes, losses)
    x, y = sizes[front], losses[front]
    assert (np.diff(x) > 0).all()
    assert (np.diff(y) < 0).all()
    for size, loss in points:
        no_worse = (size <= x) & (loss <= y)
        assert not (no_worse & ((size < x) | (loss < y))).any()
        assert np.isnan([size, loss]).any() or ((x <= size) & (y <= loss)).any()
    assert front.tolist() == [
        min(k for k, other in enumerate(points) if other == points[place]) for place in front
    ]


def test_every_recorded_cell_is_a_candidate(tmp_path: Path) -> None:
    study = committed(tmp_path)
    found = read_candidates(tmp_path)
    assert found.columns.tolist() == list(CANDIDATE_COLUMNS)
    assert len(found) == 4 * 4
    assert found["variant"].cat.categories.tolist() == [each.id for each in study.variants]
    assert found["label"].cat.categories.tolist() == ["no pruning", "random"]
    assert found["label"].astype(str).tolist() == ["no pruning"] * 8 + ["random"] * 8
    first = found.iloc[:4]
    assert found["trial"].tolist() == [0] * 4 + [1] * 4 + [0] * 4 + [1] * 4
    assert first["generation"].tolist() == [0, 0, 2, 2]
    assert first["cell"].tolist() == [0, 1, 0, 1]
    assert first["validation_L1"].tolist() == [0.5, 0.4, 0.1, 0.3]
    assert first["test_L1"].tolist() == pytest.approx([0.51, 0.41, 0.11, 0.31])
    assert first["capacity"].tolist() == [1, 0.9, 0.6, 0.5]
    assert first["n_compact"].tolist() == [90, 80, 60, 50]
    assert set(found["n_parameters"]) == {N_PARAMETERS}
    np.testing.assert_array_equal(found["compact_share"], found["n_compact"] / N_PARAMETERS)
    kinds = {name: found[name].dtype.kind for name in CANDIDATE_COLUMNS[2:]}
    assert set(kinds.values()) == {"i", "f"}
    assert [name for name, kind in kinds.items() if kind == "i"] == [
        *("trial", "generation", "cell", "n_parameters", "n_compact")
    ]
    pd.testing.assert_frame_equal(found, read_candidates(f"file://{tmp_path}"))


def test_those_of_one_variant_or_trial(tmp_path: Path) -> None:
    study = committed(tmp_path)
    one = study.variants[1].id
    assert set(read_candidates(tmp_path, one)["variant"]) == {one}
    assert set(read_candidates(tmp_path, trial=1)["trial"]) == {1}
    found = read_candidates(tmp_path, one, 0)
    assert len(found) == 4
    assert found["label"].cat.categories.tolist() == ["random"]


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no results"):
        read_candidates(tmp_path)
    one = committed(tmp_path).variants[0].id
    with pytest.raises(UserError, match="no committed trial of variant v0"):
        read_candidates(tmp_path, "v0")
    with pytest.raises(UserError, match=f"no committed trial 7 of variant {one}"):
        read_candidates(tmp_path, one, 7)
    with pytest.raises(UserError, match=r"no committed trial 7$"):
        read_candidates(tmp_path, trial=7)


def test_only_whole_committed_trials_count(tmp_path: Path) -> None:
    study = committed(tmp_path, trials=4)
    one = study.variants[1].id
    (tmp_path / TrialId(one, 0).path("committed")).unlink()
    damage(tmp_path / TrialId(one, 1).path("generations"))
    damage(tmp_path / TrialId(one, 2).path("trials"))
    assert read_candidates(tmp_path, one)["trial"].unique().tolist() == [3]
    for path in tmp_path.glob("generations/*/*.parquet"):
        os.truncate(path, 9)
    assert len(read_candidates(tmp_path)) == 0


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_without_trials_there_are_no_candidates(tmp_path: Path) -> None:
    commit_made_up(tmp_path, made_up_study(["random"], 1), {"random": [None]})
    found = read_candidates(tmp_path)
    assert found.columns.tolist() == list(CANDIDATE_COLUMNS)
    assert len(found) == 0


def test_losses_that_are_not_finite_are_no_candidates(tmp_path: Path) -> None:
    losses = [[np.inf, 0.4], [NAN, NAN], [-np.inf, 0.3]]
    committed(tmp_path, trials=1, validation_L1=losses)
    assert set(read_candidates(tmp_path)["cell"]) == {1}


@pytest.mark.parametrize("missing", ["validation_L1", "n_compact"])
def test_studies_of_earlier_versions_have_none(tmp_path: Path, missing: str) -> None:
    study = committed(tmp_path, trials=1)
    for variant in study.variants:
        recommit_without(tmp_path, TrialId(variant.id, 0), missing)
    assert len(read_candidates(tmp_path)) == 0


def recommit_without(folder: Path, trial: TrialId, column: str) -> None:
    """As it was committed when there was no such column."""
    path = folder / trial.path("generations")
    pq.write_table(pq.read_table(path, partitioning=None).drop_columns([column]), path)
    contents = [
        (folder / trial.path(table)).read_bytes() for table in ("generations", "models", "trials")
    ]
    (folder / trial.path("committed")).write_bytes(TrialFiles(*contents).marker(trial))


def test_only_the_columns_of_candidates_are_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    read = pq.ParquetFile.read

    def watched(file: Any, columns: Any = None, **rest: Any) -> Any:
        asked.append(columns)
        return read(file, columns, **rest)

    monkeypatch.setattr(pq.ParquetFile, "read", watched)
    monkeypatch.setattr(trial_tables, "_SMALL", {"trials": 0, "generations": 0})
    study = committed(tmp_path, trials=1)
    read_candidates(tmp_path, study.variants[0].id)
    assert asked == [
        ["study", "n_parameters"],
        ["generation", "cell", "n_compact", "capacity", *LOSS_COLUMNS, "test_L1"],
    ]


@pytest.mark.parametrize(
    ("losses", "shared"),
    [
        (["mse", "mse"], "mse"),
        (["l1", "l1"], "L1"),
        ([None, None], "L1"),
        (["mse", None], "L1"),
        (["mse", "huber"], "L1"),
    ],
)
def test_trials_are_compared_by_the_loss_that_all_were_trained_on(
    losses: list[str | None], shared: str
) -> None:
    assert shared_loss(pd.DataFrame({"loss": losses})) == shared


def test_trials_of_a_table_without_losses_are_compared_by_their_l1() -> None:
    assert shared_loss(pd.DataFrame({"variant": ["a"]})) == "L1"


def test_candidates_are_chosen_by_the_shared_loss() -> None:
    found = pd.DataFrame({"validation_loss": [3.0, 1.0], "validation_L1": [0.1, 0.2]})
    assert Tradeoff("", found, loss="mse").losses.tolist() == [3.0, 1.0]
    assert Tradeoff("", found).losses.tolist() == [0.1, 0.2]


def test_what_older_tables_do_not_say_is_their_l1(tmp_path: Path) -> None:
    committed(tmp_path, trials=1)
    found = read_candidates(tmp_path)
    assert found["validation_loss"].tolist() == found["validation_L1"].tolist()
