"""The ring (or grid) of cells, generation after generation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace

from aes_lipi.autoencoders.initialise import initial_genome
from aes_lipi.autoencoders.networks import Network, Pair
from aes_lipi.coevolution.generation import generation
from aes_lipi.coevolution.order import BEFORE_FIRST, Flow, Reads, Step, Version, waves
from aes_lipi.coevolution.plan import Cell, Outcome, Record, Setup, Task
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


def advance(ring: Ring, setup: Setup) -> tuple[Ring, list[Record]]:
    """One generation of all cells.

    Returns:
        the ring after it, and the records in cell order.
    """
    t = ring.generation
    flow = Flow(setup.variant, ring.trial, t, ring.learning_rates)
    known = {(i, t - 1): cell for i, cell in enumerate(ring.cells)}
    outcomes = perform(next(iter(flow)), known, setup)
    done = [outcomes[i, t] for i in range(len(ring.cells))]
    following = Ring(
        trial=ring.trial,
        generation=t + 1,
        cells=tuple(outcome.cell for outcome in done),
        learning_rates=tuple(flow.learning_rates),
    )
    return following, [outcome.record for outcome in done]


def replayed(
    ring: Ring, setup: Setup, replay: Reads
) -> Generator[int, None, tuple[Ring, list[Record]]]:
    """All generations of an asynchronous trial, with the reads that it recorded.

    Args:
        ring: before the first generation.
        setup: what the cells share.
        replay: what every cell read, int32, shape (epochs, cells, members).

    Yields:
        how many generations' worth of steps were computed since the last time.

    Returns:
        the last ring, and the records ordered by generation and cell.
    """
    epochs, n_cells = setup.variant.epochs, len(ring.cells)
    flow = Flow(setup.variant, ring.trial, 0, ring.learning_rates, replay)
    rounds = list(flow)
    pending = Counter(need for steps in rounds for step in steps for need in step.needs)
    known = {(i, BEFORE_FIRST): cell for i, cell in enumerate(ring.cells)}
    records: list[Record] = []
    for steps in rounds:
        outcomes = perform(steps, known, setup)
        known |= {version: outcome.cell for version, outcome in outcomes.items()}
        pending.subtract(need for step in steps for need in step.needs)
        known = {at: cell for at, cell in known.items() if pending[at] or at[1] == epochs - 1}
        before = len(records) // n_cells
        records += [outcome.record for outcome in outcomes.values()]
        yield len(records) // n_cells - before
    cells = tuple(known[i, epochs - 1] for i in range(n_cells))
    after = Ring(ring.trial, epochs, cells, tuple(flow.learning_rates))
    return after, sorted(records, key=lambda record: (record.generation, record.cell))


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
