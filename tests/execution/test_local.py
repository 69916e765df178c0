"""Studies run for real: in this process and in others, killed, failing, and run again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
from helpers import setup_of, tiny_study
from studies import Killer, Listener, assert_same_study, names, run_study

from aes_lipi.coevolution.generation import generation
from aes_lipi.config import Study, StudyPart
from aes_lipi.errors import UserError
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.run import Summary
from aes_lipi.execution.run import run_study as run_on
from aes_lipi.models import read_model
from aes_lipi.results.reading import load_results
from aes_lipi.results.store import ResultStore

ENVIRONMENT_NAMES = [
    "AutoencoderBinaryClustering",
    "DenoisingAutoencoderBinaryClustering",
    "VariationalAutoencoderBinaryClustering",
]
LEFT_OVER = ".writing-" + "0123456789abcdef" * 2
SWEEP: dict[str, Any] = {
    "environment": ENVIRONMENT_NAMES,
    "engine": ["dense", "torch"],
    "prune_method": "random",
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    study = tiny_study(**SWEEP, prune_probability=0.5)
    directory = tmp_path_factory.mktemp("reference") / "study"
    assert run_study(study, directory, jobs=1) == Summary(committed=12, failed=0)
    return study, directory


@pytest.mark.usefixtures("cold_workers")
def test_two_processes_give_the_bits_of_one(reference: tuple[Study, Path], tmp_path: Path) -> None:
    study, directory = reference
    assert run_study(study, tmp_path / "jobs", jobs=2) == Summary(12, 0)
    assert_same_study(directory, tmp_path / "jobs")


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_nothing_is_lost(tmp_path: Path) -> None:
    study = tiny_study(trials=3, epochs=400, record_interval=1000)
    killer = Killer(kills=1)
    assert run_study(study, tmp_path / "killed", jobs=2, observer=killer) == Summary(3, 0)
    assert killer.kills == 0
    run_study(study, tmp_path / "whole", jobs=1)
    assert_same_study(tmp_path / "whole", tmp_path / "killed")
    assert not list((tmp_path / "killed").rglob(".writing-*"))


def test_a_finished_study_is_not_run_again_and_more_trials_extend_it(
    reference: tuple[Study, Path], tmp_path: Path
) -> None:
    study, _ = reference
    small = study.model_copy(update={"trials": 1})
    assert run_study(small, tmp_path / "a") == Summary(6, 0)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a/trials").rglob("*.parquet")}
    assert run_study(study, tmp_path / "a") == Summary(12, 0)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    assert_same_study(reference[1], tmp_path / "a")


def test_a_study_goes_on_with_what_a_part_of_it_has_left_out(
    reference: tuple[Study, Path], tmp_path: Path
) -> None:
    """A part lacks variants; the folder is described as that of the whole."""
    study, directory = reference
    part = StudyPart(without=frozenset(range(1, len(study.variants))))
    assert run_on(study, tmp_path, LocalRunner(1), part=part) == Summary(2, 0)
    assert set(load_results(tmp_path).trials["variant"]) == {study.variants[0].id}
    assert run_on(study, tmp_path, LocalRunner(1), part=part) == Summary(2, 0)
    assert run_study(study, tmp_path) == Summary(12, 0)
    assert_same_study(directory, tmp_path)


def test_a_folder_with_a_different_study_is_refused(
    reference: tuple[Study, Path], tmp_path: Path
) -> None:
    _, directory = reference
    other = tiny_study(**SWEEP, prune_probability=0.25)
    with pytest.raises(UserError, match=r"different study \(prune_probability: 0.5 there, 0.25"):
        run_study(other, directory)
    (tmp_path / LEFT_OVER).write_text("left by a killed run")
    ResultStore(tmp_path).open(other)
    (tmp_path / "study.json").unlink()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty and holds no study"):
        run_study(other, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", LEFT_OVER}


def test_a_failed_trial_is_recorded_and_the_study_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = generation

    def breaks_in_trial_one(tasks: Any) -> Any:
        if tasks[0].plan.address.trial == 1:
            raise FloatingPointError(f"diverged on {tmp_path / 'rows.csv'}")
        return real(tasks)

    monkeypatch.setattr("aes_lipi.coevolution.evolution.generation", breaks_in_trial_one)
    study = tiny_study(trials=3)
    assert run_study(study, tmp_path / "s") == Summary(committed=2, failed=1)
    failures = load_results(tmp_path / "s").failures
    assert failures["trial"].tolist() == [1]
    assert failures["error"].tolist() == ["FloatingPointError: diverged on .../rows.csv"]
    assert "breaks_in_trial_one" in failures["traceback"][0]
    for folder in (tmp_path, Path(__file__).parent, Path(sys.prefix)):  # results travel
        assert str(folder) not in failures["traceback"][0]
    monkeypatch.setattr("aes_lipi.coevolution.evolution.generation", real)
    assert run_study(study, tmp_path / "s") == Summary(2, 1)
    assert run_study(study, tmp_path / "s", retry_failed=True) == Summary(3, 0)


def test_results_are_plain_tables(reference: tuple[Study, Path]) -> None:
    """Read as the README says, by pandas alone and by DuckDB."""
    study, directory = reference
    trials = pd.read_parquet(directory / "trials")
    generations = pd.read_parquet(f"{directory}/generations")
    assert len(trials) == 12
    assert len(generations) == 12 * 3 * 4
    assert set(trials["variant"]) == {variant.id for variant in study.variants}
    for column in (
        *("best_cell", "test_loss", "mean_L1", "capacity", "n_parameters"),
        *("n_zero_encoder", "n_zero_decoder", "wall_time_s", "prune_method", "epochs"),
    ):
        assert trials[column].notna().all()
    last = generations[generations["generation"] == 2]
    means = last.groupby(["variant", "trial"], observed=True)["mean_L1"].mean()
    at = trials.set_index(["variant", "trial"])
    np.testing.assert_allclose(means.sort_index(), at["mean_L1"].sort_index())
    last_cells = duckdb.sql(
        f"select * from read_parquet('{directory}/generations/**/*.parquet') where cell = 3"
    )
    assert last_cells is not None
    assert len(last_cells.fetchall()) == 12 * 3


def test_the_saved_model_is_the_best_cell(reference: tuple[Study, Path]) -> None:
    study, directory = reference
    trials = load_results(directory).trials
    row = trials[trials["environment"] == ENVIRONMENT_NAMES[0]].iloc[0]
    path = directory / f"models/variant={row['variant']}/trial={row['trial']:04d}.safetensors"
    model = read_model(path)
    assert model.provenance["cell"] == row["best_cell"]
    variant = next(v for v in study.variants if v.id == row["variant"])
    test = setup_of(variant).dataset.test
    errors = np.abs(model.reconstruct(test) - test)
    batches = [errors[k : k + 5].mean() for k in range(0, len(test), 5)]
    assert row["test_loss"] == pytest.approx(np.mean(batches), rel=1e-5)


def test_all_centres_are_saved_on_request_and_start_another_study(tmp_path: Path) -> None:
    study = tiny_study(trials=1, store_all_nodes=True)
    run_study(study, tmp_path / "first")
    [path] = (tmp_path / "first/models").rglob("*.safetensors")
    assert len(read_model(path).others) == 4
    warm = tiny_study(trials=1, epochs=1, learning_rate=1e-9, ann_path=str(tmp_path / "first"))
    run_study(warm, tmp_path / "second")
    cold, started = (load_results(tmp_path / name).trials for name in ("first", "second"))
    assert started["best_mean_L1"][0] == pytest.approx(cold["best_mean_L1"][0], abs=1e-6)
    wrong = tiny_study(trials=1, latent_size=2, ann_path=str(tmp_path / "first"))
    with pytest.raises(UserError, match=r"its layers are 7-4-3-4-7, the study's 7-4-2-4-7"):
        run_study(wrong, tmp_path / "third")
    assert not (tmp_path / "third").exists()


def test_retrieval_measures_on_request(tmp_path: Path) -> None:
    run_study(tiny_study(trials=1, retrieval_measures=True), tmp_path / "s")
    row = load_results(tmp_path / "s").trials.iloc[0]
    assert 0 < row["recall_at_20"] <= 1
    assert 0 < row["ndcg_at_50"] <= 1


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"cannot be read \(Not a directory\); ") as error:
        run_study(tiny_study(), tmp_path / "file" / "below")
    assert "\n" not in str(error.value)


def test_a_study_is_started_again_on_request_and_says_what_it_removed(tmp_path: Path) -> None:
    heard = Remarks()
    run_study(tiny_study(trials=1), tmp_path / "s")
    (tmp_path / "s" / "notes.txt").write_text("mine")
    other = tiny_study(trials=2, epochs=2)
    assert run_study(other, tmp_path / "s", observer=heard, fresh=True) == Summary(2, 0)
    assert heard.notices == ["removed 4 files of earlier results, and none of others"]
    (tmp_path / "s" / "notes.txt").unlink()
    run_study(other, tmp_path / "whole")
    assert_same_study(tmp_path / "whole", tmp_path / "s")


def test_what_is_run_again_for_want_of_a_marker_is_said(tmp_path: Path) -> None:
    heard = Remarks()
    run_study(tiny_study(trials=2), tmp_path / "s")
    [marker] = (tmp_path / "s" / "committed").rglob("trial=0001.json")
    marker.unlink()
    assert run_study(tiny_study(trials=2), tmp_path / "s", observer=heard) == Summary(2, 0)
    [line] = heard.notices
    assert line.startswith("skipped a trial without a commit marker (variant=v")
    assert line.endswith("trial=0001); to be run again")


def test_a_finished_study_needs_neither_room_nor_the_folder_to_itself(tmp_path: Path) -> None:
    study = tiny_study(trials=1)
    run_study(study, tmp_path / "s")
    before = names(tmp_path / "s")
    with ResultStore(tmp_path / "s").locked():
        assert run_study(study, tmp_path / "s") == Summary(1, 0)
        with pytest.raises(UserError, match="in use by process"):
            run_study(tiny_study(trials=2), tmp_path / "s")
    assert names(tmp_path / "s") == before


class Remarks(Listener):
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.notices: list[str] = []

    def noticed(self, text: str) -> None:
        self.notices.append(text)
