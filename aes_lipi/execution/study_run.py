"""What the state of a study says is done: in its folder here, where its trials run by a `Pool`."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol

from aes_lipi.engine.processor import machine_name
from aes_lipi.errors import UserError
from aes_lipi.execution import messages
from aes_lipi.execution.endings import failure
from aes_lipi.execution.study import StudyState, TrialProgress
from aes_lipi.results.checkpoint import Identity, glance, identify
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import TrialId

Watch = Callable[[StudyState, messages.Event, Sequence[messages.Action], float], None]
"""Is told of every event once it is handled, of what is to be done about it, and of the time."""


class Pool(Protocol):
    """Rooms in which trials run."""

    def start(self, room: int, jobs: Sequence[messages.Job]) -> None:
        """Start trials beside each other."""
        ...

    def replace(self, room: int) -> Sequence[messages.Event]:
        """End what is left of a room; another in its place opens, now or later."""
        ...

    def leave(self, room: int) -> None:
        """Ask for the trials of a room to be written down, and to stop."""
        ...


class StudyRun:
    """A study that has its folder: its state, and what is done there.

    Args:
        store: the folder.
        todo: trials to run.
        committed: how many trials have their results there.
        watch: is told of every event.
        emptied: removes earlier results once nothing is left that could refuse the study, and says
            how many files; None where they stay.

    Attributes:
        state: decides.
    """

    def __init__(
        self,
        store: ResultStore,
        todo: Sequence[messages.Job],
        committed: int,
        watch: Watch | None = None,
        emptied: Callable[[], int] | None = None,
    ) -> None:
        self._store = store
        self._emptied = emptied
        self._watch = watch
        self._jobs = {job.id: job for job in todo}
        self._pool: Pool | None = None
        self._due: list[float] = []
        self.state = StudyState(
            TrialProgress(job.id, job.label, job.variant.epochs) for job in todo
        )
        self.tell(messages.Began(committed))

    def begin(self, pool: Pool, stacks: Iterable[Sequence[messages.Job]], kind: int = 0) -> None:
        """Let stacks of trials wait for the rooms of a pool."""
        self._pool = pool
        if self._emptied is not None:
            removed, self._emptied = self._emptied(), None
            if removed:
                said = f"removed {removed} files of earlier results, and none of others"
                self.tell(messages.Remarked(said))
        self.tell(messages.Queued(tuple(tuple(job.id for job in stack) for stack in stacks), kind))

    def hear(self, trial: TrialId, message: messages.Message) -> None:
        """Take in what a trial says; see `tell`."""
        loss = _glance(message.content)[1] if isinstance(message, messages.Checkpointed) else None
        self.tell(messages.Heard(trial, message, loss))

    def tell(self, event: messages.Event) -> None:
        """Take in what has happened, and do what is to be done about it.

        Raises:
            UserError: no trial can go on; the message says what to mend.
            KeyboardInterrupt: the process is to stop, and its trials are written down.
        """
        events = deque([event])
        while events:
            each, now = events.popleft(), time.monotonic()
            actions = self.state.handle(each, now)
            if self._watch is not None:
                self._watch(self.state, each, actions, now)
            for action in actions:
                if isinstance(action, messages.Stop):
                    raise KeyboardInterrupt if action.error is None else UserError(action.error)
                try:
                    events.extend(self._do(action, now))
                except UserError as error:
                    events.append(messages.Blocked(str(error)))
                    break

    def timeout_s(self, at_most: float) -> float:
        """Seconds until something is due that was to wait."""
        now = time.monotonic()
        self._due = [due for due in self._due if due > now]
        return min([at_most, *(due - now for due in self._due)])

    def _do(self, action: messages.Action, now: float) -> list[messages.Event]:
        """Do what is to be done; what has happened then."""
        match action:
            case messages.Start(room, trials):
                return self._start(room, [self._jobs[trial] for trial in trials])
            case messages.Retry(_, after_s):
                self._due.append(now + after_s)
            case messages.Replace(room):
                return list(self._pool_of_rooms.replace(room))
            case messages.Leave(room):
                self._pool_of_rooms.leave(room)
            case messages.WriteCheckpoint(trial, checkpoint):
                self._store.write_checkpoint(trial, checkpoint.generations, checkpoint.content)
            case messages.Commit(trial, files):
                self._store.commit(trial, files)
                return [messages.Written(trial, None)]
            case messages.WriteFailure(trial, failed):
                return self._fail(trial, failed)
            case messages.GiveUp(trial, error, details):
                ended = failure(self._jobs[trial], error, details or error, datetime.now(UTC))
                return self._fail(trial, ended)
        return []

    def _fail(self, trial: TrialId, failed: messages.Failed) -> list[messages.Event]:
        self._store.record_failure(trial, failed.row)
        return [messages.Written(trial, failed.error)]

    def _start(self, room: int, jobs: Sequence[messages.Job]) -> list[messages.Event]:
        """Start trials from their newest checkpoints."""
        happened: list[messages.Event] = []
        resumed = []
        for job in jobs:
            content, remarks = self._newest(job)
            happened += [messages.Remarked(line) for line in remarks]
            happened.append(messages.Started(job.id, *_glance(content)))
            resumed.append(replace(job, checkpoint=content))
        self._pool_of_rooms.start(room, resumed)
        return happened

    def _newest(self, job: messages.Job) -> tuple[bytes | None, list[str]]:
        """The newest checkpoint of a trial that is whole, and what the user should know of it."""
        remarks = []
        for path, content in self._store.checkpoints(job.id):
            try:
                identity = identify(content)
                identity.check_of(job.id, job.replay)
            except ValueError as error:
                remarks.append(f"passed over {path}: {error}")
            else:
                return content, [*remarks, *self._whence(job, identity)]
        return None, remarks

    def _whence(self, job: messages.Job, identity: Identity) -> list[str]:
        """What to say of a trial that other kernels began, when it goes on here first."""
        if self.state.trials[job.id].starts or identity.processor == machine_name():
            return []
        return [
            f"{job.label}, trial {job.trial}: its first {identity.generations} generations are of "
            f"another processor or other kernels ({identity.processor}; here {machine_name()}); "
            "the engine dense has the same bits where its kernels are for x86-64-v3, other engines "
            "on one kind of processor only"
        ]

    @property
    def _pool_of_rooms(self) -> Pool:
        assert self._pool is not None  # no room is open before
        return self._pool


def _glance(checkpoint: bytes | None) -> tuple[int, float | None]:
    """Generations and loss of a checkpoint's trial; of one that begins, none."""
    try:
        return (0, None) if checkpoint is None else glance(checkpoint)
    except ValueError:  # the trial itself will say so
        return 0, None
