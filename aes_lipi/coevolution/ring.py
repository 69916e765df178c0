"""The ring (or grid) of cells, generation after generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from aes_lipi.autoencoders.network import Network, Pair, initial_genome
from aes_lipi.coevolution.front import extended
from aes_lipi.coevolution.generation import generation
from aes_lipi.coevolution.order import Flow, Reads, Step, Version, waves
from aes_lipi.coevolution.plan import Cell, Outcome, Record, Setup, Task
from aes_lipi.coevolution.snapshot import Snapshot, in_order
from aes_lipi.randomness import Address, Purpose


@dataclass(frozen=True)
class Ring:
    """The state of a trial between two generations.

    Attributes:
        trial: number of the trial.
        generation: number of the next generation.
        cells: every cell's state.
        learning_rates: every cell's rate for the next generation.
    """

    trial: int
    generation: int
    cells: tuple[Cell, ...]
    learning_rates: tuple[float, ...]

    @classmethod
    def of(cls, snapshot: Snapshot) -> Ring:
        """The ring of a trial whose cells all have the same generations behind them."""
        rates = snapshot.learning_rates
        return cls(snapshot.trial, snapshot.generations, snapshot.cells, rates)

    def snapshot(self) -> Snapshot:
        """The trial as it is now, without the records that it has."""
        states = {(i, self.generation - 1): cell for i, cell in enumerate(self.cells)}
        return Snapshot(self.trial, states, self.learning_rates)


def initial_ring(setup: Setup, trial: int, warm_start: Sequence[Pair] = ()) -> Ring:
    """The ring before its first generation.

    Args:
        setup: what the cells share.
        trial: number of the trial.
        warm_start: trained pairs; cell i starts from number i modulo their number.
    """
    size = setup.variant.population_size
    return Ring(
        trial=trial,
        generation=0,
        cells=tuple(
            Cell(_warm_pair(setup, warm_start, i) if warm_start else _initial_pair(setup, trial, i))
            for i in range(size)
        ),
        learning_rates=(setup.variant.learning_rate,) * size,
    )


def _warm_pair(setup: Setup, warm_start: Sequence[Pair], cell: int) -> Pair:
    """A saved pair; what was frozen in it may grow again unless pruned weights stay frozen."""
    pair = warm_start[cell % len(warm_start)]
    if setup.variant.pruned_weights == "frozen":
        return pair
    return Pair(replace(pair.encoder, mask=None), replace(pair.decoder, mask=None))


def _initial_pair(setup: Setup, trial: int, cell: int) -> Pair:
    variant = setup.variant
    source = 0 if variant.identical_initial_networks else cell
    rng = Address(variant.rng_seed, trial, source).stream(Purpose.INITIAL_WEIGHTS)
    return Pair(
        Network(initial_genome(setup.architecture.encoder, rng)),
        Network(initial_genome(setup.architecture.decoder, rng)),
    )


class Evolution:
    """The generations of a trial in one process.

    Iterating computes them, and gives after every round of steps how many generations the whole
    ring has behind it.

    Args:
        setup: what the cells share.
        start: where to go on.
        replay: of an asynchronous trial that is repeated, what every cell read: int32, shape
            (epochs, cells, members).
    """

    def __init__(self, setup: Setup, start: Snapshot, replay: Reads | None = None) -> None:
        self._setup = setup
        self._trial = start.trial
        self._states = dict(start.states)
        self._following = list(start.following)
        self._records = list(start.records)
        self._flow = _flow_from(start, setup, replay)
        self._to_read: Counter[Version] = Counter()
        if replay is not None:
            everything = _flow_from(start, setup, replay)
            self._to_read.update(
                need for steps in everything for step in steps for need in step.needs
            )

    def __iter__(self) -> Iterator[int]:
        """All rounds that are left."""
        for steps in self._flow:
            outcomes = perform(steps, self._states, self._setup)
            for step in steps:
                self._states[step.version] = outcomes[step.version].cell
                self._following[step.cell] = step.generation + 1
                self._to_read.subtract(step.needs)
            new = [outcomes[step.version].record for step in steps]
            self._records = extended(self._records, new)
            self._states = {at: cell for at, cell in self._states.items() if self._is_needed(at)}
            yield min(self._following)

    def _is_needed(self, version: Version) -> bool:
        cell, generation = version
        return generation + 1 == self._following[cell] or self._to_read[version] > 0

    def snapshot(self) -> Snapshot:
        """The trial as it is now, between two rounds."""
        pairs = [cell.pair for cell in self._states.values()]
        self._setup.engine.fetch([each for pair in pairs for each in (pair.encoder, pair.decoder)])
        return Snapshot(
            trial=self._trial,
            states=dict(self._states),
            learning_rates=tuple(self._flow.learning_rates),
            records=sorted(self._records, key=in_order),
        )


def _flow_from(start: Snapshot, setup: Setup, replay: Reads | None) -> Flow:
    return Flow(setup.variant, start.trial, start.following, start.learning_rates, replay)


def advance(ring: Ring, setup: Setup) -> tuple[Ring, list[Record]]:
    """One generation of all cells.

    Returns:
        the ring after it, and the records in cell order.
    """
    evolution = Evolution(setup, ring.snapshot())
    next(iter(evolution))
    after = evolution.snapshot()
    return Ring.of(after), list(after.records)


def perform(
    steps: Sequence[Step], known: Mapping[Version, Cell], setup: Setup
) -> dict[Version, Outcome]:
    """Compute steps: the one place where a ring's generations happen, wherever it runs.

    Args:
        steps: each after those it needs.
        known: the other versions that they need; of a version that is only read, the pair will do.
        setup: what the cells share.
    """
    outcomes: dict[Version, Outcome] = {}

    def cell_at(version: Version) -> Cell:
        made = outcomes.get(version)
        return known[version] if made is None else made.cell

    for wave in waves(steps):
        tasks = [
            Task(
                cell=cell_at(step.own),
                neighbourhood=tuple(cell_at(version).pair for version in step.read),
                members=step.members,
                reads=step.reads,
                plan=step.plan,
            )
            for step in wave
        ]
        versions = [step.version for step in wave]
        outcomes |= zip(versions, generation(tasks, setup), strict=True)
    return outcomes
