"""Which actor holds which cells, and how a round of steps becomes calls."""

from __future__ import annotations

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
    """

    group_of: tuple[int, ...]
    read_outside: frozenset[int]

    @staticmethod
    def of(members: Neighbourhoods, cells_per_actor: int) -> Partition:
        """Groups of `cells_per_actor` consecutive cells."""
        group_of = tuple(i // cells_per_actor for i in range(len(members)))
        outside = frozenset(
            j for i, own in enumerate(members) for j in own if group_of[i] != group_of[j]
        )
        return Partition(group_of, outside)

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
    calls: list[Call] = []
    while waiting:
        ready = {group: _computable(queue, to_come) for group, queue in waiting.items()}
        group = max(ready, key=lambda g: len(ready[g]))
        taken = ready[group]
        calls.append(Call(group, tuple(taken)))
        made = {step.version for step in taken}
        to_come -= made
        left = [step for step in waiting.pop(group) if step.version not in made]
        if left:
            waiting[group] = left
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
