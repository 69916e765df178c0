"""Runs a study's trials on a cluster, as many at once as it holds."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import ray
from ray.exceptions import RayError

from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.cluster.calibration import choose_cells_per_actor
from aes_lipi.execution.cluster.capacity import (
    Capacity,
    capacity_now,
    check_possible,
    living_nodes,
    shared_cpu,
)
from aes_lipi.execution.cluster.faults import Backoff, cause_of, is_lost
from aes_lipi.execution.cluster.nodes import NodeFacts, facts_of_this_node
from aes_lipi.execution.cluster.options import ClusterOptions
from aes_lipi.execution.cluster.rings import Ring
from aes_lipi.execution.cluster.tasks import RemoteTiming, RemoteTrial
from aes_lipi.execution.jobs import Computed, Failed, Job
from aes_lipi.execution.local import act_on
from aes_lipi.execution.setup import check_feasible, materials_of
from aes_lipi.execution.study import Observer, OnEnding
from aes_lipi.execution.trial import failed

WAIT_S = 1.0
LOOK_INTERVAL_S = 5.0
QUEUED_PER_SLOT = 2
PATIENCE_S = 30.0


@dataclass(frozen=True)
class Layout:
    """How the trials of some variants are placed.

    Attributes:
        n_actors: actors of a ring; 0 where whole rings run inside tasks.
        resources: what each actor, or task, reserves.
    """

    n_actors: int
    resources: tuple[tuple[str, float], ...]


class ClusterRunner:
    """Runs trials on the cluster that this process is connected to.

    Args:
        options: how they are placed.
    """

    def __init__(self, options: ClusterOptions) -> None:
        self._options = options
        self._shelf = _Shelf()
        self._seconds: dict[Variant, float] = {}

    def check(self, variants: Sequence[Variant]) -> None:
        """Refuse what this cluster can never run; see `Runner.check`."""
        capacity = capacity_now()
        for variant in variants:
            check_feasible(variant, here=False)
            k = self._options.cells_per_actor
            if self._options.placement == "cell" and k is not None:
                self._layout(variant, _groups_of(variant, k), capacity)
            else:
                self._layout(variant, 0, capacity)

    def run(self, todo: Sequence[Job], observer: Observer, finished: OnEnding) -> None:
        """Run trials; see `Runner.run`."""
        capacity = capacity_now()
        observer.placed(len(living_nodes()), capacity.total("CPU"))
        batches: dict[Layout, list[tuple[Job, int]]] = {}
        per_variant = Counter(job.variant for job in todo)
        chosen = {
            variant: self._cells_per_actor(variant, len(todo), capacity) for variant in per_variant
        }
        for job in todo:
            k = 0 if job.replay is not None else chosen[job.variant]
            n_actors = job.variant.population_size // k if k else 0
            layout = self._layout(job.variant, n_actors, capacity)
            batches.setdefault(layout, []).append((job, k))
        facts = _Facts(observer)
        for layout, jobs in batches.items():
            batch = _Batch(layout, capacity, self._options, self._shelf, len(jobs))
            _Dispatch(batch, jobs, facts, observer, finished).run()

    def _cells_per_actor(self, variant: Variant, trials: int, capacity: Capacity) -> int:
        """Cells that one actor holds, or 0 for the whole ring inside a task."""
        n_cells, asked = variant.population_size, self._options.cells_per_actor
        if self._options.placement == "trial":
            return 0
        if asked is not None:
            return n_cells // _groups_of(variant, asked)
        if n_cells == 1 or variant.cell_evaluation == "all_vs_all":
            return 0
        k = choose_cells_per_actor(
            n_cells,
            self._measured(variant, capacity),
            capacity.total("CPU"),
            min(trials, self._options.trials_at_a_time or trials),
            sequential=variant.update_order == "sequential",
        )
        return 0 if k == n_cells else k

    def _measured(self, variant: Variant, capacity: Capacity) -> float:
        """Seconds of a cell's generation, measured once for variants that train alike."""
        alike = variant.model_copy(update={"prune_method": "None", "rng_seed": 0, "epochs": 1})
        if alike not in self._seconds:
            request = dict(self._layout(variant, 0, capacity).resources)
            timing = RemoteTiming.options(**_as_options(request))
            self._seconds[alike] = ray.get(timing.remote(variant, self._shelf.reference(variant)))
        return self._seconds[alike]

    def _layout(self, variant: Variant, n_actors: int, capacity: Capacity) -> Layout:
        """What a variant's actors or tasks reserve.

        Raises:
            UserError: the cluster can never hold it.
        """
        request = dict(self._options.resources)
        if variant.device == "cuda" and "GPU" not in request:
            request["GPU"] = 1.0
        if "CPU" not in request:
            request["CPU"] = shared_cpu(max(1, n_actors), request, capacity)
        what = "a cell actor" if n_actors else "a trial task"
        check_possible(request, max(1, n_actors), capacity, what)
        return Layout(n_actors, tuple(sorted(request.items())))


def _groups_of(variant: Variant, cells_per_actor: int) -> int:
    """Actors of a variant's ring.

    Raises:
        UserError: the cells cannot be shared out evenly.
    """
    n_cells = variant.population_size
    if variant.cell_evaluation == "all_vs_all":
        return 1  # without space there is nothing to cut
    k = min(cells_per_actor, n_cells)
    if n_cells % k:
        divisors = ", ".join(str(d) for d in range(1, n_cells + 1) if n_cells % d == 0)
        raise UserError(
            f"--cells_per_actor {cells_per_actor}: does not divide a population of {n_cells}; "
            f"give one of {divisors}, or auto"
        )
    return n_cells // k


def _as_options(resources: dict[str, float]) -> dict[str, Any]:
    """A request as the options of a task."""
    others = {name: n for name, n in resources.items() if name not in ("CPU", "GPU")}
    return {
        "num_cpus": resources.get("CPU", 0.0),
        "num_gpus": resources.get("GPU", 0.0),
        "resources": others,
    }


class _Shelf:
    """What variants' trials start from, in the object store: once, for all their trials."""

    def __init__(self) -> None:
        self._references: dict[Variant, Any] = {}

    def reference(self, variant: Variant) -> Any:
        """Reference to a variant's materials; variants with the same data share them."""
        if variant not in self._references:
            materials = materials_of(variant)
            for known, reference in self._references.items():
                if _same_materials(known, variant):
                    self._references[variant] = reference
                    return reference
            self._references[variant] = ray.put(materials)
        return self._references[variant]


def _same_materials(left: Variant, right: Variant) -> bool:
    from aes_lipi.config.variant import DATA_FIELDS  # noqa: PLC0415

    fields = set(DATA_FIELDS) | {"ann_path", "ann_digest"}
    same_data = left.model_dump(include=fields) == right.model_dump(include=fields)
    return same_data and (left.ann_path is None)


class _Facts:
    """Watches that all workers are alike."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._ours = facts_of_this_node()
        self._processors: dict[str, str] = {}

    def add(self, facts: NodeFacts) -> None:
        """Take in where a worker lives.

        Raises:
            UserError: it has other versions than this process.
        """
        if facts.versions != self._ours.versions:
            raise UserError(
                f"node {facts.host}: has aes_lipi {facts.versions[0]} with numpy "
                f"{facts.versions[1]}, here are {self._ours.versions[0]} and "
                f"{self._ours.versions[1]}; install the same pins on every node"
            )
        if facts.processor not in self._processors.values() and self._processors:
            kinds = ", ".join(sorted({*self._processors.values(), facts.processor}))
            self._observer.noticed(
                f"the cluster mixes kinds of processors ({kinds}): bits are the same on the same "
                "kind only; the column processor says which trial ran where"
            )
        self._processors[facts.host] = facts.processor


class _Batch:
    """The places for trials of one layout."""

    def __init__(
        self,
        layout: Layout,
        capacity: Capacity,
        options: ClusterOptions,
        shelf: _Shelf,
        n_trials: int,
    ) -> None:
        self._layout = layout
        self._resources = dict(layout.resources)
        self._shelf = shelf
        self._window = options.window
        slots = capacity.slots(self._resources) // max(1, layout.n_actors)
        most = options.trials_at_a_time or (slots if layout.n_actors else slots * QUEUED_PER_SLOT)
        self._most = max(1, min(n_trials, most))
        self.forming: dict[Any, Ring] = {}
        self._idle: list[Ring] = []
        self._busy: dict[Any, Ring | None] = {}
        if layout.n_actors:
            for _ in range(min(self._most, max(1, slots))):
                self._form()

    def _form(self) -> None:
        ring = Ring(self._layout.n_actors, self._resources, self._window)
        self.forming[ring.ready] = ring

    @property
    def has_room(self) -> bool:
        """Whether another trial can start."""
        return bool(self._idle) if self._layout.n_actors else len(self._busy) < self._most

    def formed(self, ready: Any, facts: _Facts) -> None:
        """A ring has come to life, or not."""
        ring = self.forming.pop(ready)
        try:
            for each in ray.get(ready):
                facts.add(each)
        except RayError:
            ring.stop()
            self._form()
            return
        self._idle.append(ring)

    def start(self, job: Job, cells_per_actor: int) -> Any:
        """Start a trial; the generator of its messages."""
        materials = self._shelf.reference(job.variant)
        ring = self._idle.pop() if self._layout.n_actors else None
        if ring is None:
            task = RemoteTrial.options(**_as_options(self._resources))
            stream = task.remote(job, materials, self._resources.get("GPU", 0.0))
        else:
            stream = ring.run(job, materials, cells_per_actor)
        self._busy[stream] = ring
        return stream

    def ended(self, stream: Any, lost: bool) -> None:
        """A trial has ended: its place is free, or gone."""
        ring = self._busy.pop(stream)
        if ring is None:
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


@dataclass
class _Running:
    """A trial on its way: how far it has come, and how often it was lost."""

    job: Job
    cells_per_actor: int
    backoff: Backoff
    generations: int = 0
    not_before: float = 0.0


class _Dispatch:
    """Gives trials to places until all have ended."""

    def __init__(
        self,
        batch: _Batch,
        jobs: Sequence[tuple[Job, int]],
        facts: _Facts,
        observer: Observer,
        finished: OnEnding,
    ) -> None:
        self._batch = batch
        self._waiting = deque(_Running(job, k, Backoff()) for job, k in jobs)
        self._running: dict[Any, _Running] = {}
        self._facts = facts
        self._observer = observer
        self._finished = finished
        self._looked = self._heard = time.monotonic()

    def run(self) -> None:
        """Until all trials have ended."""
        try:
            while self._waiting or self._running:
                self._start_what_fits()
                self._look_around()
                for ready in self._news():
                    self._heard = time.monotonic()
                    if ready in self._batch.forming:
                        self._batch.formed(ready, self._facts)
                    else:
                        self._hear(ready)
        finally:
            self._batch.stop()

    def _start_what_fits(self) -> None:
        for _ in range(len(self._waiting)):
            if not self._batch.has_room:
                return
            trial = self._waiting.popleft()
            if trial.not_before > time.monotonic():
                self._waiting.append(trial)
            else:
                self._running[self._batch.start(trial.job, trial.cells_per_actor)] = trial

    def _news(self) -> Iterator[Any]:
        """What has something to say."""
        watched = [*self._running, *self._batch.forming]
        if not watched:
            time.sleep(0.1)
            return
        ready, _ = ray.wait(watched, num_returns=1, timeout=WAIT_S)
        if ready:
            ready, _ = ray.wait(watched, num_returns=len(watched), timeout=0)
        yield from ready

    def _hear(self, stream: Any) -> None:
        """Take one message of a trial."""
        trial = self._running[stream]
        try:
            message = ray.get(next(stream))
        except StopIteration:
            self._lose(stream, trial, RuntimeError("the trial ended without a result"))
            return
        except RayError as error:
            self._lose(stream, trial, error)
            return
        if isinstance(message, NodeFacts):
            self._facts.add(message)
            return
        if isinstance(message, Computed | Failed):
            del self._running[stream]
            self._batch.ended(stream, lost=False)
        else:
            trial.generations += getattr(message, "generations", 0)
        act_on(message, trial.job, self._observer, self._finished)

    def _lose(self, stream: Any, trial: _Running, error: Exception) -> None:
        """A trial's process or node is gone: run it again, or give it up."""
        del self._running[stream]
        self._batch.ended(stream, lost=True)
        cause = cause_of(error)
        if isinstance(cause, ModuleNotFoundError | ImportError):
            raise UserError(
                f"a node of the cluster cannot import what it needs ({cause}); install the project "
                "with its pins on every node"
            )
        self._observer.advanced(trial.job, -trial.generations)
        if is_lost(error) and trial.backoff.another_try(0):
            wait = trial.backoff.wait_s
            self._waiting.appendleft(
                replace(trial, generations=0, not_before=time.monotonic() + wait)
            )
            return
        reason = RuntimeError(f"its worker was lost again and again: {_line(cause)}")
        told = reason if is_lost(error) else cause
        self._finished(trial.job, failed(trial.job, told, datetime.now(UTC), told=str(error)))

    def _look_around(self) -> None:
        """Now and then say how large the cluster is, and if nothing moves, what is waited for."""
        now = time.monotonic()
        if now - self._looked < LOOK_INTERVAL_S:
            return
        self._looked = now
        self._observer.placed(len(living_nodes()), _cpus_now())
        if now - self._heard > PATIENCE_S:
            self._heard = now
            self._observer.noticed(
                "waiting for the cluster: its processors are taken by others, or it is growing "
                "(ray status shows it)"
            )


def _cpus_now() -> float:
    """Processors of the nodes that are there."""
    return float(sum(node["Resources"].get("CPU", 0.0) for node in living_nodes()))


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
