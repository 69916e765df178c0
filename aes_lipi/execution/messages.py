"""Trials, what they say, what happens to a study, and what is to be done: the words of its fold.

Rooms are where trials run, one stack of trials at a time: this process, a worker process, a slot
for a task, or a group of actors. Rooms of a kind can take each other's trials.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Reads
from aes_lipi.config import NEVER, CheckpointInterval, Study, Variant
from aes_lipi.config.defaults import metric_column
from aes_lipi.config.parameters import Parameters, parameter_columns
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
            (generations, cells, members).
        ends_at: generations that a trial had that is run again, where a callback may have ended it;
            None where its settings decide.
        interval: how often it is written down on its way.
        checkpoint: where to go on, as the content of a checkpoint's file; None for the beginning.
        parameters: columns of the parameters of all plug-ins of the study.
        metrics: columns of all metrics of the study, so that each of its files has them: pandas
            takes the first one's for all.
    """

    study: str
    label: str
    variant: Variant
    trial: int
    replay: Reads | None = None
    ends_at: int | None = None
    interval: CheckpointInterval = NEVER
    checkpoint: bytes | None = field(default=None, repr=False)
    parameters: Parameters = ()
    metrics: tuple[str, ...] = ()

    @property
    def id(self) -> TrialId:
        """Variant and number."""
        return TrialId(self.variant.id, self.trial)

    @property
    def schedule(self) -> Schedule:
        """The order of its updates, made anew."""
        return Schedule(self.variant, self.replay, self.ends_at)


def jobs_of(study: Study) -> list[Job]:
    """All trials of a study: the first of every variant, then the second, and so on."""
    parameters = parameter_columns(map(vars, study.variants))
    named = (name for variant in study.variants for name in variant.metrics or ())
    metrics = tuple(dict.fromkeys(map(metric_column, named)))
    labelled = [(study.label(variant), variant) for variant in study.variants]
    return [
        Job(
            *(study.name, label, variant, trial),
            interval=study.interval,
            parameters=parameters,
            metrics=metrics,
        )
        for trial in range(study.trials)
        for label, variant in labelled
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
    """A trial ran to its end: what there is to commit.

    Attributes:
        files: its results.
        epochs_run: generations that it ran; None for all.
    """

    files: TrialFiles
    epochs_run: int | None = None


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


Message = Reached | Checkpointed | Leaving | Lost | Computed | Failed | Refused

Said = tuple[TrialId, Message]
"""A message, and the trial that it is of."""


_Word = TypeVar("_Word")


def now_and_then(
    said: Iterable[tuple[Job, _Word]], interval_s: float
) -> Iterator[tuple[Job, _Word]]:
    """What trials say, but of each one's progress only the newest of every interval."""
    begun = time.monotonic()
    told: dict[TrialId, float] = {}
    for job, message in said:
        if not isinstance(message, Reached):
            yield job, message
        elif time.monotonic() - told.get(job.id, begun) >= interval_s:
            yield job, message
            told[job.id] = time.monotonic()


# Events


@dataclass(frozen=True)
class Began:
    """The study begins; so many trials were committed by earlier runs."""

    committed: int


@dataclass(frozen=True)
class Queued:
    """Stacks of trials wait for rooms of a kind."""

    stacks: tuple[tuple[TrialId, ...], ...]
    kind: int = 0


@dataclass(frozen=True)
class Opened:
    """A room can take trials from now on."""

    room: int
    kind: int = 0


@dataclass(frozen=True)
class Started:
    """A trial is on its way.

    Attributes:
        trial: which.
        generations: that it has behind it, as its checkpoint has it.
        mean_L1: mean loss over its cells there; None if it was not measured.
    """

    trial: TrialId
    generations: int
    mean_L1: float | None = None  # noqa: N815 - the column's name for it


@dataclass(frozen=True)
class Heard:
    """A trial says something.

    Attributes:
        trial: which.
        message: what.
        mean_L1: of a checkpoint, mean loss over its cells; None if it was not measured.
    """

    trial: TrialId
    message: Message
    mean_L1: float | None = None  # noqa: N815


@dataclass(frozen=True)
class RoomLost:
    """A room is gone, with all that ran in it.

    Attributes:
        room: which.
        reason: what happened to it, in a line.
        details: the same at length, for the record of a trial that is given up.
        again: whether trying again can help.
    """

    room: int
    reason: str
    details: str = ""
    again: bool = True


@dataclass(frozen=True)
class Written:
    """How a trial ended is written down: it is committed, or failed of an error."""

    trial: TrialId
    error: str | None


@dataclass(frozen=True)
class Blocked:
    """The folder, or the place where trials run, is of no use; the message is for the user."""

    message: str


@dataclass(frozen=True)
class ShutdownAsked:
    """The process will soon be stopped."""


@dataclass(frozen=True)
class Placed:
    """The study runs on a cluster of so many nodes with so many processors.

    Attributes:
        nodes: how many there are.
        cpus: processors of all of them.
        silent: those that give no answer though the cluster counts them: places, and for how many
            seconds.
        patience_s: seconds without an answer after which the cluster declares a node dead; None if
            that is not known.
    """

    nodes: int
    cpus: float
    silent: tuple[tuple[str, float], ...] = ()
    patience_s: float | None = None


@dataclass(frozen=True)
class Remarked:
    """Something else happened that the user should know of."""

    text: str


@dataclass(frozen=True)
class Tick:
    """Time has passed."""


Event = (
    Began
    | Queued
    | Opened
    | Started
    | Heard
    | RoomLost
    | Written
    | Blocked
    | ShutdownAsked
    | Placed
    | Remarked
    | Tick
)

# Actions


@dataclass(frozen=True)
class Start:
    """Start trials in a free room, each from its newest checkpoint."""

    room: int
    trials: tuple[TrialId, ...]


@dataclass(frozen=True)
class Retry:
    """Come back after so many seconds: trials are started again then, those of a stack together."""

    trials: tuple[TrialId, ...]
    after_s: float


@dataclass(frozen=True)
class Replace:
    """End what is left of a room, and open another in its place."""

    room: int


@dataclass(frozen=True)
class Leave:
    """Ask a room to write its trials down, and to stop."""

    room: int


@dataclass(frozen=True)
class WriteCheckpoint:
    """Write down a trial on its way."""

    trial: TrialId
    checkpoint: Checkpointed


@dataclass(frozen=True)
class Commit:
    """Commit a trial."""

    trial: TrialId
    files: TrialFiles = field(repr=False)


@dataclass(frozen=True)
class WriteFailure:
    """Write down that a trial failed."""

    trial: TrialId
    failed: Failed


@dataclass(frozen=True)
class GiveUp:
    """Write down that a trial was lost too often, with the error and what is known of it."""

    trial: TrialId
    error: str
    details: str


@dataclass(frozen=True)
class Say:
    """Tell the user."""

    text: str


@dataclass(frozen=True)
class Stop:
    """End the study at once: it was interrupted, or no trial can go on for an error."""

    error: str | None = None


Action = (
    Start | Retry | Replace | Leave | WriteCheckpoint | Commit | WriteFailure | GiveUp | Say | Stop
)
