"""Trials on a cluster: what they say becomes events of a study, and its actions become calls."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

import ray
from ray.exceptions import RayError, WorkerCrashedError

from aes_lipi.errors import UserError
from aes_lipi.execution.messages import (
    Blocked,
    Event,
    Job,
    Opened,
    Placed,
    Remarked,
    RoomLost,
    Tick,
)
from aes_lipi.execution.ray.capacity import capacity_now, cpus_now, living_nodes
from aes_lipi.execution.ray.faults import cause_of, is_lost
from aes_lipi.execution.ray.nodes import NodeCheck, NodeFacts
from aes_lipi.execution.ray.pool import Lane
from aes_lipi.execution.study_run import StudyRun

WAIT_S = 1.0
LOOK_INTERVAL_S = 5.0


class Dispatch:
    """The rooms of a cluster; see `Pool`.

    Args:
        lanes: rooms, kind by kind.
        nodes: looks at the nodes on which trials run.
        study: that they are of.
    """

    def __init__(self, lanes: Sequence[Lane], nodes: NodeCheck, study: StudyRun) -> None:
        self._lanes = lanes
        self._nodes = nodes
        self._study = study
        self._numbers = itertools.count()
        self._looked = float("-inf")

    def start(self, room: int, jobs: Sequence[Job]) -> None:
        """See `Pool.start`."""
        self._lane_of(room).start(room, jobs)

    def replace(self, room: int) -> list[Event]:
        """See `Pool.replace`."""
        return self._lane_of(room).replace(room)

    def leave(self, room: int) -> None:
        """Nothing: trials on a cluster end with their driver."""

    def _lane_of(self, room: int) -> Lane:
        return next(lane for lane in self._lanes if lane.holds(room))

    def run(self) -> None:
        """Until all trials that wait for these rooms have ended."""
        try:
            while self._study.state.is_busy:
                self._look_around()
                for ready in self._news():
                    self._take(ready)
                self._study.tell(Tick())
        finally:
            for lane in self._lanes:
                lane.close()

    def _look_around(self) -> None:
        """Now and then see how large the cluster is, and make use of it."""
        now = time.monotonic()
        if now - self._looked < LOOK_INTERVAL_S:
            return
        self._looked = now
        self._study.tell(Placed(len(living_nodes()), cpus_now()))
        capacity = capacity_now()
        for lane in self._lanes:
            for opened in lane.grow(capacity, self._numbers):
                self._study.tell(opened)

    def _news(self) -> list[tuple[Any, int | None]]:
        """What has something to say: streams with their rooms, and groups of actors that live."""
        rooms = {self._lane_of(room).stream(room): room for room in self._study.state.busy_rooms}
        watched = [*rooms, *(ready for lane in self._lanes for ready in lane.forming)]
        timeout_s = self._study.timeout_s(WAIT_S)
        if not watched:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(watched, num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(watched, num_returns=len(watched), timeout=0)
        return [(each, rooms.get(each)) for each in ready]

    def _take(self, news: tuple[Any, int | None]) -> None:
        ready, room = news
        if room is not None:
            self._hear(ready, room)
            return
        lane = next(lane for lane in self._lanes if ready in lane.forming)
        formed = lane.formed(ready)
        if formed is not None:
            self._check(formed[1])
            self._study.tell(Opened(formed[0], lane.kind))

    def _check(self, found: Sequence[NodeFacts]) -> None:
        try:
            remarks = [remark for each in found for remark in self._nodes.add(each)]
        except UserError as error:
            self._study.tell(Blocked(str(error)))
        else:
            for remark in remarks:
                self._study.tell(Remarked(remark))

    def _hear(self, stream: Any, room: int) -> None:
        """Take one message of the trials in a room, or their loss."""
        try:
            message = ray.get(next(stream))
        except StopIteration:  # its node is gone, and the end of its story with it
            self._study.tell(_loss(room, WorkerCrashedError()))
        except RayError as error:
            self._study.tell(_loss(room, error))
        else:
            if isinstance(message, NodeFacts):
                self._check([message])
            else:
                self._study.hear(*message)


def _loss(room: int, error: Exception) -> Event:
    """What an error of a room's trials means."""
    cause = cause_of(error)
    if isinstance(cause, ModuleNotFoundError | ImportError):
        return Blocked(
            f"a node of the cluster cannot import what it needs ({cause}); install the project "
            "with its pins on every node"
        )
    again = is_lost(error)
    text = " ".join(str(cause).split())[:200] if again else str(cause)
    return RoomLost(room, f"{type(cause).__name__}: {text}", str(error), again)
