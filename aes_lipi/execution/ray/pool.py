"""The rooms of a cluster where trials run at the same time: groups of actors, and slots for tasks.

What trials say becomes events of a study, and its actions become calls.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError, WorkerCrashedError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from aes_lipi.config import Variant
from aes_lipi.data.load import data_key
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import inputs_of
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
from aes_lipi.execution.ray.actors import RemoteTrialDriver
from aes_lipi.execution.ray.capacity import Capacity, capacity_now, cpus_now, living_nodes
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.faults import cause_of, is_lost, unimportable
from aes_lipi.execution.ray.nodes import NodeCheck, NodeFacts, SilentNodes, patience_s
from aes_lipi.execution.ray.tasks import RemoteTrials, RemoteTrialsOnGpu
from aes_lipi.execution.study_run import StudyRun

_MOST_ON_TRUST = 8
"""Places where nobody knows how far the cluster will grow."""

_QUEUED_PER_SLOT = 2
"""Trial tasks submitted for each that can run, so that a worker need not wait for its next."""


@dataclass(frozen=True)
class TrialLayout:
    """How the trials of some variants are placed.

    Attributes:
        n_actors: actors of a ring; 0 where whole rings run inside tasks.
        resources: what each actor, or task, reserves.
    """

    n_actors: int
    resources: tuple[tuple[str, float], ...]

    @property
    def request(self) -> dict[str, float]:
        """What each of them reserves, by name."""
        return dict(self.resources)

    @property
    def options(self) -> dict[str, Any]:
        """The same as the options of a task."""
        request = self.request
        return {
            "num_cpus": request.pop("CPU", 0.0),
            "num_gpus": request.pop("GPU", 0.0),
            "resources": request,
        }


_KEPT = 8  # inputs that are held in the object store


class StoredInputs:
    """Variants' inputs in the object store: put there once for all trials, of the last few data.

    Those of trials that run stay there until they have ended, whatever is forgotten here.
    """

    def __init__(self) -> None:
        self._references: dict[Hashable, Any] = {}

    def reference(self, variant: Variant) -> Any:
        """Reference to a variant's inputs; variants with the same data share them."""
        key = data_key(variant) if variant.ann_path is None else variant
        known = self._references.pop(key, None)
        self._references[key] = ray.put(inputs_of(variant)) if known is None else known
        if len(self._references) > _KEPT:
            del self._references[next(iter(self._references))]  # that was asked for longest ago
        return self._references[key]


class _ActorGroup:
    """The actors of a ring, and the driver that leads them, trial after trial.

    They are a placement group, so that they are there all or not at all: groups that each hold a
    part and wait for the rest cannot come about.

    Args:
        n_actors: its size.
        resources: what each actor reserves.
        window: generations in flight.

    Attributes:
        ready: reference to where its actors live; there when they do.
    """

    def __init__(self, n_actors: int, resources: Mapping[str, float], window: int) -> None:
        bundle = {name: amount for name, amount in resources.items() if amount}
        self._group: PlacementGroup = placement_group([bundle] * n_actors, strategy="PACK")
        places = [
            PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=k)
            for k in range(n_actors)
        ]
        self._driver: Any = RemoteTrialDriver.options(
            num_cpus=0, scheduling_strategy=places[0], max_restarts=0
        ).remote(places, dict(resources), window)
        self.ready: Any = self._driver.hello.remote()

    def run(self, job: Job, inputs: Any, cells_per_actor: int) -> Any:
        """Start a trial; the generator of its messages."""
        return self._driver.run.options(num_returns="streaming").remote(
            job, [inputs], cells_per_actor
        )

    def stop(self) -> None:
        """End all its processes."""
        ray.kill(self._driver)
        remove_placement_group(self._group)


class Lane:
    """Rooms of one layout: groups of actors, formed once and used again, or slots for tasks.

    Args:
        kind: their number.
        layout: of the trials.
        options: what the user asks of the cluster.
        inputs: hold what the trials start from.
        n_stacks: how many there are to run.

    Attributes:
        kind: their number.
        forming: rooms whose actors do not live yet, by the reference that tells when they do.
    """

    def __init__(
        self,
        kind: int,
        layout: TrialLayout,
        options: ClusterOptions,
        inputs: StoredInputs,
        n_stacks: int,
    ) -> None:
        self.kind = kind
        self._layout = layout
        self._resources = layout.request
        self._inputs = inputs
        self._window = options.window
        self._wanted = min(n_stacks, options.trials_at_a_time or n_stacks)
        self.forming: dict[Any, int] = {}
        self._groups: dict[int, _ActorGroup | None] = {}
        self._streams: dict[int, Any] = {}

    def grow(self, capacity: Capacity, numbers: Iterator[int]) -> list[Event]:
        """Make rooms in what the cluster holds now; those that there are stay.

        Args:
            capacity: of the cluster.
            numbers: for new rooms.
        """
        slots = capacity.slots(self._resources) // max(1, self._layout.n_actors)
        if capacity.open_ended:
            slots = max(slots + 1, _MOST_ON_TRUST)  # what waits is what an autoscaler goes by
        if not self._layout.n_actors:
            slots *= _QUEUED_PER_SLOT
        missing = max(1, min(self._wanted, slots)) - len(self._groups)
        return [event for _ in range(missing) for event in self._open(next(numbers))]

    def _open(self, room: int) -> list[Event]:
        """Make a room, which is there at once if it is for tasks."""
        self._groups[room] = None
        if not self._layout.n_actors:
            return [Opened(room, self.kind)]
        self._groups[room] = group = _ActorGroup(
            self._layout.n_actors, self._resources, self._window
        )
        self.forming[group.ready] = room
        return []

    def formed(self, ready: Any) -> tuple[int, list[NodeFacts]] | None:
        """A group of actors has come to life: its room and where it lives; None if it has not.

        Raises:
            UserError: a node cannot import what the actors need; install the project there.
        """
        room = self.forming.pop(ready)
        try:
            return room, ray.get(ready)
        except RayError as error:
            if (what := unimportable(error)) is not None:
                raise UserError(what) from None
            self.replace(room)
            return None

    def holds(self, room: int) -> bool:
        """Whether a room is one of these."""
        return room in self._groups

    def stream(self, room: int) -> Any:
        """The generator of what the trials in a room say."""
        return self._streams[room]

    def start(self, room: int, jobs: Sequence[Job]) -> None:
        """Start a trial, or inside a task a stack of them."""
        variant = jobs[0].variant
        inputs = self._inputs.reference(variant)
        group = self._groups[room]
        if group is not None:
            k = variant.population_size // self._layout.n_actors
            self._streams[room] = group.run(jobs[0], inputs, k)
            return
        on_gpu = self._resources.get("GPU", 0.0) > 0
        task = (RemoteTrialsOnGpu if on_gpu else RemoteTrials).options(**self._layout.options)
        mine = (self._resources.get(name, 0.0) for name in ("CPU", "GPU"))
        self._streams[room] = task.remote(tuple(jobs), inputs, *mine)

    def replace(self, room: int) -> list[Event]:
        """End what is left of a room, and make it anew."""
        self._end(room)
        return self._open(room)

    def _end(self, room: int) -> None:
        group, stream = self._groups[room], self._streams.pop(room, None)
        if group is not None:
            group.stop()
        elif stream is not None:
            ray.cancel(stream, force=True)

    def close(self) -> None:
        """End everything."""
        for room in self._groups:
            self._end(room)


_WAIT_S = 1.0
_LOOK_INTERVAL_S = 5.0
_QUIET_S = 10.0
"""Without news, after which nodes are asked for a sign of life."""


class ClusterPool:
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
        self._silent = SilentNodes()
        self._heard = time.monotonic()

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
        if now - self._looked < _LOOK_INTERVAL_S:
            return
        self._looked = now
        nodes = living_nodes()
        quiet = now - self._heard > _QUIET_S
        silent = self._silent.among(nodes) if quiet else ()
        self._study.tell(Placed(len(nodes), cpus_now(), silent, patience_s() if silent else None))
        capacity = capacity_now()
        for lane in self._lanes:
            for opened in lane.grow(capacity, self._numbers):
                self._study.tell(opened)

    def _news(self) -> list[tuple[Any, int | None]]:
        """What has something to say: streams with their rooms, and groups of actors that live."""
        rooms = {self._lane_of(room).stream(room): room for room in self._study.state.busy_rooms}
        watched = [*rooms, *(ready for lane in self._lanes for ready in lane.forming)]
        timeout_s = self._study.timeout_s(_WAIT_S)
        if not watched:
            time.sleep(timeout_s)
            return []
        ready, _ = ray.wait(watched, num_returns=1, timeout=timeout_s)
        if ready:
            ready, _ = ray.wait(watched, num_returns=len(watched), timeout=0)
        return [(each, rooms.get(each)) for each in ready]

    def _take(self, news: tuple[Any, int | None]) -> None:
        ready, room = news
        self._heard = time.monotonic()
        if room is not None:
            self._hear(ready, room)
            return
        lane = next(lane for lane in self._lanes if ready in lane.forming)
        try:
            formed = lane.formed(ready)
        except UserError as error:
            self._study.tell(Blocked(str(error)))
            return
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
    if (what := unimportable(error)) is not None:
        return Blocked(what)
    again = is_lost(error)
    text = " ".join(str(cause).split())[:200] if again else str(cause)
    return RoomLost(room, f"{type(cause).__name__}: {text}", str(error), again)
