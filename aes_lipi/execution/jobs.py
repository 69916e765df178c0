"""Trials to run, and what is told of them while they run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from aes_lipi.coevolution.order import Reads
from aes_lipi.config import Study, Variant
from aes_lipi.results.trial_files import TrialFiles, TrialId


@dataclass(frozen=True)
class Job:
    """One trial to run.

    Attributes:
        study: name of the study.
        label: the variant's name within the study.
        variant: its settings.
        trial: number of the trial.
        replay: of an asynchronous trial that is run again, what every cell read: int32, shape
            (epochs, cells, members).
    """

    study: str
    label: str
    variant: Variant
    trial: int
    replay: Reads | None = None

    @property
    def id(self) -> TrialId:
        """Variant and number."""
        return TrialId(self.variant.id, self.trial)


def jobs_of(study: Study) -> list[Job]:
    """All trials of a study: the first of every variant, then the second, and so on."""
    return [
        Job(study.name, study.label(variant), variant, trial)
        for trial in range(study.trials)
        for variant in study.variants
    ]


@dataclass(frozen=True)
class Advanced:
    """A trial went on by some generations."""

    generations: int


@dataclass(frozen=True)
class Computed:
    """A trial ran to its end: what there is to commit."""

    files: TrialFiles


@dataclass(frozen=True)
class Failed:
    """A trial failed.

    Attributes:
        error: what happened, in a line.
        row: the columns of `failures_schema`.
    """

    error: str
    row: dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """No trial can go on: the message is for the user."""

    message: str


Ending = Computed | Failed
Message = Advanced | Ending | Refused


def now_and_then(messages: Iterable[Message], interval_s: float) -> Iterator[Message]:
    """The same messages, with progress gathered into one message an interval."""
    generations, told = 0, time.monotonic()
    for message in messages:
        if not isinstance(message, Advanced):
            yield message
            continue
        generations += message.generations
        if time.monotonic() - told >= interval_s:
            yield Advanced(generations)
            generations, told = 0, time.monotonic()
