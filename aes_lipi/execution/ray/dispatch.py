"""Gives trials to places until all have ended."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import ray
from ray.exceptions import RayError, WorkerCrashedError

from aes_lipi.errors import UserError
from aes_lipi.execution.endings import failed
from aes_lipi.execution.job import Checkpointed, Computed, Failed, Job, Leaving, Lost
from aes_lipi.execution.ledger import Ledger, act_on
from aes_lipi.execution.observer import Observer
from aes_lipi.execution.ray.capacity import capacity_now, cpus_now, living_nodes
from aes_lipi.execution.ray.faults import cause_of, is_lost
from aes_lipi.execution.ray.nodes import NodeFacts
from aes_lipi.execution.ray.places import Places
from aes_lipi.execution.ray.vetting import Vetting
from aes_lipi.execution.retries import Backoff
from aes_lipi.execution.stacks import halves
from aes_lipi.results.trial_files import TrialId

WAIT_S = 1.0
LOOK_INTERVAL_S = 5.0
PATIENCE_S = 30.0
MOVES = "its node is about to go, so it goes on elsewhere from where it is"


@dataclass
class _Running:
    """Trials on their way together: how far they are written down, and how often they were lost."""

    jobs: dict[TrialId, Job]
    cells_per_actor: int
    backoff: Backoff
    saved: Counter[TrialId] = field(default_factory=Counter)
    leaving: dict[TrialId, Job] = field(default_factory=dict)
    not_before: float = 0.0


class Lane:
    """Trials that run in places of one kind.

    Args:
        places: for the trials.
        stacks: the trials, together those that one task trains side by side, and how many cells
            an actor holds of them.
    """

    def __init__(self, places: Places, stacks: Sequence[tuple[tuple[Job, ...], int]]) -> None:
        self.places = places
        self.waiting = deque(
            _Running({job.id: job for job in jobs}, k, Backoff()) for jobs, k in stacks
        )


class Dispatch:
    """Starts trials as places become free, and starts those again whose workers are lost.

    Args:
        lanes: the trials by the kind of their places, which are there side by side.
        vetting: looks at the nodes that they run on.
        observer: is told of what else happens.
        ledger: where the trials are entered.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        vetting: Vetting,
        observer: Observer,
        ledger: Ledger,
    ) -> None:
        self._lanes = lanes
        self._running: dict[Any, tuple[Lane, _Running]] = {}
        self._vetting = vetting
        self._observer = observer
        self._ledger = ledger
        self._looked = self._heard = time.monotonic()

    def run(self) -> None:
        """Until all trials have ended."""
        try:
            while self._running or any(lane.waiting for lane in self._lanes):
                for lane in self._lanes:
                    self._start_what_fits(lane)
                self._look_around()
                for ready in self._news():
                    self._heard = time.monotonic()
                    if ready in self._running:
                        self._hear(ready)
                    else:
                        self._formed(ready)
        finally:
            for lane in self._lanes:
                lane.places.stop()

    def _start_what_fits(self, lane: Lane) -> None:
        for _ in range(len(lane.waiting)):
            if not lane.places.has_room:
                return
            trial = lane.waiting.popleft()
            if trial.not_before > time.monotonic():
                lane.waiting.append(trial)
            else:
                resumed = [self._ledger.resumed(job) for job in trial.jobs.values()]
                stream = lane.places.start(resumed, trial.cells_per_actor)
                self._running[stream] = (lane, trial)

    def _formed(self, ready: Any) -> None:
        """A ring of actors has come to life, or not."""
        for lane in self._lanes:
            if ready in lane.places.forming:
                lane.places.formed(ready, self._vetting)

    def _news(self) -> Iterator[Any]:
        """What has something to say."""
        forming = [ready for lane in self._lanes for ready in lane.places.forming]
        watched = [*self._running, *forming]
        if not watched:
            time.sleep(0.1)
            return
        ready, _ = ray.wait(watched, num_returns=1, timeout=WAIT_S)
        if ready:
            ready, _ = ray.wait(watched, num_returns=len(watched), timeout=0)
        yield from ready

    def _hear(self, stream: Any) -> None:
        """Take one message of a trial."""
        lane, trial = self._running[stream]
        try:
            message = ray.get(next(stream))
        except StopIteration:  # its node is gone, and the end of its story with it
            self._lose(stream, WorkerCrashedError())
            return
        except RayError as error:
            self._lose(stream, error)
            return
        if isinstance(message, NodeFacts):
            self._vetting.add(message)
            return
        which, said = message
        job = trial.jobs[which]
        if isinstance(said, Lost):
            self._lose_cells(stream, said)
            return
        if isinstance(said, Computed | Failed | Leaving):
            del trial.jobs[which]
        if isinstance(said, Leaving):
            trial.leaving[which] = job
            self._observer.noticed(f"{job.label}, trial {job.trial}: {MOVES}")
        if not trial.jobs:
            del self._running[stream]
            lane.places.ended(stream, lost=bool(trial.leaving))
            if trial.leaving:
                lane.waiting.appendleft(replace(trial, jobs=trial.leaving, leaving={}))
        if isinstance(said, Checkpointed):
            trial.saved[which] = said.generations
        act_on(said, job, self._ledger)

    def _lose(self, stream: Any, error: Exception) -> None:
        """The process or the node of trials is gone: run them again, or give them up."""
        lane, trial = self._running.pop(stream)
        lane.places.ended(stream, lost=True)
        cause = cause_of(error)
        if isinstance(cause, ModuleNotFoundError | ImportError):
            raise UserError(
                f"a node of the cluster cannot import what it needs ({cause}); install the project "
                "with its pins on every node"
            )
        trial.jobs |= trial.leaving
        trial.leaving = {}
        if is_lost(error) and trial.backoff.another_try(trial.saved.total()):
            self._try_again(lane, trial)
            return
        reason = RuntimeError(f"its worker was lost again and again: {_line(cause)}")
        told = reason if is_lost(error) else cause
        for job in trial.jobs.values():
            ending = failed(job, told, datetime.now(UTC), told=str(error))
            self._ledger.finished(job, ending)

    def _lose_cells(self, stream: Any, said: Lost) -> None:
        """A ring has lost cells: its trial goes on there after a wait, or is given up."""
        lane, trial = self._running.pop(stream)
        lane.places.ended(stream, lost=False)
        if trial.backoff.another_try(said.generations):
            self._try_again(lane, trial)
            return
        error = RuntimeError(f"its cells were lost again and again: {said.reason}")
        for job in trial.jobs.values():
            self._ledger.finished(job, failed(job, error, datetime.now(UTC)))

    def _try_again(self, lane: Lane, trial: _Running) -> None:
        """After a wait; a stack that is lost again and again at the same point, in halves."""
        not_before = time.monotonic() + trial.backoff.wait_s
        if not trial.backoff.is_stuck or len(trial.jobs) == 1:
            lane.waiting.appendleft(replace(trial, not_before=not_before))
            return
        for part in halves(tuple(trial.jobs.values())):
            jobs = {job.id: job for job in part}
            fresh = _Running(jobs, trial.cells_per_actor, Backoff(), not_before=not_before)
            lane.waiting.appendleft(fresh)

    def _look_around(self) -> None:
        """Now and then see how large the cluster is; if nothing moves, say what is waited for."""
        now = time.monotonic()
        if now - self._looked < LOOK_INTERVAL_S:
            return
        self._looked = now
        self._observer.placed(len(living_nodes()), cpus_now())
        for lane in self._lanes:
            lane.places.grow(capacity_now())
        if now - self._heard > PATIENCE_S:
            self._heard = now
            self._observer.noticed(
                "waiting for the cluster: its processors are taken by others, or it is growing "
                "(ray status shows it)"
            )


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
