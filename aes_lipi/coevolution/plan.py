"""What the driver decides for a cell's generation, and what the cell answers."""

from __future__ import annotations

from dataclasses import dataclass

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.protocol import ActivationStatistics, Engine, Moments
from aes_lipi.pruning.schedules import prune_amount, prune_probability
from aes_lipi.randomness import Address, Purpose


@dataclass(frozen=True)
class Setup:
    """What all cells of a trial share and none changes."""

    variant: Variant
    architecture: Architecture
    dataset: Dataset
    engine: Engine


@dataclass(frozen=True)
class Cell:
    """Everything that a cell carries from one generation to the next.

    Attributes:
        pair: its centre, which neighbours may read.
        encoder_moments: of an optimiser that is kept with the cell, else None.
        decoder_moments: the same for the decoder.
        encoder_statistics: activations since the last prune event, where they are carried over
            generations (the canonical baseline with an operator that needs them), else None.
        decoder_statistics: the same for the decoder.
    """

    pair: Pair
    encoder_moments: Moments | None = None
    decoder_moments: Moments | None = None
    encoder_statistics: ActivationStatistics | None = None
    decoder_statistics: ActivationStatistics | None = None


@dataclass(frozen=True)
class Plan:
    """The driver's decisions for one generation of one cell.

    Attributes:
        address: seed, trial, cell and generation; names the streams of the cell's own draws.
        learning_rate: of this generation's training.
        contestants: neighbourhood members drawn for the tournament, in order.
        prune_probability: of the schedule.
        prune: whether this generation has a prune event.
        prune_amount: the share that the event prunes, for operators that prune by amount.
        record_quality: whether mean_L1 and test_L1 are measured.
    """

    address: Address
    learning_rate: float
    contestants: tuple[int, ...]
    prune_probability: float
    prune: bool
    prune_amount: float
    record_quality: bool


@dataclass(frozen=True)
class Task:
    """One generation of one cell: its state, its neighbourhood and its plan.

    Attributes:
        cell: the cell's own state.
        neighbourhood: pairs of the neighbourhood, own centre first.
        members: cell indices of the neighbourhood.
        reads: of every member the generation whose centre it is; -1 before the first.
        plan: the driver's decisions.
    """

    cell: Cell
    neighbourhood: tuple[Pair, ...]
    members: tuple[int, ...]
    reads: tuple[int, ...]
    plan: Plan


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one cell after one generation (algorithm section 7).

    Losses are the environment's; `*_L1` are L1; None where not measured in this generation.
    `winner` is the place in the neighbourhood, and `winner_cell` the cell, of the member that the
    new centre descends from: the tournament's winner, or in `epoch-node` the best of the
    sub-population. `read_generations` says of every member of the neighbourhood which generation's
    centre was read (-1 before the first), and `staleness` by how many generations the oldest of
    them lies behind the cell's own. `selection_losses`, where quality is measured, are those of
    every encoder of the neighbourhood with every decoder at selection (step 2), by encoder, in
    the order of the neighbourhood; None in large neighbourhoods. `n_compact` is the number of
    parameters that are left when what pruning made dead is taken out. `centre` holds the new
    centre's weights, where the study stores those of recorded generations: float32, little-endian,
    the encoder's and then the decoder's. Where a generation `diverged`, its plan and losses are as
    they were, and winner, sizes and measures are of the state that the cell kept.
    """

    trial: int
    generation: int
    cell: int
    learning_rate: float
    min_selection_loss: float
    winner: int
    winner_cell: int
    min_replacement_loss: float
    prune_probability: float
    prune_event: bool
    n_pruned_encoder: int
    n_pruned_decoder: int
    n_zero_encoder: int
    n_zero_decoder: int
    capacity: float
    n_compact: int | None
    test_loss: float | None
    mean_L1: float | None  # noqa: N815 - the field's name for it
    std_L1: float | None  # noqa: N815
    test_L1: float | None  # noqa: N815
    std_test_L1: float | None  # noqa: N815
    validation_L1: float | None  # noqa: N815
    read_generations: tuple[int, ...]
    staleness: int
    selection_losses: tuple[float, ...] | None
    centre: bytes | None
    diverged: bool
    wall_time_s: float


@dataclass(frozen=True)
class Outcome:
    """A cell's state after a generation, and the record of it."""

    cell: Cell
    record: Record


def make_plan(variant: Variant, address: Address, learning_rate: float, n_members: int) -> Plan:
    """Decide a cell's generation from its address alone.

    Args:
        variant: settings.
        address: of the cell's generation.
        learning_rate: the cell's present rate.
        n_members: size of the neighbourhood, n of the schedules: 2r + 1 on a ring, 4r + 1 on a
            grid, the whole population without space.
    """
    t = address.generation
    probability = prune_probability(variant, t, n_members)
    drawn = address.stream(Purpose.TOURNAMENT).integers(n_members, size=variant.tournament_size)
    return Plan(
        address=address,
        learning_rate=learning_rate,
        contestants=tuple(int(member) for member in drawn),
        prune_probability=probability,
        prune=bool(address.stream(Purpose.PRUNE_EVENT).random() < probability),
        prune_amount=prune_amount(variant, t),
        record_quality=t % variant.record_interval == 0 or t == variant.epochs - 1,
    )


def capacity(pair: Pair) -> float:
    """The share of a pair's parameters that are not zero."""
    networks: tuple[Network, ...] = (pair.encoder, pair.decoder)
    n_parameters = sum(network.size for network in networks)
    return 1.0 - sum(network.n_zero for network in networks) / n_parameters
