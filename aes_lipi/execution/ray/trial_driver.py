"""The driver of a trial whose cells are actors: it decides, and passes references.

Weights never come here: what the driver holds of a centre is the reference to the parcel that it
is in. Cells start as soon as the parcels that they need exist, so that generations overlap; the
driver waits only for the records of the oldest generation in flight.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError

from aes_lipi.checkpoints import Checkpoint, encode_checkpoint
from aes_lipi.coevolution.front import extended
from aes_lipi.coevolution.generation import carries_private_state
from aes_lipi.coevolution.order import BEFORE_FIRST, Flow, Step, reachable, runs_freely
from aes_lipi.coevolution.plan import Record
from aes_lipi.coevolution.snapshot import Snapshot, in_order
from aes_lipi.config import NEVER, CheckpointInterval
from aes_lipi.errors import UserError
from aes_lipi.execution.cadence import Cadence
from aes_lipi.execution.job import (
    Checkpointed,
    Computed,
    Job,
    Leaving,
    Message,
    Reached,
    Refused,
    Said,
    now_and_then,
)
from aes_lipi.execution.ray.cells import RemoteCellActor, Resumption, Work, merged
from aes_lipi.execution.ray.draining import DrainNotice, this_node
from aes_lipi.execution.ray.faults import cause_of, is_lost
from aes_lipi.execution.ray.metrics import TrialMetrics
from aes_lipi.execution.ray.nodes import NodeFacts
from aes_lipi.execution.ray.partition import Call, Partition, calls_of
from aes_lipi.execution.retries import Backoff
from aes_lipi.execution.trial import failed, processor_name

PROGRESS_INTERVAL_S = 0.5
COPY_INTERVAL_S = 30.0
"""Between copies of the states that a lost node does not take, where no checkpoint is asked for."""

ANSWER_TIMEOUT_S = 600.0
"""For answers of actors and copies of states; the dead are known by errors, well before."""

Ref = Any
"""A reference to an object in the cluster."""


@dataclass(frozen=True)
class Held:
    """A cell's newest state that is known to exist.

    Attributes:
        generation: the last that it has computed.
        learning_rate: of its next generation.
        parcels: references to what its next step starts from: the centre that others read first.
    """

    generation: int
    learning_rate: float
    parcels: tuple[Ref, ...]


@dataclass
class Progress:
    """How far a trial has come.

    Attributes:
        held: every cell's state; of one generation, unless cells are asynchronous.
        records: of all generations up to there.
    """

    held: list[Held]
    records: list[Record] = field(default_factory=list)

    @property
    def generations(self) -> int:
        """Generations that the whole ring has behind it."""
        return 1 + min(held.generation for held in self.held)


@dataclass(frozen=True)
class InFlight:
    """A generation whose calls are on their way.

    Attributes:
        records: references to the records of every call.
        held: what every cell will hold once they are there.
    """

    records: list[Ref]
    held: list[Held]


class TrialDriver:
    """Drives one trial after another over the same cell actors.

    Args:
        strategies: where to place the actors, one scheduling strategy each.
        resources: what each actor reserves, in Ray's names.
        window: generations in flight.
    """

    def __init__(self, strategies: Sequence[Any], resources: dict[str, float], window: int) -> None:
        self._strategies = list(strategies)
        self._resources = dict(resources)
        self._window = window
        self._actors: list[Any] = [self._start(k) for k in range(len(strategies))]
        self._nodes = {this_node()}

    def hello(self) -> list[NodeFacts]:
        """Where the actors live, once they do."""
        facts: list[NodeFacts] = ray.get([actor.facts.remote() for actor in self._actors])
        self._nodes = {this_node(), *(each.node for each in facts)}
        return facts

    def nodes(self) -> set[str]:
        """The nodes on which this process and the actors live."""
        return self._nodes

    def run(self, job: Job, inputs: Sequence[Ref], cells_per_actor: int) -> Iterator[Said]:
        """Run a trial.

        Args:
            job: the trial.
            inputs: one reference, to the trial's `Inputs`.
            cells_per_actor: a divisor of the ring.

        Yields:
            its number with its progress, and last with how it ended.
        """
        trial = _Trial(job, inputs[0], cells_per_actor, self)
        said = ((job, message) for message in trial.messages())
        for _, message in now_and_then(said, PROGRESS_INTERVAL_S):
            yield job.id, message

    @property
    def window(self) -> int:
        """Generations in flight."""
        return self._window

    def actors(self, n_groups: int) -> list[Any]:
        """The actors of a ring of so many groups."""
        return self._actors[:n_groups]

    def replace_the_dead(self) -> int:
        """Start actors anew in the place of those that do not answer; how many there were."""
        asked = {actor.facts.remote(): k for k, actor in enumerate(self._actors)}
        ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
        dead = [k for answer, k in asked.items() if not _answered(answer)]
        for k in dead:
            ray.kill(self._actors[k])
            self._actors[k] = self._start(k)
        if dead:
            self.hello()
        return len(dead)

    def _start(self, k: int) -> Any:
        others = {n: a for n, a in self._resources.items() if n not in ("CPU", "GPU")}
        n_cpus, n_gpus = (self._resources.get(name, 0.0) for name in ("CPU", "GPU"))
        return RemoteCellActor.options(
            num_cpus=n_cpus,
            num_gpus=n_gpus,
            resources=others,
            scheduling_strategy=self._strategies[k],
            max_restarts=0,
        ).remote(n_cpus, n_gpus)


def _answered(answer: Ref) -> bool:
    try:
        ray.get(answer, timeout=0)
    except (RayError, GetTimeoutError):
        return False
    return True


class _Trial:
    """One trial on its way."""

    def __init__(self, job: Job, inputs: Ref, cells_per_actor: int, driver: TrialDriver) -> None:
        members = reachable(job.variant)
        self._job = job
        self._inputs = inputs
        self._driver = driver
        self._partition = Partition.of(members, cells_per_actor)
        self._private = carries_private_state(job.variant)
        self._metrics = TrialMetrics(job)
        self._started_at, self._started = datetime.now(UTC), time.perf_counter()
        asked = job.interval != NEVER
        self._shows_checkpoints = asked
        self._interval = job.interval if asked else CheckpointInterval(seconds=COPY_INTERVAL_S)
        self._cadence = Cadence(self._interval, 0)
        self._notice = DrainNotice(driver.nodes)
        self._leaving = False
        self._pulse = time.perf_counter()

    def messages(self) -> Iterator[Message]:
        """Run it: after losses again from the newest generation that is whole."""
        backoff, lost = Backoff(), False
        progress: Progress | None = None
        while True:
            try:
                if lost:
                    progress = self._recovered(progress)
                if progress is None:
                    progress = self._begin()
                yield Reached(progress.generations)
                yield from self._advance(progress)
                yield Leaving() if self._leaving else self._conclude(progress)
                return
            except Exception as error:
                reached = 0 if progress is None else progress.generations
                lost = is_lost(error)
                if not lost or not backoff.another_try(reached):
                    yield self._ended_by(error)
                    return
                backoff.wait()

    def _ended_by(self, error: Exception) -> Message:
        cause = cause_of(error)
        if isinstance(cause, UserError):
            return Refused(str(cause))
        return failed(self._job, cause, self._started_at, told=str(error))

    def _begin(self) -> Progress:
        """The trial as its checkpoint has it, or before its first generation."""
        self._prepare()
        progress = self._initial() if self._job.checkpoint is None else self._resumed()
        self._cadence = Cadence(self._interval, progress.generations)
        return progress

    def _initial(self) -> Progress:
        """Every cell before its first generation, made where it will live."""
        variant = self._job.variant
        groups = self._partition.group_of
        parcels = [
            actor.begin.remote(self._job.trial, [i for i, at in enumerate(groups) if at == k])
            for k, actor in enumerate(self._actors)
        ]
        return Progress(
            [Held(BEFORE_FIRST, variant.learning_rate, (parcels[at],)) for at in groups]
        )

    def _resumed(self) -> Progress:
        """Every cell as the checkpoint has it."""
        n_groups, group_of = self._partition.n_groups, self._partition.group_of
        groups = [[i for i, at in enumerate(group_of) if at == k] for k in range(n_groups)]
        resume = self._actors[0].resume.options(num_returns=1 + n_groups)
        whole, *parcels = resume.remote(self._job, groups)
        found: Resumption = ray.get(whole)
        self._started_at = found.started_at
        self._started = time.perf_counter() - found.wall_time_s
        held = [
            Held(t - 1, rate, (parcels[at],))
            for t, rate, at in zip(found.following, found.learning_rates, group_of, strict=True)
        ]
        return Progress(held, list(found.records))

    def _prepare(self) -> None:
        ray.get([actor.prepare.remote(self._job.variant, self._inputs) for actor in self._actors])

    @property
    def _actors(self) -> list[Any]:
        return self._driver.actors(self._partition.n_groups)

    def _advance(self, progress: Progress) -> Iterator[Message]:
        """All generations that are left."""
        self._leaving = False
        self._pulse = time.perf_counter()
        if runs_freely(self._job.variant):
            return self._asynchronous(progress)
        return self._in_step(progress)

    # Generations in step: synchronous and sequential updates

    def _in_step(self, progress: Progress) -> Iterator[Message]:
        """Submit generation after generation, a few ahead of the records that have come back."""
        flow = self._flow(progress)
        where = {(i, held.generation): held.parcels for i, held in enumerate(progress.held)}
        on_the_way: deque[InFlight] = deque()
        for steps in flow:
            t = steps[0].generation
            records = []
            for call in calls_of(steps, self._partition):
                parcels, record = self._submit(call, where)
                where |= {step.version: parcels for step in call.steps}
                records.append(record)
            held = [Held(t, rate, where[i, t]) for i, rate in enumerate(flow.learning_rates)]
            where = {version: parcels for version, parcels in where.items() if version[1] == t}
            on_the_way.append(InFlight(records, held))
            if len(on_the_way) >= self._driver.window:
                yield from self._settle(on_the_way.popleft(), progress)
            if self._leaving:
                return
        while on_the_way and not self._leaving:
            yield from self._settle(on_the_way.popleft(), progress)

    def _flow(self, progress: Progress) -> Flow:
        """The steps that are left."""
        following = [held.generation + 1 for held in progress.held]
        rates = [held.learning_rate for held in progress.held]
        return Flow(self._job.variant, self._job.trial, following, rates)

    def _submit(
        self, call: Call, where: dict[tuple[int, int], tuple[Ref, ...]]
    ) -> tuple[tuple[Ref, ...], Ref]:
        """Send a call on its way; where the parcels that it makes and its records will be."""
        group_of = self._partition.group_of
        needed: dict[Ref, None] = {}
        for step in call.steps:
            for version in sorted(step.needs):
                at = where.get(version)
                if at is not None:  # else the call makes it itself
                    own = group_of[version[0]] == call.group
                    needed |= dict.fromkeys(at if own else at[:1])
        keeps = self._private or call.group in self._partition.with_inner_cells
        work = Work(call.steps, self._partition.read_outside, keeps)
        *parcels, records = (
            self._actors[call.group]
            .compute.options(num_returns=3 if keeps else 2)
            .remote(work, *needed)
        )
        return tuple(parcels), records

    def _settle(self, generation: InFlight, progress: Progress) -> Iterator[Message]:
        """Wait for a generation's records: what it made exists, what came before may go."""
        batches: list[list[Record]] = ray.get(generation.records)
        records = sorted((record for batch in batches for record in batch), key=in_order)
        progress.records = extended(progress.records, records)
        progress.held = generation.held
        now = time.perf_counter()
        computing = sum(record.wall_time_s for record in records) / len(batches)
        self._metrics.exchanged(now - self._pulse - computing)
        self._pulse = now
        self._metrics.advanced(1)
        self._metrics.recorded(records)
        yield from self._reached(progress)

    # No step: asynchronous updates

    def _asynchronous(self, progress: Progress) -> Iterator[Message]:
        """Let every cell go on as soon as it can, from the newest centres that there are."""
        variant = self._job.variant
        flow = self._flow(progress)
        running: dict[Ref, tuple[Step, tuple[Ref, ...]]] = {}

        def go_on(cells: Iterable[int]) -> None:
            for i in cells:
                t = progress.held[i].generation + 1
                if t < variant.epochs:
                    reads = [progress.held[j].generation for j in flow.members[i]]
                    step = flow.step(i, t, reads)
                    where = {(j, h.generation): h.parcels for j, h in enumerate(progress.held)}
                    call = Call(self._partition.group_of[i], (step,))
                    parcels, record = self._submit(call, where)
                    running[record] = step, parcels

        go_on(range(len(progress.held)))
        while running and not self._leaving:
            ray.wait(list(running), num_returns=1)
            ready, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
            before, moved = progress.generations, []
            for answer in ready:
                records: list[Record] = ray.get(answer)
                step, parcels = running.pop(answer)
                rate = flow.learning_rates[step.cell]
                progress.held[step.cell] = Held(step.generation, rate, parcels)
                progress.records = extended(progress.records, records)
                moved.append(step.cell)
            go_on(moved)
            self._metrics.advanced(progress.generations - before)
            yield from self._reached(progress)
        progress.records.sort(key=in_order)

    def _conclude(self, progress: Progress) -> Computed:
        rates = tuple(held.learning_rate for held in progress.held)
        parcels = dict.fromkeys(ref for held in progress.held for ref in held.parcels)
        computed: Computed = ray.get(
            self._actors[0].conclude.remote(
                *(replace(self._job, checkpoint=None), progress.records, rates),
                *(self._started_at, time.perf_counter() - self._started),
                *parcels,
            )
        )
        return computed

    # Losses

    def _reached(self, progress: Progress) -> Iterator[Message]:
        """Say how far the trial has come; now and then, and before a node goes, write it down.

        The states are copied to this process for that, where a lost node does not take them.
        """
        generations = progress.generations
        yield Reached(generations)
        if generations == self._job.variant.epochs:
            return
        due, leaving = self._cadence.is_due(generations), self._notice()
        if not due and not leaving:
            return
        try:
            content = self._written_down(progress)
        except GetTimeoutError:  # too much for now; nothing is lost
            content = None
        self._cadence.made()
        if content is None:
            return
        self._job = replace(self._job, checkpoint=content)
        if leaving or self._shows_checkpoints:
            yield Checkpointed(generations, content)
        self._leaving = leaving

    def _written_down(self, progress: Progress) -> bytes:
        parcels = dict.fromkeys(ref for held in progress.held for ref in held.parcels)
        known = merged(ray.get(list(parcels), timeout=ANSWER_TIMEOUT_S))
        newest = [(i, held.generation) for i, held in enumerate(progress.held)]
        snapshot = Snapshot(
            trial=self._job.trial,
            states={version: known[version] for version in newest},
            learning_rates=tuple(held.learning_rate for held in progress.held),
            records=sorted(progress.records, key=in_order),
        )
        now = Checkpoint(snapshot, self._started_at, time.perf_counter() - self._started)
        return encode_checkpoint(now, self._job.variant, processor_name())

    def _brought_here(self, progress: Progress) -> Progress:
        """The same progress, its states put into the cluster anew by this process.

        Raises:
            RayError: one of them is lost.
        """
        parcels = list(dict.fromkeys(ref for held in progress.held for ref in held.parcels))
        values = ray.get(parcels, timeout=ANSWER_TIMEOUT_S)
        anew = {ref: ray.put(value) for ref, value in zip(parcels, values, strict=True)}
        held = [
            Held(h.generation, h.learning_rate, tuple(anew[ref] for ref in h.parcels))
            for h in progress.held
        ]
        return Progress(held, list(progress.records))

    def _recovered(self, progress: Progress | None) -> Progress | None:
        """What there is, if nothing of it is lost; None to begin from the checkpoint."""
        self._driver.replace_the_dead()
        if progress is None:
            return None
        self._prepare()
        try:
            return self._brought_here(progress)
        except (RayError, GetTimeoutError):
            return None


RemoteTrialDriver: Any = ray.remote(TrialDriver)
