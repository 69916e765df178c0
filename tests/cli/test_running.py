"""What a running study shows on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from helpers import tiny_study
from rich.console import Console

from aes_lipi.cli.running import LiveProgress, PlainProgress, StudyProgress, summary_line, tallies
from aes_lipi.config import Study
from aes_lipi.execution.messages import (
    Began,
    Event,
    Heard,
    Opened,
    Placed,
    Queued,
    Reached,
    Remarked,
    Started,
    Written,
    jobs_of,
)
from aes_lipi.execution.study import StudyState, TrialProgress


def _study() -> Study:
    return tiny_study(trials=3, learning_rate=[0.01, 0.02, 0.03])


def _state(study: Study) -> StudyState:
    """Before its first event, every trial in the queue."""
    trials = [TrialProgress(job.id, job.label, job.variant.epochs) for job in jobs_of(study)]
    return StudyState(trials)


def _tell(state: StudyState, progress: StudyProgress, *events: Event) -> None:
    for now, event in enumerate(events):
        progress(state, event, state.handle(event, float(now)), float(now))


def test_the_table_has_a_row_for_every_variant_and_a_line_for_the_whole() -> None:
    screen = io.StringIO()
    console = Console(
        file=screen,
        force_terminal=True,
        width=100,
        height=30,
        color_system=None,
        markup=False,
        emoji=False,
    )
    study = _study()
    state, jobs = _state(study), jobs_of(study)
    with LiveProgress(study, console) as progress:
        _tell(
            state,
            progress,
            *(Began(2), Placed(3, 6.0), Started(jobs[0].id, 3), Written(jobs[0].id, None)),
            *(Started(jobs[1].id, 1), Written(jobs[2].id, "diverged [/bold]")),
            Remarked("the cluster [mixes] kinds"),
        )
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
    state, jobs = _state(study), jobs_of(study)
    state.handle(Started(jobs[2].id, 0), 0.0)
    assert [row.label for row in tallies(state, 1)] == [jobs[2].label]
    assert len(tallies(state, 0)) == 1
    assert len(tallies(state, 99)) == 3


def test_plain_lines_say_what_is_new_once(capsys: pytest.CaptureFixture[str]) -> None:
    study = _study()
    [first, *_] = jobs_of(study)
    events: list[Event] = [Began(0), *[Placed(1, 2.0)] * 3, Placed(2, 4.0)]
    events += [Queued(((first.id,),)), Opened(0), Started(first.id, 2)]
    events += [Remarked("a remark"), Written(first.id, "diverged")]
    with PlainProgress(study) as progress:
        _tell(_state(study), progress, *events)
    assert capsys.readouterr().err.splitlines() == [
        "tiny: 9 trials to run, 0 done before",
        "tiny: on 1 node, 2 CPUs",
        "tiny: on 2 nodes, 4 CPUs",
        f"tiny: {first.label}, trial 0: goes on from its checkpoint at generation 2 of 3",
        "tiny: a remark",
        f"failed: {first.label} (variant {first.id.variant}), trial 0: diverged",
    ]


def test_speed_and_time_left_are_told_once_they_can_be_known() -> None:
    study = _study()
    state, jobs = _state(study), jobs_of(study)
    for event in (Began(0), Queued(((jobs[0].id,),)), Opened(0), Started(jobs[0].id, 0)):
        state.handle(event, 0.0)
    state.handle(Heard(jobs[0].id, Reached(1)), 0.0)
    assert summary_line(state, 1.0) == "0 of 9 trials, starting"
    assert summary_line(state, 4.0) == "0 of 9 trials, 0.2 generations/s, 2 min left"
