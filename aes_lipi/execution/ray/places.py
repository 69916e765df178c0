"""The places where trials of one kind run at the same time."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from aes_lipi.config import Variant
from aes_lipi.data.load import data_key
from aes_lipi.execution.inputs import inputs_of
from aes_lipi.execution.job import Job
from aes_lipi.execution.ray.capacity import Capacity
from aes_lipi.execution.ray.options import ClusterOptions
from aes_lipi.execution.ray.rings import Ring
from aes_lipi.execution.ray.tasks import RemoteTrials, RemoteTrialsOnGpu
from aes_lipi.execution.ray.vetting import Vetting

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


class Places:
    """Rings of actors, formed once and used again, or room for tasks.

    Args:
        layout: of the trials.
        capacity: of the cluster.
        options: what the user asks of it.
        inputs: hold what the trials start from.
        n_trials: how many there are, or stacks of them.

    Attributes:
        forming: rings whose actors do not live yet, by the reference that tells when they do.
    """

    def __init__(
        self,
        layout: Layout,
        capacity: Capacity,
        options: ClusterOptions,
        inputs: StoredInputs,
        n_trials: int,
    ) -> None:
        self._layout = layout
        self._resources = dict(layout.resources)
        self._inputs = inputs
        self._window = options.window
        self._wanted = min(n_trials, options.trials_at_a_time or n_trials)
        self._most = 1
        self.forming: dict[Any, Ring] = {}
        self._idle: list[Ring] = []
        self._busy: dict[Any, Ring | None] = {}
        self.grow(capacity)

    def grow(self, capacity: Capacity) -> None:
        """Make places in what the cluster holds now; those that there are stay."""
        slots = capacity.slots(self._resources) // max(1, self._layout.n_actors)
        if capacity.open_ended:
            slots = max(slots + 1, MOST_ON_TRUST)  # what waits is what an autoscaler goes by
        if not self._layout.n_actors:
            slots *= QUEUED_PER_SLOT
        self._most = max(self._most, min(self._wanted, slots))
        if self._layout.n_actors:
            for _ in range(self._most - len(self.forming) - len(self._idle) - len(self._busy)):
                self._form()

    def _form(self) -> None:
        ring = Ring(self._layout.n_actors, self._resources, self._window)
        self.forming[ring.ready] = ring

    @property
    def has_room(self) -> bool:
        """Whether another trial can start."""
        return bool(self._idle) if self._layout.n_actors else len(self._busy) < self._most

    def formed(self, ready: Any, vetting: Vetting) -> None:
        """A ring has come to life, or not."""
        ring = self.forming.pop(ready)
        try:
            for each in ray.get(ready):
                vetting.add(each)
        except RayError:
            ring.stop()
            self._form()
            return
        self._idle.append(ring)

    def start(self, jobs: Sequence[Job], cells_per_actor: int) -> Any:
        """Start a trial, or inside a task a stack of them; the generator of what they say."""
        inputs = self._inputs.reference(jobs[0].variant)
        ring = self._idle.pop() if self._layout.n_actors else None
        if ring is None:
            on_gpu = self._resources.get("GPU", 0.0) > 0
            task = (RemoteTrialsOnGpu if on_gpu else RemoteTrials).options(
                **as_options(self._resources)
            )
            mine = (self._resources.get(name, 0.0) for name in ("CPU", "GPU"))
            stream = task.remote(tuple(jobs), inputs, *mine)
        else:
            stream = ring.run(jobs[0], inputs, cells_per_actor)
        self._busy[stream] = ring
        return stream

    def ended(self, stream: Any, lost: bool) -> None:
        """A trial has ended: its place is free, or gone."""
        ring = self._busy.pop(stream)
        if ring is None:
            if lost:
                ray.cancel(stream, force=True)
            return
        if lost:
            ring.stop()
            self._form()
        else:
            self._idle.append(ring)

    def stop(self) -> None:
        """End everything."""
        rings = [*self.forming.values(), *self._idle, *self._busy.values()]
        for ring in rings:
            if ring is not None:
                ring.stop()
        for stream, ring in self._busy.items():
            if ring is None:
                ray.cancel(stream, force=True)
