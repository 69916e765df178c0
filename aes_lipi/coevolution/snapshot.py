"""A trial between two steps: all that is needed to go on with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aes_lipi.coevolution.order import Version
from aes_lipi.coevolution.plan import Cell, Record


@dataclass(frozen=True)
class Snapshot:
    """A trial on its way.

    Randomness is addressed, so no generator's state belongs to it.

    Attributes:
        trial: number of the trial.
        states: the newest state of every cell, and older ones that steps of a replay still read.
        learning_rates: of every cell's next generation.
        records: of all generations up to there, in order of generation and cell.
    """

    trial: int
    states: Mapping[Version, Cell]
    learning_rates: tuple[float, ...]
    records: Sequence[Record] = ()

    @property
    def following(self) -> tuple[int, ...]:
        """Every cell's next generation; they are all the same unless cells run freely."""
        newest = [-1] * len(self.learning_rates)
        for cell, generation in self.states:
            newest[cell] = max(newest[cell], generation)
        return tuple(generation + 1 for generation in newest)

    @property
    def generations(self) -> int:
        """Generations that the whole ring has behind it."""
        return min(self.following)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Every cell's newest state."""
        return tuple(self.states[i, t - 1] for i, t in enumerate(self.following))


def in_order(record: Record) -> tuple[int, int]:
    """The place of a record among all records of a trial."""
    return record.generation, record.cell
