"""The rooms of a cluster where trials run at the same time."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from aes_lipi.config import Variant
from aes_lipi.data.load import data_key
from aes_lipi.execution.inputs import inputs_of
from aes_lipi.execution.messages import Event, Job, Opened
from aes_lipi.execution.ray.actors import RemoteTrialDriver
from aes_lipi.execution.ray.capacity import Capacity
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.nodes import NodeFacts
from aes_lipi.execution.ray.tasks import RemoteTrials, RemoteTrialsOnGpu

MOST_ON_TRUST = 8
"""Places where nobody knows how far the cluster will grow."""

QUEUED_PER_SLOT = 2
"""Trial tasks submitted for each that can run, so that a worker need not wait for its next."""


@dataclass(frozen=True)
class Layout:
    """How the trials of some variants are placed.

    Attributes:
        n_actors: actors of a ring; 0 where whole rings run inside tasks.
        resources: what each actor, or task, reserves.
    """

    n_actors: int
    resources: tuple[tuple[str, float], ...]


def as_options(resources: dict[str, float]) -> dict[str, Any]:
    """A request as the options of a task."""
    others = {name: n for name, n in resources.items() if name not in ("CPU", "GPU")}
    return {
        "num_cpus": resources.get("CPU", 0.0),
        "num_gpus": resources.get("GPU", 0.0),
        "resources": others,
    }


class StoredInputs:
    """Variants' inputs in the object store: each is put there once, for all trials."""

    def __init__(self) -> None:
        self._references: dict[Hashable, Any] = {}

    def reference(self, variant: Variant) -> Any:
        """Reference to a variant's inputs; variants with the same data share them."""
        key = data_key(variant) if variant.ann_path is None else variant
        if key not in self._references:
            self._references[key] = ray.put(inputs_of(variant))
        return self._references[key]


class ActorGroup:
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
        layout: Layout,
        options: ClusterOptions,
        inputs: StoredInputs,
        n_stacks: int,
    ) -> None:
        self.kind = kind
        self._layout = layout
        self._resources = dict(layout.resources)
        self._inputs = inputs
        self._window = options.window
        self._wanted = min(n_stacks, options.trials_at_a_time or n_stacks)
        self.forming: dict[Any, int] = {}
        self._groups: dict[int, ActorGroup | None] = {}
        self._streams: dict[int, Any] = {}

    def grow(self, capacity: Capacity, numbers: Iterator[int]) -> list[Event]:
        """Make rooms in what the cluster holds now; those that there are stay.

        Args:
            capacity: of the cluster.
            numbers: for new rooms.
        """
        slots = capacity.slots(self._resources) // max(1, self._layout.n_actors)
        if capacity.open_ended:
            slots = max(slots + 1, MOST_ON_TRUST)  # what waits is what an autoscaler goes by
        if not self._layout.n_actors:
            slots *= QUEUED_PER_SLOT
        missing = max(1, min(self._wanted, slots)) - len(self._groups)
        return [event for _ in range(missing) for event in self._open(next(numbers))]

    def _open(self, room: int) -> list[Event]:
        """Make a room, which is there at once if it is for tasks."""
        self._groups[room] = None
        if not self._layout.n_actors:
            return [Opened(room, self.kind)]
        self._groups[room] = group = ActorGroup(
            self._layout.n_actors, self._resources, self._window
        )
        self.forming[group.ready] = room
        return []

    def formed(self, ready: Any) -> tuple[int, list[NodeFacts]] | None:
        """A group of actors has come to life: its room and where it lives; None if it has not."""
        room = self.forming.pop(ready)
        try:
            return room, ray.get(ready)
        except RayError:
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
        task = (RemoteTrialsOnGpu if on_gpu else RemoteTrials).options(
            **as_options(self._resources)
        )
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
