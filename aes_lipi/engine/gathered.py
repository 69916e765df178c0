"""One engine for many trials: what they ask for at the same time is answered as one stack."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from aes_lipi.arrays import Float64
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Split
from aes_lipi.engine.protocol import (
    Activations,
    ActivationsTask,
    Engine,
    EvaluateTask,
    Measure,
    Trained,
    TrainTask,
)

R = TypeVar("R")

TRAIN = "train"


class Stopped(BaseException):
    """The trial is not wanted any more."""


@dataclass
class _Request:
    """What one trial asks for, and the answer once it is there."""

    place: int
    kind: Hashable
    ask: Callable[[Sequence[Any]], list[Any]]
    tasks: Sequence[Any]
    answers: list[Any] = field(default_factory=list)
    error: Exception | None = None
    answered: threading.Event = field(default_factory=threading.Event)


class Gathering:
    """Trials in threads of their own that share an engine: each waits until all others wait too.

    Then all that they ask for is answered together, by one thread that alone asks the engine:
    evaluations before training, so that trials that are about to train are joined by those that
    have something to look at first. Which requests become a stack, and in which order, depends on
    the trials alone and not on timing.

    Where a stack fails, each of its requests is made again alone, so that an error reaches only the
    trial that it is of.

    Args:
        engine: that answers.
        members: trials that share it; each must `leave` when it has ended.

    Attributes:
        lost: why the device computes no more; None while it does.
    """

    def __init__(self, engine: Engine, members: int) -> None:
        self.engine = engine
        self.lost: str | None = None
        self._members = members
        self._stopped = False
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []

    def serve(self) -> None:
        """Answer requests until all trials have left, or `stop`."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._all_wait())
                if self._stopped or not self._members:
                    return
                ready = self._ready()
            try:
                for alike in _by_kind(ready):
                    self._answer(alike)
            finally:  # nobody goes on before all are answered
                for request in ready:
                    request.answered.set()
            if self.lost is not None:
                self.stop()

    def leave(self) -> None:
        """A trial has ended: nobody waits for it any more."""
        with self._changed:
            self._members -= 1
            self._changed.notify_all()

    def stop(self) -> None:
        """Let every trial end where it next asks for something."""
        with self._changed:
            self._stopped = True
            waiting, self._waiting = self._waiting, []
            self._changed.notify_all()
        for request in waiting:
            request.answered.set()

    def request(
        self,
        place: int,
        kind: Hashable,
        ask: Callable[[Sequence[Any]], list[R]],
        tasks: Sequence[Any],
    ) -> list[R]:
        """Ask, and wait for the answer.

        Args:
            place: of the trial among all.
            kind: requests of one kind are answered together.
            ask: puts tasks of that kind to the engine.
            tasks: what is asked for.

        Raises:
            Stopped: there will be no answer.
        """
        if not tasks:
            return []
        request = _Request(place, kind, ask, tasks)
        with self._changed:
            if self._stopped:
                raise Stopped
            self._waiting.append(request)
            if self._all_wait():
                self._changed.notify_all()
        request.answered.wait()
        if request.error is not None and self.lost is None:
            raise request.error
        if len(request.answers) < len(tasks):
            raise Stopped
        return request.answers

    def _all_wait(self) -> bool:
        return len(self._waiting) >= self._members

    def _ready(self) -> list[_Request]:
        """The requests to answer now."""
        first = [request for request in self._waiting if request.kind != TRAIN]
        ready = first or self._waiting
        self._waiting = [request for request in self._waiting if first and request.kind == TRAIN]
        return sorted(ready, key=lambda request: request.place)

    def _answer(self, requests: Sequence[_Request]) -> None:
        """Answer requests of one kind, together if that can be."""
        error = _asked(requests)
        if error is None:
            return
        if self.engine.is_lost():
            self.lost = f"{type(error).__name__}: {error}"
        for request in requests:
            if self.lost is None and len(requests) > 1:
                error = _asked([request])
            request.error = error


def _by_kind(requests: Sequence[_Request]) -> list[list[_Request]]:
    kinds: dict[Hashable, list[_Request]] = {}
    for request in requests:
        kinds.setdefault(request.kind, []).append(request)
    return list(kinds.values())


def _asked(requests: Sequence[_Request]) -> Exception | None:
    """Put requests to the engine as one; what went wrong, without what it held on to."""
    try:
        tasks = [task for request in requests for task in request.tasks]
        answers = iter(requests[0].ask(tasks))
        for request in requests:
            request.answers = [next(answers) for _ in request.tasks]
    except Exception as error:
        if len(requests) > 1:
            traceback.clear_frames(error.__traceback__)
        return error
    return None


class GatheredEngine:
    """The engine of a gathering as one of its trials sees it.

    Args:
        gathering: whose engine it is.
        place: of the trial among all.
    """

    def __init__(self, gathering: Gathering, place: int) -> None:
        self.name = gathering.engine.name
        self.device = gathering.engine.device
        self._engine = gathering.engine
        self._gathering = gathering
        self._place = place

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """See `Engine.train`."""
        return self._request(TRAIN, self._engine.train, tasks)

    def loss_matrices(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        """See `Engine.loss_matrices`."""
        return self._request("loss_matrices", self._engine.loss_matrices, tasks)

    def batch_losses(self, pairs: Sequence[Pair], split: Split, measure: Measure) -> list[Float64]:
        """See `Engine.batch_losses`."""

        def ask(pairs: Sequence[Pair]) -> list[Float64]:
            return self._engine.batch_losses(pairs, split, measure)

        return self._request(("batch_losses", split, measure), ask, pairs)

    def activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        """See `Engine.activations`."""
        return self._request("activations", self._engine.activations, tasks)

    def hold(self, networks: Sequence[Network]) -> list[Network]:
        """See `Engine.hold`."""
        return self._engine.hold(networks)

    def fetch(self, networks: Sequence[Network]) -> None:
        """See `Engine.fetch`."""
        self._engine.fetch(networks)

    def release(self) -> None:
        """See `Engine.release`; as long as others may need it, nothing is given back."""

    def is_lost(self) -> bool:
        """See `Engine.is_lost`."""
        return self._gathering.lost is not None

    def leave(self) -> None:
        """The trial has ended: nobody waits for it any more."""
        self._gathering.leave()

    def _request(
        self, kind: Hashable, ask: Callable[[Sequence[Any]], list[R]], tasks: Sequence[Any]
    ) -> list[R]:
        return self._gathering.request(self._place, kind, ask, tasks)
