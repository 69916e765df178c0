"""What happens to a study, and what is to be done about it: the words of `StudyState.handle`.

Rooms are where trials run, one stack of trials at a time: this process, a worker process, a slot
for a task, or a group of actors. Rooms of a kind can take each other's trials.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aes_lipi.execution.job import Checkpointed, Failed, Message
from aes_lipi.results.trial_files import TrialFiles, TrialId

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
    """The study runs on a cluster of so many nodes with so many processors."""

    nodes: int
    cpus: float


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
