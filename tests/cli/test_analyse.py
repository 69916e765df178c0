"""The commands `analyse` and `reproduce`, as a user types them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from made_up import commit_made_up, made_up_study
from plugin_modules import said_in
from studies import breaks_in_trial_one
from typer.testing import CliRunner

from aes_lipi.analysis.report import writing
from aes_lipi.cli.commands import app
from aes_lipi.errors import UserError
from aes_lipi.reproduction import plan
from aes_lipi.reproduction.plan import ScaledDown


def typed(*words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture
def study(tmp_path: Path) -> Path:
    losses = np.linspace(0.1, 0.4, 6).reshape(3, 2)
    made_up = made_up_study(["random", "None"], 2)
    commit_made_up(tmp_path / "study", made_up, {"random": [losses, None], "None": [losses]})
    return tmp_path / "study"


def test_analyse_says_where_the_report_is_which_is_no_part_of_the_study(
    study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = typed("analyse", str(study), "--formats", "png")
    assert f"figures: {study / 'report' / 'figures'}" in shown
    assert f"report: {study / 'report' / 'report.html'}" in shown
    assert (study / "report" / "report.html").stat().st_size > 10_000
    assert list((study / "report" / "figures").glob("*.png"))
    assert typed("clean", str(study)) == "nothing to remove"
    assert (study / "report" / "report.html").exists()
    monkeypatch.setattr(writing, "pictures", lambda drawn: iter(()))
    again = typed("analyse", str(study), "--report-dir", str(study.parent / "r"), "--formats", "")
    assert f"report: {study.parent / 'r' / 'report.html'}" in again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("analyse", "nowhere"), "nowhere: holds no results"),
        (("analyse", "nowhere", "--formats", "svg,tiff"), "tiff: no format of figures"),
        (("reproduce", "--figures", "best_of_lippi"), "did you mean best_of_lipi"),
        (("reproduce", "--output_dir", "s3://bucket/r"), "the page is written to a folder here"),
    ],
)
def test_mistakes_are_said_in_a_line(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        typed(*words)


def test_reproduce_says_what_it_would_run(tmp_path: Path) -> None:
    shown = typed("reproduce", "--dry_run", "--output_dir", str(tmp_path))
    assert "best_of_lipi 4 120" in shown
    assert "control_ring_canonical_policy 2 60" in shown
    assert not list(tmp_path.iterdir())


def test_reproduce_judges_what_is_there(tmp_path: Path) -> None:
    words = ("reproduce", "--read_only", "--output_dir", str(tmp_path))
    shown = typed(*words, "--figures", "best_of_lipi", "--instances", "2")
    assert "best_of_lipi: not run" in shown
    page = (tmp_path / "reproduction.html").read_text()
    assert "On the ring, random pruning beats guided pruning" in page
    assert "not run" in page
    assert "Intervals are over data sets" in page
    assert "L1 is 0.271 (data seed 1), 0.27" in page


def test_reproduce_runs_what_is_missing_and_sets_it_beside_the_published_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The baseline itself, for a few generations; half its trials fail at the first try."""
    monkeypatch.setattr(plan, "QUICK", ScaledDown(trials=2, epochs=4))
    here = ("--local", "--jobs", "1", "--output_dir", str(tmp_path))
    words = ("reproduce", "--quick", "--figures", "best_of_canonical", *here)
    with monkeypatch.context() as patch:
        patch.setattr("aes_lipi.coevolution.evolution.generation", breaks_in_trial_one)
        done = said_in(tmp_path, "aes-lipi", *words)
    assert done.returncode == 1
    assert "training diverged" in done.stderr
    folder = tmp_path / "quick" / "best_of_canonical" / "trials"
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*.parquet")}
    assert len(times) == 4
    shown = typed(*words, "--retry_failed")
    assert "4 trials to run, 4 done before" in shown
    page = tmp_path / "quick" / "reproduction.html"
    assert f"reproduction: {page}" in shown
    text = page.read_text()
    assert "Scaled down: 2 trials of 4 generations in rings of 5 cells" in text
    assert "too few trials" in text
    assert "lie in an interval that counts the error of these, too" in text
    assert "Scaled down: 2 trials" in shown
    assert (tmp_path / "quick" / "figures" / "best_of_canonical.svg").exists()
    assert len(list(folder.rglob("*.parquet"))) == 8
    assert {path: path.stat().st_mtime_ns for path in times} == times
