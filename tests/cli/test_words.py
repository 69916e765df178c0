"""What is printed is what was meant, whatever the names are and wherever it goes."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import warm
from helpers import tiny_study
from patience import PATIENCE_S
from studies import run_study

from aes_lipi.cli import entry
from aes_lipi.cli.tables import print_status, print_summary
from aes_lipi.results.status import study_status

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["run [red]", "[/bold]", ":x: :smiley:", "[link=x]y", "back\\[s]"]


def test_names_in_tables_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = tiny_study(trials=1, epochs=1)
    summary = run_study(study, tmp_path / "s")
    status = study_status(tmp_path / "s")
    for name in NAMES:
        print_summary(study.model_copy(update={"name": name}), tmp_path / "s", summary)
        said = capsys.readouterr().out
        assert said.count(name) == 2  # in the title, and as the only variant's label
        [variant] = status.variants
        print_status(replace(status, study=name, variants=(replace(variant, label=name),)))
        assert capsys.readouterr().out.count(name) == 2


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_help_fits_an_old_terminal(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "--help"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "80"},
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"--prune_schedule" in done.stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_what_is_lost_of_an_answer_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, str(ROOT / "run.py"), "--list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith("error: standard output: No space left on device; ")


def test_a_study_outlives_all_its_readers(tmp_path: Path) -> None:
    """Both streams closed at the other end, as `2>&1 | head` leaves them."""
    reading, writing = os.pipe()
    os.close(reading)
    fields = {"n_clusters": 2, "n_examples_per_cluster": 4, "n_dim": 6, "trials": 1, "epochs": 1}
    flags = [word for name, value in fields.items() for word in (f"--{name}", str(value))]
    where = ["--local", "--jobs", "1", "--output_dir", str(tmp_path / "s")]
    command = [sys.executable, ROOT / "run.py", "--rq", "quickstart", *flags, *where]
    with warm.start(command, stdout=writing, stderr=writing) as process:
        os.close(writing)
    assert process.returncode == 0
    assert study_status(tmp_path / "s").trials.committed == 2


def test_the_end_of_a_file_is_no_interruption(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cut_short(location: str) -> None:
        raise EOFError("Ran out of input")

    monkeypatch.setattr("aes_lipi.results.status.study_status", cut_short)
    monkeypatch.setattr(sys, "argv", ["aes-lipi", "status", "x"])
    monkeypatch.setattr(entry.signal, "signal", lambda *_: None)  # type: ignore[attr-defined]
    with pytest.raises(SystemExit, match="70"):
        entry.main()
    assert capsys.readouterr().err.rstrip().endswith("EOFError: Ran out of input")
