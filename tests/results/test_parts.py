"""A folder that lacks a part is read for what it has, and a study that grew runs what is new."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_study
from studies import run_study

from aes_lipi.analysis.report import analyse
from aes_lipi.cli.tables import print_status
from aes_lipi.errors import UserError
from aes_lipi.execution.run import Summary
from aes_lipi.results.model_files import load_model, warm_start_files
from aes_lipi.results.reading import load_results
from aes_lipi.results.status import study_status

STUDY = tiny_study(trials=2, epochs=1)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parts") / "s"
    assert run_study(STUDY, folder) == Summary(2, 0)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "s")
    return tmp_path / "s"


@pytest.mark.parametrize(
    ("gone", "tables", "counts"),
    [
        (["models"], ["trials", "generations"], (2, 8)),
        (["generations"], ["trials"], (2, 0)),
        (["trials"], ["generations"], (0, 8)),
        (["models", "generations", "study.json"], ["trials"], (2, 0)),
        (["generations"], ["trials", "generations"], (0, 0)),
        (["generations"], None, (2, 0)),
        (["trials", "models"], None, (0, 8)),
        (["trials", "generations"], None, (0, 0)),
        (["committed"], ["trials"], (0, 0)),
    ],
)
def test_a_reader_asks_for_what_it_reads(
    folder: Path, gone: list[str], tables: list[str] | None, counts: tuple[int, int]
) -> None:
    for name in gone:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = load_results(folder, tables)
    assert (len(found.trials), len(found.generations)) == counts
    assert bool(found.skipped) == (counts == (0, 0) or tables is None)


def test_what_is_there_is_read_and_only_the_same_command_runs_again_what_lacks_a_table(
    folder: Path,
) -> None:
    shutil.rmtree(folder / "generations")
    assert load_results(folder).skipped == ("generations: not in the folder",)
    with pytest.raises(UserError, match=r"skipped 2 trials with a table that is missing"):
        analyse(folder)
    assert study_status(folder).trials.committed == 0
    assert not (folder / "generations").exists()
    assert run_study(STUDY, folder) == Summary(2, 0)
    assert len(load_results(folder).generations) == 8


def test_without_models_it_is_committed_and_nothing_runs_again(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(folder / "models")
    status = study_status(folder)
    assert (status.trials.committed, status.without_model) == (2, 2)
    print_status(status)
    assert "2 committed, model missing or damaged" in capsys.readouterr().out
    assert run_study(STUDY, folder) == Summary(2, 0)
    assert not (folder / "models").exists()


def test_models_alone_are_enough_to_start_from(folder: Path) -> None:
    for path in (folder / "trials").rglob("*.parquet"):
        path.unlink()
    assert [load_model(path).provenance["trial"] for path in warm_start_files(folder)] == [0, 1]


@pytest.mark.parametrize(
    ("more", "committed"),
    [
        ({"trials": 3}, 3),
        ({"epochs": [1, 2]}, 4),  # a value more
        ({"radius": [1, 2]}, 4),
        ({"epochs": [2, 1], "trials": 3}, 6),  # in another order
    ],
)
def test_a_sweep_that_grows_runs_what_is_new(
    folder: Path, more: dict[str, Any], committed: int
) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("trial=*.*")}
    grown = tiny_study(**{"trials": 2, "epochs": 1, **more})
    assert run_study(grown, folder) == Summary(committed, 0)
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    status = study_status(folder)
    assert status.trials.total == status.trials.committed == committed
    assert len(load_results(folder).trials) == committed
    if "trials" not in more:
        with pytest.raises(UserError, match=r"holds a different study .it only lacks 1 variant"):
            run_study(STUDY, folder)


@pytest.mark.parametrize("other", [{"epochs": 2}, {"epochs": [2, 3]}, {"learning_rate": 0.5}])
def test_a_sweep_that_changes_is_refused(folder: Path, other: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="holds a different study"):
        run_study(tiny_study(**{"trials": 2, "epochs": 1, **other}), folder)
