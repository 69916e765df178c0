"""Which steps can be asked for: pure rules over a trial's state and what is in flight of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from aes_lipi.coevolution.rates import next_learning_rate, rate_in
from aes_lipi.coevolution.records import RecordLog
from aes_lipi.coevolution.state import (
    BEFORE_FIRST,
    H,
    Part,
    Plan,
    Reads,
    Step,
    TrialState,
    Version,
)
from aes_lipi.coevolution.stopping import generations_decided, is_recorded, watched
from aes_lipi.coevolution.topology import Neighbourhoods, neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.pruning.schedules import prune_amount, prune_probability
from aes_lipi.randomness import Address, Purpose


class _Outline(NamedTuple):
    """A step before its plan; `cell` addresses its draws, and `rate` is whose rate it has."""

    own: tuple[Version, ...]
    read: tuple[Version, ...]
    makes: tuple[Version, ...]
    members: tuple[int, ...]
    reads: tuple[int, ...]
    cell: int
    generation: int
    rate: int


@dataclass(frozen=True, eq=False)
class Schedule:
    """The order of updates of a variant's trials, as data flow.

    Attributes:
        variant: settings.
        replay: of an asynchronous trial that is repeated, what every cell read.
        ends_at: generations after which a trial that is repeated ends, as it did before; None where
            the settings decide.
    """

    variant: Variant
    replay: Reads | None = None
    ends_at: int | None = None

    def start(self, trial: int, held: Mapping[Version, H]) -> TrialState[H]:
        """A trial before its first step.

        Args:
            trial: its number.
            held: the states of `first_versions`.
        """
        whose = range(1 if self.is_without_space else self.variant.population_size)
        rates = {(i, 0): self.variant.learning_rate for i in whose}
        log = RecordLog(keeps_all=self.variant.store_generations == "all")
        return TrialState(trial, held, rates, log)

    @property
    def first_versions(self) -> list[Version]:
        """What there is before the first step."""
        parts: tuple[Part, ...] = ("encoder", "decoder") if self.is_without_space else ("pair",)
        cells = range(self.variant.population_size)
        return [Version(part, i, BEFORE_FIRST) for part in parts for i in cells]

    def ready(
        self,
        state: TrialState[H],
        in_flight: Mapping[Version, Step],
        ahead: int,
        beside: int | None = 1,
    ) -> list[Step]:
        """Steps that can be asked for, each after those it needs.

        Args:
            state: of a trial.
            in_flight: its steps that were asked for, by what they make first.
            ahead: steps of every network that may be in flight.
            beside: steps of cells that run freely beside each other; None for as many as there are.

        Raises:
            ValueError: the reads to replay go round in a circle; they are of no trial.
        """
        if self.has_ended(state):
            return []
        if self.is_free:
            found: Iterable[_Outline] = self._free(state, in_flight, beside)
        elif self.replay is not None:
            found = self._replayed(state, in_flight, ahead, self.replay)
        else:
            found = self._lock_step(state, in_flight, ahead)
        rates = dict(state.rates)
        for step in in_flight.values():
            rates[step.rate, step.generation + 1] = step.next_rate
        cuts = state.watch.cuts
        return [self._planned(outline, state.trial, rates, cuts) for outline in found]

    def settled(self, state: TrialState[H]) -> TrialState[H]:
        """The state with what follows from the validation losses that have come."""
        known = watched(self.variant, state.watch, state.records, state.generations)
        return state if known is state.watch else replace(state, watch=known)

    def has_ended(self, state: TrialState[H]) -> bool:
        """Whether no step of a trial is left: it has all generations, or has stopped."""
        return state.generations >= self._decided(state)

    def _decided(self, state: TrialState[H]) -> int:
        decided = generations_decided(self.variant, state.watch, state.generations)
        return decided if self.ends_at is None else min(decided, self.ends_at)

    def restored_later(self, state: TrialState[H]) -> Collection[Version]:
        """Versions that are kept for a trial's answer: those of its best generation so far."""
        has_best = self.variant.patience is not None and state.watch.best >= 0
        return state.versions_of(state.watch.best) if has_best else ()

    def needed_later(self, state: TrialState[H]) -> Collection[Version]:
        """Versions that are kept though they are not the newest."""
        return {*self.read_later(state), *self.restored_later(state)}

    def read_later(self, state: TrialState[H]) -> Collection[Version]:
        """Versions that are not the newest and that steps still to be done read."""
        if self.is_free:
            return ()
        if self.replay is not None:
            newest = state.newest
            return [
                v
                for v in state.held
                if any(
                    t > newest["pair", i] for i, t in self._last_readers.get((v.number, v.age), ())
                )
            ]
        last = max(state.newest.values()) // state.steps_per_generation
        return {
            version
            for t in range(state.generations, min(last + 2, self.variant.epochs))
            for outline in self._outlines(state.trial, t)
            if not state.has(outline.makes[0])
            for version in (*outline.own, *outline.read)
        }

    def behind(self, state: TrialState[H]) -> list[tuple[int, int]]:
        """Generation and cell of every step that a trial has behind it, in order."""
        if self.is_without_space:
            last = max(state.newest.values()) // state.steps_per_generation
            outlines = (each for t in range(last + 1) for each in self._outlines(state.trial, t))
            done = [(each.generation, each.cell) for each in outlines if state.has(each.makes[0])]
        else:
            done = [(t, i) for (_, i), age in state.newest.items() for t in range(age + 1)]
        return sorted(done)

    def rates_of(self, state: TrialState[H]) -> set[tuple[int, int]]:
        """Whose learning rates, and of which generation, the next steps of a trial need."""
        if self.is_without_space:
            return {(0, state.generations)}
        return {(i, age + 1) for (_, i), age in state.newest.items()}

    @property
    def is_free(self) -> bool:
        """Whether what a step reads follows from which answers have come."""
        return self.replay is None and runs_freely(self.variant)

    @property
    def is_without_space(self) -> bool:
        """Whether encoders and decoders go their own ways, and meet in pairs."""
        return self.variant.cell_evaluation == "all_vs_all"

    @cached_property
    def members(self) -> Neighbourhoods:
        """Every cell's neighbourhood."""
        return neighbourhoods(self.variant)

    # The three rules

    def _lock_step(
        self, state: TrialState[H], in_flight: Mapping[Version, Step], ahead: int
    ) -> Iterator[_Outline]:
        """Generation after generation, in the order of updates."""
        first = state.generations
        for t in range(first, min(first + ahead, self._decided(state))):
            for outline in self._outlines(state.trial, t):
                if not state.has(outline.makes[0]) and outline.makes[0] not in in_flight:
                    yield outline

    def _free(
        self, state: TrialState[H], in_flight: Mapping[Version, Step], beside: int | None
    ) -> list[_Outline]:
        """Of cells that are not in flight, the last first, from the newest that there is."""
        newest = [state.newest["pair", i] for i in range(len(self.members))]
        busy = {version.number for version in in_flight}
        last = self._decided(state) - 1
        idle = [i for i, t in enumerate(newest) if i not in busy and t < last]
        orders = {
            t: update_order(self.variant, state.trial, t) for t in {newest[i] + 1 for i in idle}
        }
        idle.sort(key=lambda i: (newest[i], orders[newest[i] + 1].index(i)))
        room = len(idle) if beside is None else max(0, beside - len(busy))
        return [
            self._of_cell(i, newest[i] + 1, [newest[j] for j in self.members[i]])
            for i in idle[:room]
        ]

    def _replayed(
        self, state: TrialState[H], in_flight: Mapping[Version, Step], ahead: int, replay: Reads
    ) -> list[_Outline]:
        """Of every cell the next steps whose reads are decided; bounded for each cell."""
        following = [state.newest["pair", i] + 1 for i in range(len(self.members))]
        decided = list(following)  # of every cell, the first step that is not in flight
        last = min(self._decided(state), len(replay))

        def advance(i: int) -> None:
            while Version("pair", i, decided[i]) in in_flight:
                decided[i] += 1

        def reads_of(i: int, t: int) -> list[int]:
            found: list[int] = replay[t, i, : len(self.members[i])].tolist()
            return found

        def can_go(i: int) -> bool:
            t = decided[i]
            return t < min(last, following[i] + ahead) and all(
                g < decided[j] for j, g in zip(self.members[i], reads_of(i, t), strict=True)
            )

        for i in range(len(decided)):
            advance(i)
        found: list[_Outline] = []
        while going := [i for i in range(len(decided)) if can_go(i)]:
            for i in going:
                found.append(self._of_cell(i, decided[i], reads_of(i, decided[i])))
                decided[i] += 1
                advance(i)
        if not found and not in_flight:
            raise ValueError("the reads to replay go round in a circle")
        return found

    # Outlines and plans

    @lru_cache(maxsize=32)  # noqa: B019 - lives as long as a trial
    def _outlines(self, trial: int, t: int) -> tuple[_Outline, ...]:
        """A generation in lock step, in the order of updates."""
        if self.is_without_space:
            return tuple(self._pairs(trial, t))
        reached = [t - 1] * len(self.members)
        outlines = []
        for i in update_order(self.variant, trial, t):
            outlines.append(self._of_cell(i, t, [reached[j] for j in self.members[i]]))
            if _reads_this_generation(self.variant):
                reached[i] = t
        return tuple(outlines)

    def _of_cell(self, i: int, t: int, reads: Sequence[int]) -> _Outline:
        members = self.members[i]
        read = tuple(Version("pair", j, g) for j, g in zip(members, reads, strict=True))
        own, makes = (Version("pair", i, t - 1),), (Version("pair", i, t),)
        return _Outline(own, read, makes, members, tuple(reads), i, t, i)

    def _pairs(self, trial: int, t: int) -> Iterator[_Outline]:
        """Algorithm section 4, `all_vs_all`: both lists in one order, which is that of the cells.

        Encoder i and decoder j meet at their newest; the a-th encoder of the order has met a
        decoders before each of its own, and the b-th decoder b encoders.
        """
        n = self.variant.population_size
        order = list(range(n))
        if t:
            shuffle = Address(self.variant.rng_seed, trial, generation=t)
            order = [int(i) for i in shuffle.stream(Purpose.PAIR_ORDER).permutation(n)]
        for a, i in enumerate(order):
            for b, j in enumerate(order):
                makes = (Version("encoder", i, t * n + b), Version("decoder", j, t * n + a))
                own = tuple(Version(part, k, age - 1) for part, k, age in makes)
                cell = a * n + b
                yield _Outline(own, own, makes, (cell,), (t - 1,), cell, t, 0)

    def _planned(
        self, outline: _Outline, trial: int, rates: dict[tuple[int, int], float], cuts: int
    ) -> Step:
        """The step, with whose rate moves on."""
        t, who = outline.generation, outline.rate
        rate, after_it = rates[who, t], (who, t + 1)
        if after_it not in rates:
            whose = Address(self.variant.rng_seed, trial, who, t)
            rates[after_it] = next_learning_rate(rate, self.variant, whose)
        address = Address(self.variant.rng_seed, trial, outline.cell, t)
        return Step(
            *outline[:5],
            plan=make_plan(
                self.variant, address, rate_in(self.variant, rate, t, cuts), len(outline.members)
            ),
            rate=who,
            next_rate=rates[after_it],
        )

    @cached_property
    def _last_readers(self) -> dict[tuple[int, int], list[tuple[int, int]]]:
        """Of a replay, by cell and generation: who reads it, and in which step last."""
        last: dict[tuple[int, int], dict[int, int]] = {}
        for t, of_generation in enumerate(np.asarray(self.replay).tolist()):
            for i, reads in enumerate(of_generation):
                for j, g in zip(self.members[i], reads, strict=False):
                    last.setdefault((j, g), {})[i] = t
        return {version: list(readers.items()) for version, readers in last.items()}


def make_plan(variant: Variant, address: Address, learning_rate: float, n_members: int) -> Plan:
    """Decide a cell's generation from its address alone.

    Args:
        variant: settings.
        address: of the cell's generation.
        learning_rate: that it trains at.
        n_members: size of the cell's neighbourhood, n of the schedules: 2r + 1 on a ring, 4r + 1 on
            a grid, 1 without space.
    """
    t = address.generation
    probability = prune_probability(variant, t, n_members)
    drawn = address.stream(Purpose.TOURNAMENT).integers(n_members, size=variant.tournament_size)
    return Plan(
        address=address,
        learning_rate=learning_rate,
        contestants=tuple(drawn.tolist()),
        prune_probability=probability,
        prune=bool(address.stream(Purpose.PRUNE_EVENT).random() < probability),
        prune_amount=prune_amount(variant, t),
        record_quality=is_recorded(variant, t),
    )


def runs_freely(variant: Variant) -> bool:
    """Whether cells that are beside each other need not wait for each other."""
    return variant.update_order == "asynchronous" and variant.cell_evaluation != "all_vs_all"


def _reads_this_generation(variant: Variant) -> bool:
    """Whether cells see new centres of neighbours before them (algorithm section 4)."""
    return variant.update_order != "synchronous"


def update_order(variant: Variant, trial: int, t: int) -> list[int]:
    """The order of the cells in generation t: by index in the first, shuffled afterwards."""
    cells = range(variant.population_size)
    if t == 0 or not _reads_this_generation(variant):
        return list(cells)
    shuffle = Address(variant.rng_seed, trial, generation=t).stream(Purpose.UPDATE_ORDER)
    return [int(i) for i in shuffle.permutation(len(cells))]
