"""What a running study shows on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from helpers import tiny_study
from rich.console import Console

from aes_lipi.cli.progress import LiveProgress, PlainProgress, Tally
from aes_lipi.config import Study
from aes_lipi.execution.job import jobs_of


def _study() -> Study:
    return tiny_study(trials=3, learning_rate=[0.01, 0.02, 0.03])


def test_the_table_has_a_row_for_every_variant_and_a_line_for_the_whole() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, height=30, color_system=None)
    study = _study()
    jobs = jobs_of(study)
    with LiveProgress(study, console) as progress:
        progress.started(jobs, done=2)
        progress.placed(3, 6.0)
        progress.advanced(jobs[0], 3)
        progress.finished(jobs[0], None)
        progress.advanced(jobs[1], 1)
        progress.finished(jobs[2], "diverged [/bold]")
        progress.noticed("the cluster [mixes] kinds")
    text = screen.getvalue()
    last = text[text.rindex("done  running  failed") :]
    assert "1 of 3        0" in last
    assert "0 of 3        1" in last
    assert "0 of 3        0       1" in last
    assert "3 of 11 trials, 1 failed, starting, 3 nodes, 6 CPUs" in last
    assert "failed: " in text
    assert "diverged [/bold]" in text
    assert "the cluster [mixes] kinds" in text


def test_where_not_all_variants_fit_those_that_run_are_shown() -> None:
    study = _study()
    jobs = jobs_of(study)
    tally = Tally()
    tally.start(jobs, 0)
    tally.advance(jobs[2], 1)
    assert [row.label for row in tally.rows(1)] == [jobs[2].label]
    assert len(tally.rows(0)) == 1
    assert len(tally.rows(99)) == 3


def test_plain_lines_say_where_a_study_runs_once(capsys: pytest.CaptureFixture[str]) -> None:
    study = _study()
    with PlainProgress(study) as progress:
        progress.started(jobs_of(study), 0)
        for _ in range(3):
            progress.placed(1, 2.0)
        progress.placed(2, 4.0)
    assert capsys.readouterr().err.splitlines() == [
        "tiny: 9 trials to run, 0 done before",
        "tiny: on 1 node, 2 CPUs",
        "tiny: on 2 nodes, 4 CPUs",
    ]
