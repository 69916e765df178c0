"""The actors of a ring: those that hold its cells, and the driver that leads them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from threadpoolctl import threadpool_limits

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.coevolution.evolution import (
    InProcess,
    StepsLost,
    TrialFailed,
    first_states,
    run_steps,
)
from aes_lipi.coevolution.state import Setup, Step, TrialState, Version
from aes_lipi.config import NEVER, CheckpointInterval, Variant
from aes_lipi.engine.processor import machine_name
from aes_lipi.errors import UserError
from aes_lipi.execution.endings import conclude, failed
from aes_lipi.execution.inputs import Inputs, SetupCache
from aes_lipi.execution.messages import (
    Checkpointed,
    Computed,
    Job,
    Leaving,
    Lost,
    Message,
    Reached,
    Refused,
    Said,
    now_and_then,
)
from aes_lipi.execution.ray.faults import cause_of, is_lost
from aes_lipi.execution.ray.metrics import TrialMetrics
from aes_lipi.execution.ray.nodes import (
    DrainNotice,
    NodeFacts,
    facts_of_this_node,
    memory_share,
    this_node,
    use_only_what_is_ours,
)
from aes_lipi.execution.ray.ring import (
    ANSWER_TIMEOUT_S,
    Groups,
    Parcel,
    Ref,
    RingExecutor,
    StateRef,
    Told,
    merged,
)
from aes_lipi.execution.trial import CheckpointTimer, resumed
from aes_lipi.results.checkpoint import Checkpoint, encode_checkpoint, identify
from aes_lipi.results.trial_files import TrialId

_PROGRESS_INTERVAL_S = 0.5
_COPY_INTERVAL_S = 30.0
"""Between copies of the states that a lost node does not take, where no checkpoint is asked for."""


class CellActor:
    """Holds a group of a ring's cells, their data and their engine.

    What a step starts from comes with every call, so that an actor that had to be started again
    is right by construction: it holds nothing that cannot be made anew.
    """

    def __init__(self, n_cpus: float, n_gpus: float) -> None:
        use_only_what_is_ours(n_gpus)
        self._setups = SetupCache(memory_share(n_cpus))
        self._setup: Setup | None = None

    def facts(self) -> NodeFacts:
        """Where the actor lives."""
        return facts_of_this_node()

    def prepare(self, variant: Variant, inputs: Inputs) -> Architecture:
        """Take in what the cells of the next trial share; the layouts of their networks.

        Raises:
            UserError: the node lacks what the variant needs, which is named.
        """
        setup = self._setups.setup(variant, lambda _: inputs.dataset)
        self._setup = replace(setup, warm_start=inputs.warm_start)
        threadpool_limits(limits=1)  # for good; to ask at every step would take longer than Ray
        return self._setup.architecture

    def first(self, trial: int, versions: Sequence[Version]) -> Parcel:
        """The states of some networks before their first step; no others are made."""
        return first_states(self._ready, trial, versions)

    def compute(
        self, steps: Sequence[Step], groups: Groups, *parcels: Parcel
    ) -> tuple[Parcel, Told] | tuple[Parcel, Parcel, Told]:
        """Compute steps of a trial.

        Args:
            steps: each after those it needs.
            groups: how the ring is cut.
            parcels: hold every version that they need and do not make.

        Returns:
            what other groups read, all else that the group's next steps start from unless there is
            nothing, and of every step its record or error; none of those after an error.
        """
        executor = InProcess([self._ready])
        executor.submit(0, steps, merged(parcels))
        answers = executor.wait(())
        told: Told = [(a.step.key, said) for a in answers if (said := a.error or a.record)]
        edge, rest = groups.split({v: held for a in answers for v, held in (a.made or {}).items()})
        if groups.keeps[groups.home(steps[0].key)]:
            return edge, rest, told
        if rest:
            raise RuntimeError(f"{sorted(rest)}: states that nobody would keep")
        return edge, told

    def conclude(
        self,
        job: Job,
        last: TrialState[None],
        started_at: datetime,
        wall_time_s: float,
        *parcels: Parcel,
    ) -> Computed:
        """Judge the last state, and encode the trial's results."""
        states = merged(parcels)
        whole = last.holding({version: states[version] for version in last.held})
        return conclude(job, self._ready, whole, started_at=started_at, wall_time_s=wall_time_s)

    @property
    def _ready(self) -> Setup:
        if self._setup is None:
            raise RuntimeError("the actor was not prepared for the trial")
        return self._setup


_RemoteCellActor: Any = ray.remote(CellActor)


@dataclass(frozen=True)
class _Newest:
    """How far a trial has come.

    Attributes:
        trial: which.
        state: settled, and in the cluster.
        started_at: when it began.
        started: on this process's clock, as if all its time had been spent in one go.
        copy: its last copy in this process, as a checkpoint; None for none.
    """

    trial: TrialId
    state: TrialState[StateRef]
    started_at: datetime
    started: float
    copy: bytes | None


class TrialDriver:
    """Drives one trial after another over the same cell actors.

    Of a trial that lost cells it keeps where it was, and goes on from there if it is asked for that
    trial again.

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
        self._newest: _Newest | None = None
        self._has_lost = False

    def hello(self) -> list[NodeFacts]:
        """Where the actors live, once they do."""
        facts: list[NodeFacts] = ray.get([actor.facts.remote() for actor in self._actors])
        self._nodes = {this_node(), *(each.node for each in facts)}
        return facts

    def run(
        self, job: Job, inputs: Sequence[Ref], cells_per_actor: int
    ) -> Iterator[Said | NodeFacts]:
        """Run a trial.

        Args:
            job: the trial.
            inputs: one reference, to the trial's `Inputs`.
            cells_per_actor: a divisor of the ring.

        Yields:
            its number with its progress, and last with how it ended; with `Lost` after a loss.
            Before, where actors live that took the place of lost ones.
        """
        said = ((job, message) for message in self._messages(job, inputs[0], cells_per_actor))
        for _, message in now_and_then(said, _PROGRESS_INTERVAL_S):
            yield message if isinstance(message, NodeFacts) else (job.id, message)

    def _messages(
        self, job: Job, inputs: Ref, cells_per_actor: int
    ) -> Iterator[Message | NodeFacts]:
        groups = Groups.of(job.variant, cells_per_actor)
        executor = RingExecutor(self._actors, groups, self._window)
        begun = datetime.now(UTC)
        try:
            if self._has_lost:
                yield from self._replace_the_dead()
            actors = self._actors[: groups.n_groups]
            prepared = [actor.prepare.remote(job.variant, inputs) for actor in actors]
            [architecture, *_] = ray.get(prepared)
            self._newest = self._begun(job, executor, architecture)
            yield Reached(self._newest.state.generations)
            yield from self._generations(job, executor)
        except Exception as error:
            self._has_lost = is_lost(error)
            yield self._ended_by(error, job, begun)

    def _ended_by(self, error: Exception, job: Job, begun: datetime) -> Message:
        cause = cause_of(error)
        if is_lost(error):
            reached = 0 if self._newest is None else self._newest.state.generations
            return Lost(reached, f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}")
        if isinstance(cause, UserError):
            return Refused(str(cause))
        return failed(job, cause, begun, told=str(error))

    # Where a trial begins

    def _begun(self, job: Job, executor: RingExecutor, architecture: Architecture) -> _Newest:
        """The trial where it was, as its newest copy or checkpoint has it, or at its beginning."""
        known, schedule = self._newest, job.schedule
        if known is None or known.trial != job.id:
            known = None
        elif self._has_lost:
            try:
                return replace(known, state=executor.sent(executor.fetched(known.state)))
            except RayError:
                pass  # a node has taken some of it
        copies = [job.checkpoint, None if known is None else known.copy]
        newest = max((c for c in copies if c), key=lambda c: identify(c).generations, default=None)
        now = time.perf_counter()
        if newest is None:
            return _Newest(
                job.id, executor.first(schedule, job.trial), datetime.now(UTC), now, None
            )
        found = resumed(replace(job, checkpoint=newest), architecture)
        started = now - found.wall_time_s
        return _Newest(job.id, executor.sent(found.state), found.started_at, started, newest)

    def _replace_the_dead(self) -> list[NodeFacts]:
        """Start actors anew in the place of those that do not answer; where all live now."""
        asked = {actor.facts.remote(): k for k, actor in enumerate(self._actors)}
        ray.wait(list(asked), num_returns=len(asked), timeout=ANSWER_TIMEOUT_S)
        for answer, k in asked.items():
            if not _answered(answer):
                ray.kill(self._actors[k])
                self._actors[k] = self._start(k)
        return self.hello()

    def _start(self, k: int) -> Any:
        others = {n: a for n, a in self._resources.items() if n not in ("CPU", "GPU")}
        n_cpus, n_gpus = (self._resources.get(name, 0.0) for name in ("CPU", "GPU"))
        return _RemoteCellActor.options(
            num_cpus=n_cpus,
            num_gpus=n_gpus,
            resources=others,
            scheduling_strategy=self._strategies[k],
            max_restarts=0,
        ).remote(n_cpus, n_gpus)

    # How it goes on

    def _generations(self, job: Job, executor: RingExecutor) -> Iterator[Message]:
        """All generations that are left, and the results."""
        newest = self._known
        course = _Course(job, newest.state, DrainNotice(lambda: self._nodes))
        for _, news in run_steps([newest.state], [job.schedule], executor):
            if isinstance(news, TrialFailed):
                self._newest = None
                yield self._ended_by(news.error, job, newest.started_at)
                return
            if isinstance(news, StepsLost):
                self._has_lost = True
                yield Lost(news.generations, executor.lost)
                return
            newest = self._newest = replace(self._known, state=news)
            if course.has_advanced(news):
                yield Reached(news.generations)
            if course.is_to_be_copied(news):
                content = self._copied(job, executor)
                course.copied()
                if content is not None and (course.is_leaving or job.interval != NEVER):
                    yield Checkpointed(news.generations, content)
                if content is not None and course.is_leaving:
                    yield Leaving()
                    return
        yield self._concluded(job, newest)
        self._newest = None

    @property
    def _known(self) -> _Newest:
        assert self._newest is not None
        return self._newest

    def _copied(self, job: Job, executor: RingExecutor) -> bytes | None:
        """The newest state, as a checkpoint; None if that is too much for the cluster now."""
        newest = self._known
        try:
            state = executor.fetched(newest.state)
        except GetTimeoutError:
            return None
        now = Checkpoint(state, newest.started_at, time.perf_counter() - newest.started)
        content = encode_checkpoint(now, job.variant, machine_name(), job.replay)
        self._newest = replace(newest, copy=content)
        return content

    def _concluded(self, job: Job, newest: _Newest) -> Computed:
        last, parcels = newest.state, dict.fromkeys(ref.whole for ref in newest.state.held.values())
        computed: Computed = ray.get(
            self._actors[0].conclude.remote(
                replace(job, checkpoint=None),
                last.holding(dict.fromkeys(last.held)),
                *(newest.started_at, time.perf_counter() - newest.started),
                *parcels,
            )
        )
        return computed


class _Course:
    """What a driver keeps an eye on while a trial runs: progress, copies, notices.

    Args:
        job: the trial.
        start: where it goes on.
        notice: that a node will soon be gone.
    """

    def __init__(self, job: Job, start: TrialState[StateRef], notice: DrainNotice) -> None:
        self._has_ended = job.schedule.has_ended
        asked = (
            job.interval if job.interval != NEVER else CheckpointInterval(seconds=_COPY_INTERVAL_S)
        )
        self._timer = CheckpointTimer(asked, start.generations)
        self._before, self._pulse = start, time.perf_counter()
        self._metrics, self._notice = TrialMetrics(job), notice
        self.is_leaving = False

    def has_advanced(self, state: TrialState[StateRef]) -> bool:
        """Take in a new state; whether the whole ring has come further."""
        new = state.records[len(self._before.records) :]
        further = state.generations - self._before.generations
        now = time.perf_counter()
        if new and further > 0:
            computing = max(record.wall_time_s for record in new)
            self._metrics.exchanged((now - self._pulse) / further - computing)
            self._metrics.advanced(further)
            self._metrics.recorded(new)
            self._pulse = now
        self._before = state
        return further > 0

    def is_to_be_copied(self, state: TrialState[StateRef]) -> bool:
        """Whether the state is to be written down: now and then, and before a node goes."""
        if self._has_ended(state):
            return False
        self.is_leaving = self._notice()
        return self._timer.is_due(state.generations) or self.is_leaving

    def copied(self) -> None:
        """It was, or that took too long."""
        self._timer.made()


def _answered(answer: Ref) -> bool:
    try:
        ray.get(answer, timeout=0)
    except (RayError, GetTimeoutError):
        return False
    return True


RemoteTrialDriver: Any = ray.remote(TrialDriver)
