"""Callbacks of `aes_lipi.run`: told of generations, trials and the study, where that is called.

They never change what is computed, but may end a trial or the study.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from aes_lipi.coevolution.records import Record
from aes_lipi.config import Study
from aes_lipi.errors import UserError, printable
from aes_lipi.execution.messages import Action, Event, Say, Written
from aes_lipi.execution.process import Notice
from aes_lipi.execution.study import StudyState, TrialProgress
from aes_lipi.execution.study_run import Watch
from aes_lipi.results.reading import Results
from aes_lipi.results.trial_files import TrialId
from aes_lipi.stepping import records_frame

End = Literal["trial", "study"] | None
"""What a callback ends; None for nothing."""

_log = logging.getLogger("aes_lipi")


@dataclass(frozen=True)
class RecordedGeneration:
    """A recorded generation of a trial that runs.

    Attributes:
        trial: its variant's id and its number.
        label: the variant's name within the study.
        generation: number of the generation.
        cells: a row per cell, with the columns of `generations`.
    """

    trial: TrialId
    label: str
    generation: int
    cells: pd.DataFrame


class Callback:
    """What is to happen on the way: derive from this, and write the methods that you need.

    Each is called in the process that calls `run`. Workers wait for `on_generation`, so that a
    trial that it ends has the same bits wherever it runs, if what it returns follows from what it
    is given. Such a trial is committed with `stopped` as `callback`. A study that is ended goes on
    when it is run again: trials under way are written down.
    """

    def on_generation(self, generation: RecordedGeneration) -> End:
        """All cells of a trial have come to a recorded generation.

        Returns:
            `"trial"` to end it here, `"study"` to end all, or None.
        """
        return None

    def on_trial(self, trial: TrialProgress) -> End:
        """A trial is committed, or has failed, which `trial.error` tells.

        Returns:
            `"study"` to end all, or None.
        """
        return None

    def on_study(self, results: Results) -> None:
        """The study has come to its end, or was ended."""


class Listeners:
    """Hears what happens to a study, for callbacks and for the log; see `Watch`.

    Args:
        study: which.
        callbacks: are told.
        notice: to give where they end the study.

    Raises:
        UserError: one is no callback, such as a class of them; give instances.

    Attributes:
        ended: whether a callback has ended the study.
        error: that a callback has raised for a generation; None for none.
    """

    def __init__(self, study: Study, callbacks: Sequence[Callback], notice: Notice) -> None:
        self._variants = {variant.id: variant for variant in study.variants}
        self._labels = {variant.id: study.label(variant) for variant in study.variants}
        self._callbacks = _checked(callbacks)
        self._notice = notice
        self.ended = False
        self.error: Exception | None = None

    def __call__(
        self, state: StudyState, event: Event, actions: Sequence[Action], now: float
    ) -> None:
        """Take in what has happened."""
        if isinstance(event, Written):
            trial = state.trials[event.trial]
            if event.error is not None:
                _log.warning("%s, trial %d failed: %s", trial.label, trial.id.trial, event.error)
            self._ends([each.on_trial(trial) for each in self._callbacks])
        for action in actions:
            if isinstance(action, Say):
                _log.info("%s", action.text)

    def end_after(self, trial: TrialId, records: Sequence[Record]) -> bool:
        """Tell of a recorded generation; whether its trial is to end there."""
        at = RecordedGeneration(
            *(trial, self._labels[trial.variant], records[0].generation),
            records_frame(records, self._variants[trial.variant]),
        )
        try:
            return self._ends([each.on_generation(at) for each in self._callbacks])
        except Exception as error:  # it is no trial's: the study ends, and `run` raises it
            self.error, self.ended = error, True
            self._notice.give()
            return False

    def finished(self, results: Results) -> None:
        """The study is at its end."""
        for each in self._callbacks:
            each.on_study(results)

    def _ends(self, said: Sequence[End]) -> bool:
        for each in said:
            if each not in (None, "trial", "study"):
                raise ValueError(f"a callback returned {each!r}; return 'trial', 'study' or None")
        if "study" in said:
            self.ended = True
            self._notice.give()
        return "trial" in said


def _checked(callbacks: object) -> list[Callback]:
    """The callbacks.

    Raises:
        UserError: it is no list of them; the line says what to give instead.
    """
    if isinstance(callbacks, Callback | type) or not isinstance(callbacks, Iterable):
        given = printable(callbacks)
        raise UserError(f"callbacks: {given} is no list; give instances, as in callbacks=[Stop()]")
    found = list(callbacks)
    for each in found:
        if isinstance(each, type):
            name = each.__name__
            raise UserError(f"callbacks: {name} is a class; give an instance of it, {name}()")
        if not isinstance(each, Callback):
            raise UserError(
                f"callbacks: {printable(each)} is no callback; derive its class from "
                "aes_lipi.Callback"
            )
    return found


@contextmanager
def shown(study: Study, heard: Listeners, progress: bool) -> Iterator[Watch]:
    """What hears a study's events while a block runs; if asked for, it shows bars, too."""
    if not progress:
        yield heard
        return
    from aes_lipi.cli.running import progress_for  # noqa: PLC0415 - rich is slow to import

    with progress_for(study) as bars:

        def both(state: StudyState, event: Event, actions: Sequence[Action], now: float) -> None:
            heard(state, event, actions, now)
            bars(state, event, actions, now)

        yield both
