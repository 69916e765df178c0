"""Files that changed after they were committed: nothing hands them on, and what makes them anew."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import random_pair, tiny_study, tiny_variant
from studies import assert_same_study

import aes_lipi
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.callbacks import End, RecordedGeneration
from aes_lipi.config import Study
from aes_lipi.data.load import rebuilt_dataset
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import with_digests
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.run import Summary, run_study
from aes_lipi.export import export
from aes_lipi.export.package import check_measured
from aes_lipi.models import Model, read_model, save_model
from aes_lipi.results.cleaning import clean
from aes_lipi.results.health import inspect_folder
from aes_lipi.results.inventory import take_inventory
from aes_lipi.results.model_files import warm_start_files
from aes_lipi.results.reading import load_results
from aes_lipi.results.status import study_status
from aes_lipi.results.storage import LocalStorage
from aes_lipi.results.trial_files import TrialId

STUDY = tiny_study(update_order="asynchronous")
FIRST, SECOND = (TrialId(STUDY.variants[0].id, k) for k in range(2))


def run(study: Study, folder: Path, *, restore_models: bool = False) -> Summary:
    return run_study(study, folder, LocalRunner(1), restore_models=restore_models)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("whole")
    run(STUDY, place)
    return place


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "study")


def flip(path: Path) -> None:
    """One bit, and neither size nor time of change tell."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange(path: Path) -> None:
    """Another trial's file under this one's name."""
    shutil.copy2(path.with_name(path.name.replace("0000", "0001")), path)


HANDED_ON: dict[str, Callable[[Path], object]] = {
    "export": lambda folder: export(folder, trial=0),
    "load_model": lambda folder: aes_lipi.load_model(folder / FIRST.path("models")),
    "warm start": lambda folder: with_digests(tiny_study(ann_path=str(folder))),
    "warm start from a file": lambda folder: warm_start_files(folder / FIRST.path("models")),
}


@pytest.mark.parametrize("damage", [flip, exchange])
@pytest.mark.parametrize("use", HANDED_ON)
def test_a_model_that_is_not_what_was_committed_is_not_handed_on(
    folder: Path, use: str, damage: Callable[[Path], None]
) -> None:
    HANDED_ON[use](folder)
    damage(folder / FIRST.path("models"))
    with pytest.raises(UserError, match=r"trial=0000.safetensors: is missing, or is not what was"):
        HANDED_ON[use](folder)
    aes_lipi.load_model(folder / SECOND.path("models"))


def test_reads_that_are_not_what_was_committed_are_not_repeated(
    folder: Path, tmp_path: Path
) -> None:
    flip(folder / FIRST.path("generations"))
    with pytest.raises(UserError, match=r"generations.+trial=0000.parquet: is missing, or is not"):
        run_study(STUDY, tmp_path / "again", LocalRunner(1), replay=folder)


@pytest.mark.parametrize("damage", [Path.unlink, flip, exchange])
def test_a_lost_model_is_made_again_where_that_is_asked(
    folder: Path, whole: Path, damage: Callable[[Path], None]
) -> None:
    """Of an asynchronous trial, too; tables are used meanwhile, and nothing runs unasked."""
    damage(folder / FIRST.path("models"))
    marker = folder / FIRST.path("committed")
    before = marker.stat().st_mtime_ns
    assert run(STUDY, folder) == Summary(2, 0)
    assert marker.stat().st_mtime_ns == before
    assert len(load_results(folder).trials) == 2
    assert study_status(folder).trials.committed == 2
    assert run(STUDY, folder, restore_models=True) == Summary(2, 0)
    assert_same_study(whole, folder)
    assert run(STUDY, folder, restore_models=True) == Summary(2, 0)


def test_a_missing_model_is_written_beside_what_is_whole(whole: Path, folder: Path) -> None:
    """So that nothing is lost if that is cut short: marker and tables stay as they are."""
    path = folder / FIRST.path("models")
    path.unlink()
    kept = [folder / FIRST.path(kind) for kind in ("trials", "generations", "committed")]
    before = [(each.read_bytes(), each.stat().st_mtime_ns) for each in kept]
    assert run(STUDY, folder, restore_models=True) == Summary(2, 0)
    assert [(each.read_bytes(), each.stat().st_mtime_ns) for each in kept] == before
    assert path.read_bytes() == (whole / FIRST.path("models")).read_bytes()


class _Ends(aes_lipi.Callback):
    """Ends every trial at its first recorded generation."""

    def on_generation(self, generation: RecordedGeneration) -> End:
        return "trial"


@pytest.mark.parametrize("order", ["sequential", "asynchronous"])
@pytest.mark.parametrize(
    ("why", "rule"),
    [
        ("target_loss", {"target_loss": 10.0}),
        ("patience", {"patience": 1, "learning_rate": 10.0}),
        ("callback", {}),
    ],
)
def test_the_model_of_a_trial_that_ended_early_is_made_again_as_it_was(
    tmp_path: Path, order: str, why: str, rule: dict[str, Any]
) -> None:
    """Though nobody calls back any more; and an asynchronous one can be replayed."""
    study = tiny_study(trials=1, update_order=order, epochs=4, record_interval=1, **rule)
    callbacks = [_Ends()] if why == "callback" else []
    results = aes_lipi.run(study, tmp_path / "s", callbacks=callbacks, progress=False)
    assert results.trials["stopped"].tolist() == [why]
    shutil.copytree(tmp_path / "s", tmp_path / "before")
    [path] = (tmp_path / "s" / "models").rglob("*.safetensors")
    path.unlink()
    assert run(study, tmp_path / "s", restore_models=True) == Summary(1, 0)
    assert_same_study(tmp_path / "before", tmp_path / "s")
    if order == "asynchronous":
        run_study(study, tmp_path / "again", LocalRunner(1), replay=tmp_path / "before")
        assert_same_study(tmp_path / "before", tmp_path / "again")


def test_what_is_missing_or_damaged_is_told_with_what_makes_it_again(folder: Path) -> None:
    (folder / FIRST.path("models")).unlink()
    flip(folder / SECOND.path("models"))
    flip(folder / SECOND.path("trials"))
    said = {
        (each.said.partition(":")[0], each.said.split("/")[0].split()[-1]): each.remedy
        for each in inspect_folder(folder).findings()
        if each.state == "problem"
    }
    restore = "run the study's command again with --restore_models"
    assert said == {
        ("1 file missing", "models"): restore,
        ("1 file damaged", "models"): restore,
        ("1 file damaged", "trials"): (
            "remove them, then run the study's command again, which goes on and mends"
        ),
    }
    assert clean(folder).kept == (
        f"1 trial has a model missing or damaged (the first: variant={FIRST.variant} trial=0000); "
        "tables are used, and --restore_models makes them again",
    )


def test_a_table_that_changed_since_its_marker_counts_as_not_committed(folder: Path) -> None:
    path = folder / FIRST.path("generations")
    flip(path)
    storage = LocalStorage(folder)
    assert len(take_inventory(storage).committed) == 2
    path.touch()
    assert list(take_inventory(storage).committed) == [SECOND]
    assert study_status(folder).trials.committed == 1


def test_a_copy_without_times_of_change_is_whole(folder: Path) -> None:
    for path in folder.rglob("*.parquet"):
        path.touch()
    assert len(take_inventory(LocalStorage(folder)).committed) == 2


def test_a_flipped_bit_anywhere_in_a_model_of_its_own_is_refused(tmp_path: Path) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 4, (3,), 2)
    path = tmp_path / "m.safetensors"
    settings = tiny_variant().portable() | {"digest": "0" * 64}
    columns = ("a", '"digest": "' + "0" * 64 + '"', "c", "d")
    model = Model(architecture, random_pair(architecture, 0), (), {"settings": settings})
    save_model(path, Model(**{**vars(model), "columns": columns}))
    content = path.read_bytes()
    assert read_model(path).columns == columns
    for place in np.random.default_rng(0).choice(8 * len(content), 300, replace=False):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << (place % 8)
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="not a model saved by aes_lipi"):
            read_model(path)


def test_an_export_measures_the_model_and_compares_it_with_the_tables(folder: Path) -> None:
    done = export(folder, trial=0)
    told = {"validation_L1": done.choice.validation_L1, "test_L1": done.choice.test_L1}
    assert done.rows.measured == pytest.approx(told, abs=1e-5)
    check_measured(done.rows, told | {"validation_L1": float("nan")})
    with pytest.raises(
        UserError, match=r"^test_L1 of the model is 0\.\d+ on the data at hand, and"
    ):
        check_measured(done.rows, told | {"test_L1": told["test_L1"] + 0.01})


def test_data_are_made_again_for_what_a_file_says_within_a_bound() -> None:
    named = tiny_variant(n_dim=10**6, n_examples_per_cluster=1000)
    with pytest.raises(UserError, match=r"more values \(.+\) than are made again"):
        rebuilt_dataset(named)
    unknown = tiny_variant().model_copy(update={"data": "/etc/passwd", "data_digest": None})
    with pytest.raises(UserError, match=r"is not known by its content"):
        rebuilt_dataset(unknown)
    assert rebuilt_dataset(tiny_variant()).n_dim == 7
