"""The ring (or grid) of cells, generation after generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aes_lipi.autoencoders.initialise import initial_genome
from aes_lipi.autoencoders.networks import Network, Pair
from aes_lipi.coevolution.generation import generation
from aes_lipi.coevolution.learning_rate import next_learning_rate
from aes_lipi.coevolution.plan import Cell, Outcome, Record, Setup, Task, make_plan
from aes_lipi.coevolution.topology import Neighbourhoods, neighbourhoods
from aes_lipi.config import Variant
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
    variant, t = setup.variant, ring.generation
    members = reachable(variant)
    addresses = [Address(variant.rng_seed, ring.trial, i, t) for i in range(len(ring.cells))]
    outcomes: dict[int, Outcome] = {}
    for wave in waves(variant, ring.trial, t, members):
        tasks = [
            Task(
                cell=ring.cells[i],
                neighbourhood=tuple(
                    (outcomes[j].cell if j in wave.seen[i] else ring.cells[j]).pair
                    for j in members[i]
                ),
                members=members[i],
                plan=make_plan(variant, addresses[i], ring.learning_rates[i], len(members[i])),
            )
            for i in wave.cells
        ]
        outcomes |= zip(wave.cells, generation(tasks, setup), strict=True)
    done = [outcomes[i] for i in range(len(ring.cells))]
    rates = zip(ring.learning_rates, addresses, strict=True)
    following = Ring(
        trial=ring.trial,
        generation=t + 1,
        cells=tuple(outcome.cell for outcome in done),
        learning_rates=tuple(next_learning_rate(rate, variant, at) for rate, at in rates),
    )
    return following, [outcome.record for outcome in done]


def reachable(variant: Variant) -> Neighbourhoods:
    """Every cell's neighbourhood, own first; without space it is the whole population."""
    if variant.cell_evaluation != "all_vs_all":
        return neighbourhoods(variant)
    everyone = range(variant.population_size)
    return tuple((i, *(j for j in everyone if j != i)) for i in everyone)


@dataclass(frozen=True)
class Wave:
    """Cells that can compute at the same time.

    Attributes:
        cells: their indices.
        seen: per cell the neighbours whose new centre it reads.
    """

    cells: tuple[int, ...]
    seen: dict[int, frozenset[int]]


def waves(variant: Variant, trial: int, t: int, members: Neighbourhoods) -> list[Wave]:
    """Group a generation's cells by what they wait for (algorithm section 4, `update_order`).

    With `synchronous`, and without space, all cells form one wave. With `sequential`, a cell reads
    the new centres of the neighbours before it in the generation's order, so it follows the last of
    them; cells of one wave do not read each other, and computing them together changes nothing.
    """
    n_cells = len(members)
    if variant.update_order == "synchronous" or variant.cell_evaluation == "all_vs_all":
        return [Wave(tuple(range(n_cells)), {i: frozenset() for i in range(n_cells)})]
    place = {i: k for k, i in enumerate(update_order(variant, trial, t, n_cells))}
    seen = {i: frozenset(j for j in members[i] if place[j] < place[i]) for i in range(n_cells)}
    level: dict[int, int] = {}
    for i in sorted(place, key=place.__getitem__):
        level[i] = 1 + max((level[j] for j in seen[i]), default=-1)
    return [
        Wave(cells, {i: seen[i] for i in cells})
        for depth in range(max(level.values()) + 1)
        if (cells := tuple(i for i in range(n_cells) if level[i] == depth))
    ]


def update_order(variant: Variant, trial: int, t: int, n_cells: int) -> list[int]:
    """The order of the cells in generation t: by index in the first, shuffled afterwards."""
    if t == 0:
        return list(range(n_cells))
    shuffle = Address(variant.rng_seed, trial, generation=t).stream(Purpose.UPDATE_ORDER)
    return [int(i) for i in shuffle.permutation(n_cells)]
