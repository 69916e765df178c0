"""A study of the version before this one: read, reported and exported, and not extended."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from studies import run_study
from typer.testing import CliRunner

from aes_lipi.cli.commands import app
from aes_lipi.config import ID_FORMAT, Study, load_preset, resolve_study
from aes_lipi.errors import UserError
from aes_lipi.models import read_model
from aes_lipi.results.description import STUDY_FILE
from aes_lipi.results.reading import load_results
from aes_lipi.results.status import study_status

FIXTURE = Path(__file__).parent / "fixtures" / "study-bd0f917"
VARIANTS = ("vbce4940c74", "vaf292de273")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(FIXTURE, tmp_path / "study")


def same_study() -> Study:
    """The study of the folder, as this version resolves it."""
    described = json.loads((FIXTURE / STUDY_FILE).read_text())
    names = {"dataset_name", "population_size", "epochs", "record_interval", "store_recorded"}
    [first, _] = described["variants"].values()
    settings = {name: first[name] for name in names}
    return resolve_study("quickstart", load_preset("quickstart"), {**settings, "trials": 2})


def typed(*words: str) -> str:
    result = CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_results_are_read() -> None:
    results = load_results(FIXTURE)
    assert results.skipped == ()
    assert results.trials.groupby("variant").size().to_dict() == dict.fromkeys(VARIANTS, 2)
    assert len(results.generations) == 4 * 12 * 3
    assert results.trials[["mean_L1", "test_loss"]].notna().all(axis=None)


def test_status_is_read() -> None:
    status = study_status(FIXTURE)
    assert (status.study, status.trials.total, status.trials.committed) == ("quickstart", 4, 4)
    assert [each.label for each in status.variants] == ["no pruning", "random, exponential"]


@pytest.mark.parametrize("path", sorted(FIXTURE.glob("models/*/*.safetensors")))
def test_models_are_loaded_and_score_rows(path: Path) -> None:
    model = read_model(path)
    assert model.provenance["variant"] in VARIANTS
    rows = np.random.default_rng(0).random((5, 40))
    assert np.array_equal(model.reconstruct(rows), model.decode(model.encode(rows)))
    assert (model.score(rows) > 0).all()


def test_it_is_reported(folder: Path) -> None:
    typed("analyse", str(folder), "--formats", "")
    assert (folder / "report" / "report.html").stat().st_size > 10_000


def test_its_models_are_exported(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shown = typed("export", str(folder), "--variant", VARIANTS[1], "--output_dir", str(out))
    assert "validation L1 0." in shown
    model = read_model(out / "model.safetensors")
    assert model.provenance["variant"] == VARIANTS[1]


def test_to_extend_it_is_refused_in_a_line_that_says_why(folder: Path) -> None:
    message = (
        r"study: written by an earlier version of aes_lipi, whose ids of variants are of another "
        rf"format \(1 there, {ID_FORMAT} here\); choose another --output_dir, or --fresh to "
        r"remove its results and start again$"
    )
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        run_study(same_study(), folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("written", [ID_FORMAT + 1, "2", None])
def test_a_study_of_a_later_version_is_not_extended_either(folder: Path, written: object) -> None:
    described = json.loads((folder / STUDY_FILE).read_text())
    (folder / STUDY_FILE).write_text(json.dumps({**described, "format": written}))
    with pytest.raises(UserError, match="written by another version of aes_lipi"):
        run_study(same_study(), folder)


def test_it_makes_way_if_asked(folder: Path) -> None:
    study = same_study()
    assert len(study.variants) == 2
    run_study(study, folder, fresh=True)
    assert json.loads((folder / STUDY_FILE).read_text())["format"] == ID_FORMAT
    assert set(load_results(folder).trials["variant"]) == {each.id for each in study.variants}
    assert not set(VARIANTS) & {each.id for each in study.variants}
