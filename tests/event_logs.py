"""Logs of what happened to real studies and of what was done about it, written and replayed.

A log is JSON lines: first the trials, then every event, with its time and the actions it led to.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

from aes_lipi.execution.messages import Action, Event, Message
from aes_lipi.execution.study import StudyState, TrialProgress
from aes_lipi.results.trial_files import TrialFiles, TrialId

KNOWN = {
    each.__name__: each for each in (*get_args(Event), *get_args(Action), *get_args(Message))
} | {"TrialFiles": TrialFiles, "TrialId": TrialId, "TrialProgress": TrialProgress}


class Recorder:
    """Writes a log while a study runs; see `Watch`.

    Args:
        path: of the log.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begun = False

    def __call__(
        self, state: StudyState, event: Event, actions: Sequence[Action], now: float
    ) -> None:
        lines = [] if self._begun else [written([*state.trials.values()])]
        self._begun = True
        with self._path.open("a", encoding="utf-8") as log:
            for line in (*lines, written([now, event, list(actions)])):
                log.write(json.dumps(line) + "\n")


def written(value: Any) -> Any:
    """A value as JSON; contents of files, and the rows of failures, are left out."""
    if isinstance(value, bytes | dict):
        return None
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = [written(getattr(value, each.name)) for each in dataclasses.fields(value)]
        return {type(value).__name__: fields}
    if isinstance(value, TrialId):
        return {"TrialId": [*value]}
    if isinstance(value, list | tuple):
        return [written(each) for each in value]
    return value


def read(value: Any) -> Any:
    """The value that was written."""
    if isinstance(value, dict):
        [(name, fields)] = value.items()
        return KNOWN[name](*map(read, fields))
    return tuple(map(read, value)) if isinstance(value, list) else value


def steps_of(lines: Iterable[str]) -> tuple[StudyState, list[tuple[float, Event, Any]]]:
    """A study before a log's first event, and its events with their times and actions.

    What the first line says of a trial is as it was after the first event, which tells how many
    were committed: nothing of a trial had happened by then.
    """
    trials, *steps = (json.loads(line) for line in lines)
    return StudyState(read(trials)), [(now, read(event), actions) for now, event, actions in steps]


def replay(path: Path) -> list[tuple[Event, list[Action]]]:
    """Feed a log to the fold: it must come to the same actions.

    Raises:
        AssertionError: it came to others.
    """
    with path.open(encoding="utf-8") as log:
        whole = [line for line in log if line.endswith("\n")]  # the last may be cut by a kill
    state, steps = steps_of(whole)
    replayed = []
    for number, (now, event, expected) in enumerate(steps, 2):
        actions = state.handle(event, now)
        assert written(actions) == expected, f"{path.name}:{number}: {event}"
        replayed.append((event, actions))
    return replayed
