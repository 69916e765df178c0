"""The command `doctor`, on this machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import warm
from prepared import prepared_study, run_prepared, trial_ids
from typer.testing import CliRunner

from aes_lipi.cli.commands import app
from aes_lipi.errors import UserError
from aes_lipi.execution import machine

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("study")
    run_prepared(prepared_study(), place)
    return place


def test_a_machine_and_a_folder_for_people(folder: Path) -> None:
    told = warm.run([sys.executable, "-m", "aes_lipi", "doctor", folder])
    assert (told.returncode, told.stderr) == (0, "")
    *rows, last = told.stdout.splitlines()
    assert last == "all is well"
    subjects = [row[:16].strip() for row in rows]
    for subject in ("python", "cores", "memory", "kernels", "ray", "object stores", "trials"):
        assert subject in subjects


def test_trials_that_are_no_longer_asked_for_are_not_counted(folder: Path, tmp_path: Path) -> None:
    place = shutil.copytree(folder, tmp_path / "study")
    document = json.loads((place / "study.json").read_text())
    document["trials"] = 1
    (place / "study.json").write_text(json.dumps(document))
    told = CliRunner().invoke(app, ["doctor", str(place), "--json"], standalone_mode=False)
    said = [each["said"] for each in json.loads(told.stdout)["findings"]]
    assert any(each.startswith("1 of 1 committed") for each in said), said


def test_a_machine_and_a_damaged_folder_for_programs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_GPUS", "print('[]')")
    (folder / trial_ids(prepared_study())[0].path("models")).unlink()
    told = CliRunner().invoke(app, ["doctor", str(folder), "--json"], standalone_mode=False)
    assert told.return_value == 1
    answer = json.loads(told.stdout)
    assert not answer["well"]
    [problem] = [each for each in answer["findings"] if each["state"] == "problem"]
    assert problem["subject"] == "files"
    assert problem["remedy"]
    assert answer["machine"]["cores"] >= 1
    assert answer["machine"]["packages"]["numpy"]


def test_without_ray_and_with_a_torch_that_is_broken_it_answers(tmp_path: Path) -> None:
    """The process that asks imports neither; torch is asked in another, which may fail."""
    (tmp_path / "torch.py").write_text("raise ImportError('libtorch.so: cannot open')")
    program = (
        "import os, sys; sys.modules['ray'] = sys.modules['torch'] = None; "
        f"os.environ['PYTHONPATH'] = {str(tmp_path)!r}; "
        "from aes_lipi.cli import main; main()"
    )
    command = [sys.executable, "-c", program, "doctor"]
    told = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert told.returncode == 1
    assert "libtorch.so: cannot open" in told.stdout
    assert told.stdout.splitlines()[-1] == "1 problem"


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^{tmp_path}: holds no study; give the --output_dir of"):
        CliRunner().invoke(app, ["doctor", str(tmp_path)], catch_exceptions=False)
