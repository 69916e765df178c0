"""Which actor holds which cells, and how a round of steps becomes calls."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aes_lipi.coevolution.order import Step, Version
from aes_lipi.coevolution.topology import Neighbourhoods


@dataclass(frozen=True)
class Partition:
    """A ring cut into groups of neighbouring cells, one group per actor.

    Attributes:
        group_of: of every cell the index of its group.
        read_outside: cells that a cell of another group reads.
        with_inner_cells: groups with a cell that no other group reads.
    """

    group_of: tuple[int, ...]
    read_outside: frozenset[int]
    with_inner_cells: frozenset[int]

    @staticmethod
    def of(members: Neighbourhoods, cells_per_actor: int) -> Partition:
        """Groups of `cells_per_actor` consecutive cells."""
        group_of = tuple(i // cells_per_actor for i in range(len(members)))
        outside = frozenset(
            j for i, own in enumerate(members) for j in own if group_of[i] != group_of[j]
        )
        inner = frozenset(group for i, group in enumerate(group_of) if i not in outside)
        return Partition(group_of, outside, inner)

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return self.group_of[-1] + 1


@dataclass(frozen=True)
class Call:
    """Steps that one actor computes in one call, each after those it needs."""

    group: int
    steps: tuple[Step, ...]


def calls_of(steps: Sequence[Step], partition: Partition) -> list[Call]:
    """Gather a round's steps into calls, each of which needs only calls before it.

    A call takes as many of its group's steps as can be computed without waiting for another group:
    with synchronous updates a group's whole generation, with sequential ones what lies between two
    reads of another group's new centres.

    Args:
        steps: of one round, each after those it needs.
        partition: which cell is in which group.
    """
    waiting: dict[int, list[Step]] = {}
    for step in steps:
        waiting.setdefault(partition.group_of[step.cell], []).append(step)
    to_come = {step.version for step in steps}
    waiting_for: dict[Version, set[int]] = {}
    for group, queue in waiting.items():
        for need in (need for step in queue for need in step.needs if need in to_come):
            waiting_for.setdefault(need, set()).add(group)
    ready = {group: _computable(queue, to_come) for group, queue in waiting.items()}
    most_first = [(-len(taken), group) for group, taken in ready.items()]
    heapq.heapify(most_first)
    calls: list[Call] = []
    while most_first:
        size, group = heapq.heappop(most_first)
        taken = ready[group]
        if size == 0 or -size != len(taken):
            continue  # outdated: it waits, or was pushed again
        calls.append(Call(group, tuple(taken)))
        made = {step.version for step in taken}
        to_come -= made
        waiting[group] = [step for step in waiting[group] if step.version not in made]
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
            made.add(step.version)
            taken.append(step)
    return taken
