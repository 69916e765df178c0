"""Trials to run, and what is told of them while they run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from aes_lipi.coevolution.state import Reads
from aes_lipi.config import Study, Variant
from aes_lipi.config.study import NEVER, CheckpointInterval
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
        interval: how often it is written down on its way.
        checkpoint: where to go on, as the content of a checkpoint's file; None for the beginning.
    """

    study: str
    label: str
    variant: Variant
    trial: int
    replay: Reads | None = None
    interval: CheckpointInterval = NEVER
    checkpoint: bytes | None = field(default=None, repr=False)

    @property
    def id(self) -> TrialId:
        """Variant and number."""
        return TrialId(self.variant.id, self.trial)


def jobs_of(study: Study) -> list[Job]:
    """All trials of a study: the first of every variant, then the second, and so on."""
    return [
        Job(study.name, study.label(variant), variant, trial, interval=study.interval)
        for trial in range(study.trials)
        for variant in study.variants
    ]


@dataclass(frozen=True)
class Reached:
    """A trial's ring has so many generations behind it; fewer than before after losses."""

    generations: int


@dataclass(frozen=True)
class Checkpointed:
    """A trial on its way is to be written down.

    Attributes:
        generations: that the whole ring has behind it.
        content: of the checkpoint's file.
    """

    generations: int
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Leaving:
    """A trial has stopped where its last checkpoint is, for its machine will soon be gone."""


@dataclass(frozen=True)
class Lost:
    """Cells of a trial were lost with their processes; started again, it goes on.

    Attributes:
        generations: that the whole ring has behind it, and that need not be computed again.
        reason: what was lost, in a line.
    """

    generations: int
    reason: str


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
Message = Reached | Checkpointed | Leaving | Lost | Ending | Refused

Said = tuple[TrialId, Message]
"""A message, and the trial that it is of."""


def now_and_then(
    said: Iterable[tuple[Job, Message]], interval_s: float
) -> Iterator[tuple[Job, Message]]:
    """What trials say, but of each one's progress only the newest of every interval."""
    begun = time.monotonic()
    told: dict[TrialId, float] = {}
    for job, message in said:
        if not isinstance(message, Reached):
            yield job, message
        elif time.monotonic() - told.get(job.id, begun) >= interval_s:
            yield job, message
            told[job.id] = time.monotonic()
