"""The executor on actors: states stay where they were made, and the driver passes references.

Weights never come to the driver but for copies: what it holds of a state are references to the
parcels that it is in. Steps start as soon as what they need exists, so that generations overlap.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import ray
from ray.exceptions import RayError

from aes_lipi.coevolution.evolution import Key
from aes_lipi.coevolution.generation import carries_private_state
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Answer, Cell, Held, Part, Step, TrialState, Version
from aes_lipi.coevolution.topology import neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.execution.ray.faults import cause_of, is_lost

ANSWER_TIMEOUT_S = 600.0
"""For answers of actors and copies of states; the dead are known by errors, well before."""

Ref = Any
"""A reference to an object in the cluster."""

Parcel = dict[Version, Held]
"""States as actors hand them to each other."""

Told = list[tuple[Version, Record | Exception]]
"""What an actor says of steps, by what they make first."""


class StateRef(NamedTuple):
    """Where a state is: references to parcels with its centre, and with all of it."""

    centre: Ref
    whole: Ref


@dataclass(frozen=True)
class Groups:
    """A ring cut into groups of neighbouring cells, one group an actor.

    Attributes:
        cells_per_actor: size of a group.
        n_groups: their number.
        outside: the networks, or cells, whose centres another group reads.
        private: whether a cell carries more than its centre.
        keeps: of every group, whether its next steps start from anything that is not read outside.
    """

    cells_per_actor: int
    n_groups: int
    outside: frozenset[tuple[Part, int]]
    private: bool
    keeps: tuple[bool, ...]

    @staticmethod
    def of(variant: Variant, cells_per_actor: int) -> Groups:
        """Groups of so many consecutive cells; without space of so many encoders."""
        size = variant.population_size
        n_groups = -(-size // cells_per_actor)
        if variant.cell_evaluation == "all_vs_all":
            decoders = frozenset[tuple[Part, int]](("decoder", j) for j in range(size))
            outside = decoders if n_groups > 1 else frozenset()
            return Groups(cells_per_actor, n_groups, outside, False, (True,) * n_groups)
        home = [i // cells_per_actor for i in range(size)]
        read = {
            j for i, own in enumerate(neighbourhoods(variant)) for j in own if home[i] != home[j]
        }
        private = carries_private_state(variant)
        inner = {group for i, group in enumerate(home) if i not in read}
        keeps = tuple(private or group in inner for group in range(n_groups))
        return Groups(
            cells_per_actor, n_groups, frozenset(("pair", i) for i in read), private, keeps
        )

    def home(self, version: Version) -> int:
        """The group in which a version is made."""
        return version.number // self.cells_per_actor

    def is_read_outside(self, version: Version) -> bool:
        """Whether another group reads a version."""
        return (version.part, version.number) in self.outside

    def split(self, made: Parcel) -> tuple[Parcel, Parcel]:
        """Cut new states into what other groups read and what else the own group starts from."""
        edge = {v: _centre_of(held) for v, held in made.items() if self.is_read_outside(v)}
        rest = {v: h for v, h in made.items() if v not in edge or is_more_than_centre(h)}
        return edge, rest


def is_more_than_centre(held: Held) -> bool:
    """Whether a state is more than what others read of it."""
    return isinstance(held, Cell) and held.is_more_than_centre


def _centre_of(held: Held) -> Held:
    """What others read of a state."""
    return Cell(held.pair) if isinstance(held, Cell) else held


def merged(parcels: Iterable[Parcel]) -> Parcel:
    """The states in some parcels; of one that comes twice, the copy that is more than a centre."""
    states: Parcel = {}
    for parcel in parcels:
        for version, held in parcel.items():
            if version not in states or is_more_than_centre(held):
                states[version] = held
    return states


@dataclass(frozen=True)
class _Call:
    """Steps that an actor was asked for, and where it will put what they make."""

    trial: int
    steps: tuple[Step, ...]
    where: Mapping[Version, StateRef]


class RingExecutor:
    """Computes steps on the actors of a ring, several generations ahead.

    Args:
        actors: one a group.
        groups: which of them holds which cells.
        ahead: generations in flight.

    Attributes:
        lost: the last reason why steps were lost.
    """

    beside = None

    def __init__(self, actors: Sequence[Any], groups: Groups, ahead: int) -> None:
        self.ahead = ahead
        self.lost = ""
        self._actors, self._groups = actors, groups
        self._running: dict[Ref, _Call] = {}
        self._where: dict[Key, StateRef] = {}  # of what is in flight

    def first(self, schedule: Schedule, trial: int) -> TrialState[StateRef]:
        """A trial before its first step, every state made by the actor where it will live."""
        held: dict[Version, StateRef] = {}
        for group, versions in self._by_group(schedule.first_versions).items():
            parcel = self._actors[group].first.remote(trial, versions)
            held |= dict.fromkeys(versions, StateRef(parcel, parcel))
        return schedule.start(trial, held)

    def submit(self, trial: int, steps: Sequence[Step], held: Mapping[Version, StateRef]) -> None:
        """Send calls on their way; see `Executor.submit`."""
        for group, of_call in calls_of(steps, lambda step: self._groups.home(step.key)):
            made = [version for step in of_call for version in step.makes]
            needed: dict[Ref, None] = {}
            for step in of_call:
                for version in step.needs:
                    if version not in made:
                        ref = held.get(version) or self._where[trial, version]
                        needed[ref.whole if version in step.own else ref.centre] = None
            keeps = self._groups.keeps[group]
            call = self._actors[group].compute.options(num_returns=3 if keeps else 2)
            edge, *rest, told = call.remote(of_call, self._groups, *needed)
            where = {version: self._ref(version, edge, *rest) for version in made}
            self._where |= {(trial, version): ref for version, ref in where.items()}
            self._running[told] = _Call(trial, of_call, where)

    def _ref(self, version: Version, edge: Ref, rest: Ref = None) -> StateRef:
        if not self._groups.is_read_outside(version):
            return StateRef(rest, rest)
        return StateRef(edge, rest if self._groups.private else edge)

    def wait(self, wanted: Collection[Key]) -> list[Answer[StateRef]]:
        """Answers that have come; those to all steps of a call come together."""
        keys = set(wanted)
        asked = [
            ref
            for ref, call in self._running.items()
            if not keys or any((call.trial, step.key) in keys for step in call.steps)
        ]
        ray.wait(asked, num_returns=len(asked) if keys else 1)
        there, _ = ray.wait(list(self._running), num_returns=len(self._running), timeout=0)
        return [answer for ref in there for answer in self._answers(ref)]

    def _answers(self, ref: Ref) -> list[Answer[StateRef]]:
        call = self._running.pop(ref)
        for version in call.where:
            del self._where[call.trial, version]
        try:
            told: dict[Version, Record | Exception] = dict(ray.get(ref))
        except RayError as error:
            if not is_lost(error):
                return [Answer(call.trial, call.steps[0], error=error)]
            self.lost = " ".join(str(cause_of(error)).split())[:200]
            return [Answer(call.trial, step) for step in call.steps]
        return [_answer(call, step, told[step.key]) for step in call.steps if step.key in told]

    def fetched(self, state: TrialState[StateRef]) -> TrialState[Held]:
        """The same state in this process, to be written down.

        Raises:
            RayError: a state is lost, or does not come in time.
        """
        refs = list(dict.fromkeys(ref.whole for ref in state.held.values()))
        parcels = dict(zip(refs, ray.get(refs, timeout=ANSWER_TIMEOUT_S), strict=True))
        held = {version: parcels[ref.whole][version] for version, ref in state.held.items()}
        return state.holding(held)

    def sent(self, state: TrialState[Held]) -> TrialState[StateRef]:
        """The same state in the cluster, put there by this process."""
        held: dict[Version, StateRef] = {}
        for versions in self._by_group(state.held).values():
            parcel = ray.put({version: state.held[version] for version in versions})
            held |= dict.fromkeys(versions, StateRef(parcel, parcel))
        return state.holding(held)

    def _by_group(self, versions: Iterable[Version]) -> dict[int, list[Version]]:
        found: dict[int, list[Version]] = {}
        for version in versions:
            found.setdefault(self._groups.home(version), []).append(version)
        return found


def _answer(call: _Call, step: Step, said: Record | Exception) -> Answer[StateRef]:
    if isinstance(said, Exception):
        return Answer(call.trial, step, error=said)
    return Answer(call.trial, step, {v: call.where[v] for v in step.makes}, said)


def calls_of(
    steps: Sequence[Step], home: Callable[[Step], int]
) -> list[tuple[int, tuple[Step, ...]]]:
    """Gather steps into calls of one group each, of which each needs only calls before it.

    A call takes as many of its group's steps as can be computed without waiting for another group:
    with synchronous updates a group's whole generation, with sequential ones what lies between two
    reads of another group's new centres.

    Args:
        steps: each after those it needs.
        home: the group that computes a step.
    """
    waiting: dict[int, list[Step]] = {}
    for step in steps:
        waiting.setdefault(home(step), []).append(step)
    to_come = {version for step in steps for version in step.makes}
    waiting_for: dict[Version, set[int]] = {}
    for group, queue in waiting.items():
        for need in (need for step in queue for need in step.needs if need in to_come):
            waiting_for.setdefault(need, set()).add(group)
    ready = {group: _computable(queue, to_come) for group, queue in waiting.items()}
    most_first = [(-len(taken), group) for group, taken in ready.items()]
    heapq.heapify(most_first)
    calls: list[tuple[int, tuple[Step, ...]]] = []
    while most_first:
        size, group = heapq.heappop(most_first)
        taken = ready[group]
        if size == 0 or -size != len(taken):
            continue  # outdated: it waits, or was pushed again
        calls.append((group, tuple(taken)))
        made = {version for step in taken for version in step.makes}
        to_come -= made
        waiting[group] = [step for step in waiting[group] if step.key not in made]
        for other in {group}.union(*(waiting_for.get(version, ()) for version in made)):
            ready[other] = _computable(waiting[other], to_come)
            heapq.heappush(most_first, (-len(ready[other]), other))
    return calls


def _computable(queue: Iterable[Step], to_come: set[Version]) -> list[Step]:
    """The steps of a group that need nothing which another call has yet to make."""
    made: set[Version] = set()
    taken = []
    for step in queue:
        if all(need in made or need not in to_come for need in step.needs):
            made.update(step.makes)
            taken.append(step)
    return taken
