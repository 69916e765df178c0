"""Which centre every cell reads when: the order of updates as data flow.

A version is a cell and a generation: the state that the cell has after that generation, or before
its first (`BEFORE_FIRST`). A step makes one version out of others, so that steps may be computed
anywhere and at any time once the versions they need exist, with the same bits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aes_lipi.coevolution.learning_rate import next_learning_rate
from aes_lipi.coevolution.plan import Plan, make_plan
from aes_lipi.coevolution.topology import Neighbourhoods, neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.randomness import Address, Purpose

Version = tuple[int, int]
Reads = npt.NDArray[np.int32]
BEFORE_FIRST = -1


@dataclass(frozen=True)
class Step:
    """One generation of one cell, decided.

    Attributes:
        members: the cell's neighbourhood as cell indices, its own first.
        reads: of every member the generation whose centre is read.
        plan: the driver's other decisions.
    """

    members: tuple[int, ...]
    reads: tuple[int, ...]
    plan: Plan

    @property
    def cell(self) -> int:
        """The cell that computes it."""
        return self.plan.address.cell

    @property
    def generation(self) -> int:
        """The generation that it is."""
        return self.plan.address.generation

    @property
    def version(self) -> Version:
        """The version that it makes."""
        return self.cell, self.generation

    @property
    def own(self) -> Version:
        """The version that it starts from."""
        return self.cell, self.generation - 1

    @property
    def read(self) -> tuple[Version, ...]:
        """The versions whose centres are its neighbourhood, in the order of `members`."""
        return tuple(zip(self.members, self.reads, strict=True))

    @property
    def needs(self) -> frozenset[Version]:
        """All versions that must exist before it can be computed."""
        return frozenset((self.own, *self.read))


class Flow:
    """A trial's steps in an order in which they can be computed.

    Iterating gives rounds: tuples of steps of which each needs only versions made before it, in
    earlier rounds or in its own. Without a replay a round is one generation of all cells.

    Args:
        variant: settings.
        trial: number of the trial.
        following: every cell's first generation to decide. Unless they are the same, cells ran
            freely before: those that are behind catch up first, and read of others what there is.
        learning_rates: of every cell in that generation.
        replay: of an asynchronous trial, what every cell read: int32, shape (epochs, cells,
            members).
    """

    def __init__(
        self,
        variant: Variant,
        trial: int,
        following: Sequence[int],
        learning_rates: Sequence[float],
        replay: Reads | None = None,
    ) -> None:
        self.members = reachable(variant)
        self.learning_rates = list(learning_rates)
        self._variant = variant
        self._trial = trial
        self._replay = replay
        self._following = tuple(following)

    def __iter__(self) -> Iterator[tuple[Step, ...]]:
        """All rounds up to the last generation."""
        if self._replay is not None:
            yield from self._replayed(self._replay)
            return
        for t in range(min(self._following), self._variant.epochs):
            yield self._lock_step(t)

    def step(self, cell: int, generation: int, reads: Iterable[int]) -> Step:
        """The next step of a cell, given what it reads; moves its learning rate on."""
        address = Address(self._variant.rng_seed, self._trial, cell, generation)
        members, rate = self.members[cell], self.learning_rates[cell]
        self.learning_rates[cell] = next_learning_rate(rate, self._variant, address)
        plan = make_plan(self._variant, address, rate, len(members))
        return Step(members, tuple(reads), plan)

    def _lock_step(self, t: int) -> tuple[Step, ...]:
        """A generation in which cells read the centres of the last one, or of this one."""
        newest = [max(t, following) - 1 for following in self._following]
        steps = []
        for i in update_order(self._variant, self._trial, t):
            if t < self._following[i]:
                continue
            steps.append(self.step(i, t, [newest[j] for j in self.members[i]]))
            if reads_this_generation(self._variant):
                newest[i] = t
        return tuple(steps)

    def _replayed(self, replay: Reads) -> Iterator[tuple[Step, ...]]:
        """Rounds of all cells whose next step can be computed."""
        following = list(self._following)
        epochs = self._variant.epochs
        while min(following) < epochs:
            ready = [
                i
                for i, t in enumerate(following)
                if t < epochs
                and all(
                    g < following[j] for j, g in zip(self.members[i], replay[t, i], strict=True)
                )
            ]
            if not ready:
                raise ValueError("the reads to replay go round in a circle")
            yield tuple(
                self.step(i, following[i], (int(g) for g in replay[following[i], i])) for i in ready
            )
            for i in ready:
                following[i] += 1


def runs_freely(variant: Variant) -> bool:
    """Whether cells that are beside each other need not wait for each other.

    A generation without space is one of the whole population, so that there is nothing to set free.
    """
    return variant.update_order == "asynchronous" and variant.cell_evaluation != "all_vs_all"


def reads_this_generation(variant: Variant) -> bool:
    """Whether cells see new centres of neighbours before them (algorithm section 4).

    `asynchronous` cells in one process have nobody beside them: they go one after another too.
    """
    return variant.update_order != "synchronous" and variant.cell_evaluation != "all_vs_all"


def update_order(variant: Variant, trial: int, t: int) -> list[int]:
    """The order of the cells in generation t: by index in the first, shuffled afterwards."""
    cells = range(variant.population_size)
    if t == 0 or not reads_this_generation(variant):
        return list(cells)
    shuffle = Address(variant.rng_seed, trial, generation=t).stream(Purpose.UPDATE_ORDER)
    return [int(i) for i in shuffle.permutation(len(cells))]


def reachable(variant: Variant) -> Neighbourhoods:
    """Every cell's neighbourhood, own first; without space it is the whole population."""
    if variant.cell_evaluation != "all_vs_all":
        return neighbourhoods(variant)
    everyone = range(variant.population_size)
    return tuple((i, *(j for j in everyone if j != i)) for i in everyone)


def waves(steps: Sequence[Step]) -> list[tuple[Step, ...]]:
    """Group steps by what they wait for.

    Steps of one wave do not need each other, and computing them together changes nothing.

    Args:
        steps: each after those it needs.
    """
    level: dict[Version, int] = {}
    grouped: dict[int, list[Step]] = {}
    for step in steps:
        depth = 1 + max((level[need] for need in step.needs if need in level), default=-1)
        level[step.version] = depth
        grouped.setdefault(depth, []).append(step)
    return [tuple(sorted(grouped[k], key=lambda step: step.version)) for k in sorted(grouped)]
