"""Logs of real studies whose processes were killed lead the fold to the same actions."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from event_logs import Recorder, replay
from helpers import tiny_study
from studies import Killer, run_study

from aes_lipi.execution import rooms
from aes_lipi.execution.messages import Retry, RoomLost, Start, Written
from aes_lipi.execution.run import Summary

LOGS = Path(__file__).parent / "logs"


def test_a_study_whose_workers_are_killed_can_be_replayed(tmp_path: Path) -> None:
    record, killer = Recorder(tmp_path / "log.jsonl"), Killer(kills=2)

    def watch(state: Any, event: Any, actions: Any, now: float) -> None:
        record(state, event, actions, now)
        killer(state, event, actions, now)

    study = tiny_study(trials=3, epochs=200, record_interval=1000)
    assert run_study(study, tmp_path / "s", jobs=2, observer=watch) == Summary(3, 0)
    happened = Counter(type(event) for event, _ in replay(tmp_path / "log.jsonl"))
    assert happened[RoomLost] == 2
    assert happened[Written] == 3


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_recorded_studies_lead_to_the_same_actions(log: Path) -> None:
    actions = [action for _, actions in replay(log) for action in actions]
    tried_again = sum(isinstance(action, Retry) for action in actions)
    assert tried_again >= 2
    assert sum(isinstance(action, Start) for action in actions) >= 2 + tried_again


def test_the_logs_are_of_both_placements_and_of_this_machine() -> None:
    assert {path.stem for path in LOGS.glob("*.jsonl")} >= {"jobs", "trial", "cell"}


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.jsonl")), ids=lambda path: path.stem)
def test_a_log_of_a_study_that_waited_otherwise_does_not_fit(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rooms, "FIRST_WAIT_S", 0.4)
    with pytest.raises(AssertionError, match=log.name):
        replay(log)
