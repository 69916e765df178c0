"""Trials in this process for tests: rings before, between and after generations."""

from __future__ import annotations

import dataclasses

from aes_lipi.coevolution.evolution import InProcess, TrialFailed, first_states, run_steps
from aes_lipi.coevolution.records import Record, in_order
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Cell, Held, Reads, Setup, TrialState


def begun(setup: Setup, trial: int = 0) -> TrialState[Held]:
    """A trial before its first generation."""
    schedule = Schedule(setup.variant)
    return schedule.start(trial, first_states(setup, trial, schedule.first_versions))


def course_of(
    setup: Setup, start: TrialState[Held], replay: Reads | None = None
) -> list[TrialState[Held]]:
    """All states of a trial that are left; raises what ends it."""
    found = []
    for _, news in run_steps([start], [Schedule(setup.variant, replay)], InProcess([setup])):
        if isinstance(news, TrialFailed):
            raise news.error
        assert isinstance(news, TrialState)
        found.append(news)
    return found


def evolved(setup: Setup, trial: int = 0) -> TrialState[Held]:
    """A trial after its last generation."""
    return course_of(setup, begun(setup, trial))[-1]


def advanced(state: TrialState[Held], setup: Setup) -> tuple[TrialState[Held], list[Record]]:
    """The next state, and the records that it has more, in order."""
    for _, news in run_steps([state], [Schedule(setup.variant)], InProcess([setup])):
        if isinstance(news, TrialFailed):
            raise news.error
        assert isinstance(news, TrialState)
        return news, sorted(news.records[len(state.records) :], key=in_order)
    raise AssertionError("the trial is at its end")


def cells_of(state: TrialState[Held]) -> list[Cell]:
    """The newest state of every cell."""
    cells = [held for held in state.latest.values() if isinstance(held, Cell)]
    assert cells
    return cells


def records_of(state: TrialState[Held]) -> list[Record]:
    """All records in order, without times."""
    ordered = sorted(state.records, key=in_order)
    return [dataclasses.replace(record, wall_time_s=0.0, cpu_time_s=0.0) for record in ordered]


def with_cells(state: TrialState[Held], cells: dict[int, Cell]) -> TrialState[Held]:
    """The same state, but some cells hold something else."""
    held = {v: cells.get(v.number, h) for v, h in state.held.items()}
    return dataclasses.replace(state, held=held)
