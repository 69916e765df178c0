"""One cell's share of a generation: what it starts from, its draws, and what it asks an engine for.

Nothing here computes: a generation (`generation.py`) puts the requests of a stack of cells to the
engine, and takes the answers in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32, Float64, Int32
from aes_lipi.autoencoders.network import ActivationStatistics, Pair
from aes_lipi.coevolution.state import Cell, Plan, Setup
from aes_lipi.config import Variant
from aes_lipi.engine.protocol import (
    Activations,
    Moments,
    Trained,
    TrainTask,
    Updates,
)
from aes_lipi.extension import load
from aes_lipi.pruning.operators import OPERATOR
from aes_lipi.randomness import Address, Purpose

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """One generation of one cell: its state, its neighbourhood and its plan.

    Attributes:
        setup: what the cells of its trial share.
        cell: the cell's own state.
        neighbourhood: pairs of the neighbourhood, own centre first.
        members: cell indices of the neighbourhood.
        reads: of every member the generation whose centre it is; -1 before the first.
        plan: what is decided.
        encoder: where networks go their own ways, which encoder is trained; else None.
        decoder: the same for the decoder.
    """

    setup: Setup
    cell: Cell
    neighbourhood: tuple[Pair, ...]
    members: tuple[int, ...]
    reads: tuple[int, ...]
    plan: Plan
    encoder: int | None = None
    decoder: int | None = None

    def batch(self, purpose: Purpose) -> Int32:
        """The training rows on which a cell evaluates for selection, or for replacement.

        Published, they are the first ones where rows are not shuffled (algorithm section 7).
        """
        variant, address = self.setup.variant, self.plan.address
        rows = rows_of_cell(self.setup, address)
        if variant.no_shuffle_data and variant.measurement == "published":
            return rows[: variant.batch_size]
        return random_batch(rows, variant, address, purpose)

    def code_noise(self, purpose: Purpose, *shape: int) -> Float32 | None:
        """What variational codes are drawn with: see `code_noise`."""
        return code_noise(self.setup, self.plan.address, purpose, *shape)

    @property
    def measures_training(self) -> bool:
        """Whether losses are the lowest of the batches in training: the published baseline's."""
        return self.setup.variant.is_canonical and self.setup.variant.measurement == "published"

    @property
    def observes(self) -> bool:
        """Whether activation statistics are gathered in this generation.

        They cover the training batches and, as one batch each, the evaluations of the offspring: at
        selection, encoder and decoder of the winner with each other, and at replacement where that
        comes before pruning (`lipi_simple` and the baseline).

        On the ring they are those of one generation, so only one with a prune event needs them; in
        the canonical baseline they run from one prune event to the next.
        """
        variant = self.setup.variant
        method = variant.prune_method
        needed = method != "None" and load(OPERATOR, method).needs == "statistics"
        return needed and (self.plan.prune or variant.is_canonical)

    def winner_of(self, matrix: Float64) -> Offspring:
        """The tournament's winner, taken as a pair; with the statistics that the cell carries."""
        losses = _reduce_losses(matrix, self.setup)
        winner = tournament(losses, self.plan.contestants)
        cell = replace(self.cell, pair=self.neighbourhood[winner])
        return Offspring(self, cell, winner, float(losses.min()), matrix)


@dataclass(frozen=True)
class Offspring:
    """A cell's new pair on its way from selection to becoming the centre.

    Attributes:
        task: what the generation started from.
        cell: the pair and what is known of it so far.
        winner: the selected member's place in the neighbourhood.
        min_selection_loss: lowest reduced loss at selection; see `Task.measures_training`.
        selection_losses: of every encoder of the neighbourhood (rows) with every decoder, at
            selection; shape (members, members).
        min_replacement_loss: loss after training; the same.
        diverged: whether the generation was undone, for what it came to was not finite.
    """

    task: Task
    cell: Cell
    winner: int
    min_selection_loss: float
    selection_losses: Float64
    min_replacement_loss: float = float("nan")
    diverged: bool = False

    @property
    def setup(self) -> Setup:
        """What the cells of its trial share."""
        return self.task.setup

    @property
    def address(self) -> Address:
        """Of the cell's generation."""
        return self.task.plan.address

    def pass_of_winner(self) -> TrainTask:
        """One pass of the selected pair over the cell's rows."""
        rows = _pass_of(self.task)
        alone = np.zeros(len(rows), dtype=np.int32)
        rates = np.full(len(rows), self.task.plan.learning_rate)
        moments = _moments_at_start(self)
        return TrainTask(
            encoders=(self.cell.pair.encoder,),
            decoders=(self.cell.pair.decoder,),
            updates=Updates(rows, alone, alone, rates),
            encoder_moments=moments and (moments[0],),
            decoder_moments=moments and (moments[1],),
            noise=_training_noise(self),
            observe=self.task.observes,
            measure=self.task.measures_training,
        )

    def pass_with_partners(self) -> TrainTask:
        """One pass of the selected pair, with random partners of the neighbourhood (`epoch-node`).

        Per batch two updates: the encoder with a partner, then a partner with the decoder.
        """
        task, address = self.task, self.address
        rows, members = _pass_of(task), len(task.neighbourhood)
        n_updates = 2 * len(rows)
        partners = address.stream(Purpose.OPPONENTS).integers(
            members, size=(len(rows), 2), dtype=np.int32
        )
        encoders = np.full(n_updates, self.winner, dtype=np.int32)
        decoders = np.full(n_updates, self.winner, dtype=np.int32)
        decoders[0::2], encoders[1::2] = partners[:, 0], partners[:, 1]
        rates = np.full(n_updates, task.plan.learning_rate)
        moments = _moments_of_members(self)
        return TrainTask(
            encoders=tuple(pair.encoder for pair in task.neighbourhood),
            decoders=tuple(pair.decoder for pair in task.neighbourhood),
            updates=Updates(np.repeat(rows, 2, axis=0), encoders, decoders, rates),
            encoder_moments=moments and moments[0],
            decoder_moments=moments and moments[1],
            noise=_training_noise(self),
            observe=task.observes,
        )

    def with_trained(self, trained: Trained) -> Offspring:
        """Take the trained pair in: the winner, always; trained partners are let go.

        Where the losses of batches were measured, the lowest is that of selection and replacement;
        not a number if any is not finite.
        """
        k = 0 if len(trained.encoders) == 1 else self.winner
        known = self.cell
        cell = Cell(
            Pair(trained.encoders[k], trained.decoders[k]),
            _item(trained.encoder_moments, k),
            _item(trained.decoder_moments, k),
            _add(known.encoder_statistics, _item(trained.encoder_statistics, k)),
            _add(known.decoder_statistics, _item(trained.decoder_statistics, k)),
        )
        if trained.losses is None:
            return replace(self, cell=cell)
        is_finite = np.isfinite(trained.losses).all()
        lowest = float(trained.losses.min()) if is_finite else float("nan")
        return replace(self, cell=cell, min_selection_loss=lowest, min_replacement_loss=lowest)

    def with_observed(self, seen: Activations) -> Offspring:
        """Add an evaluation of the pair on one batch to its activation statistics."""
        size, cell = self.setup.variant.batch_size, self.cell
        encoder, decoder = (
            ActivationStatistics.of_batch(each, size) for each in (seen.encoder, seen.decoder)
        )
        with_both = replace(
            cell,
            encoder_statistics=_add(cell.encoder_statistics, encoder),
            decoder_statistics=_add(cell.decoder_statistics, decoder),
        )
        return replace(self, cell=with_both)


def code_noise(setup: Setup, address: Address, purpose: Purpose, *shape: int) -> Float32 | None:
    """What variational codes are drawn with outside training, as published (section 7).

    Args:
        setup: what the cells share.
        address: of the draw.
        purpose: of the draw.
        shape: of codes, without the width of each.

    Returns:
        standard normal values, float32; None where a code is its mean.
    """
    architecture = setup.architecture
    if not architecture.variational or setup.variant.measurement == "sound":
        return None
    stream = address.stream(purpose)
    return stream.standard_normal((*shape, architecture.latent_size), dtype=np.float32)


# Which training rows a cell sees, and when


def rows_of_cell(setup: Setup, address: Address) -> Int32:
    """Indices of the training rows that a cell may see, in order, int32, shape (rows,)."""
    n_rows = len(setup.dataset.train)
    fraction = setup.variant.cell_data_fraction
    if fraction == 1.0:
        return np.arange(n_rows, dtype=np.int32)
    subset = Address(address.seed, address.trial, address.cell).stream(Purpose.DATA_SUBSET)
    chosen = subset.permutation(n_rows)[: max(1, round(fraction * n_rows))]
    return np.sort(chosen).astype(np.int32)


def random_batch(rows: Int32, variant: Variant, address: Address, purpose: Purpose) -> Int32:
    """One batch of distinct rows, int32, shape (min(batch_size, rows),)."""
    size = min(variant.batch_size, len(rows))
    return address.stream(purpose).choice(rows, size, replace=False)


def shuffled_pass(rows: Int32, variant: Variant, rng: np.random.Generator) -> Int32:
    """All rows once, in batches, int32, shape (batches, batch_size); -1 pads the last one."""
    order = rows if variant.no_shuffle_data else rng.permutation(rows)
    return in_batches(order, variant.batch_size)


def in_batches(rows: Int32, batch_size: int) -> Int32:
    """Cut rows into batches, int32, shape (batches, batch_size); -1 pads the last one."""
    padded: npt.NDArray[np.int32] = np.full(
        -(-len(rows) // batch_size) * batch_size, -1, dtype=np.int32
    )
    padded[: len(rows)] = rows
    return padded.reshape(-1, batch_size)


def _pass_of(task: Task) -> Int32:
    address = task.plan.address
    rows = rows_of_cell(task.setup, address)
    return shuffled_pass(rows, task.setup.variant, address.stream(Purpose.SHUFFLE))


# Selection (algorithm section 4, steps 2 and 3)

SOLUTION_CONCEPTS: dict[str, Callable[[Float64], Float64]] = {
    "best_case": lambda losses: np.asarray(losses.min(axis=1)),
    "worst_case": lambda losses: np.asarray(losses.max(axis=1)),
    "mean_expected_utility": lambda losses: np.asarray(losses.mean(axis=1)),
}
"""From losses of every encoder with every decoder, shape (E, D), to one per encoder, shape (E,)."""


def _reduce_losses(matrix: Float64, setup: Setup) -> Float64:
    """One loss per encoder, by the solution concept."""
    return SOLUTION_CONCEPTS[setup.variant.solution_concept](matrix)


def tournament(losses: Float64, contestants: Sequence[int]) -> int:
    """The contestant with the lowest loss; a tie goes to the one drawn later.

    Args:
        losses: reduced loss of every member of the neighbourhood, shape (members,). A loss that is
            not a number loses to any other.
        contestants: members in the order they were drawn.
    """
    comparable = [(bool(np.isnan(loss)), 0.0 if np.isnan(loss) else float(loss)) for loss in losses]
    winner = contestants[0]
    for member in contestants[1:]:
        if comparable[member] <= comparable[winner]:
            winner = member
    return winner


def _moments_at_start(offspring: Offspring) -> tuple[Moments, Moments] | None:
    """Optimiser state of encoder and decoder at the start; None for a new Adam at every step."""
    cell, state = offspring.cell, offspring.setup.variant.optimizer_state
    if state == "step":
        return None
    sizes = offspring.setup.architecture.encoder.size, offspring.setup.architecture.decoder.size
    kept = (cell.encoder_moments, cell.decoder_moments) if state == "cell" else (None, None)
    encoder, decoder = (
        own or Moments.zero(size) for own, size in zip(kept, sizes, strict=True)
    )  # where all meet all, one may have been trained before and the other not
    return encoder, decoder


def _moments_of_members(
    offspring: Offspring,
) -> tuple[tuple[Moments, ...], tuple[Moments, ...]] | None:
    """Per member; those of an optimiser kept with the cell go with the selected pair."""
    own = _moments_at_start(offspring)
    if own is None:
        return None
    architecture, members = offspring.setup.architecture, range(len(offspring.task.neighbourhood))
    encoder = Moments.zero(architecture.encoder.size)
    decoder = Moments.zero(architecture.decoder.size)
    return (
        tuple(own[0] if k == offspring.winner else encoder for k in members),
        tuple(own[1] if k == offspring.winner else decoder for k in members),
    )


def _training_noise(offspring: Offspring) -> np.random.Generator | None:
    """The source of training noise, for environments that train under noise."""
    if offspring.setup.architecture.noise_width == 0:
        return None
    return offspring.address.stream(Purpose.TRAINING_NOISE)


def _item(items: tuple[T, ...] | None, k: int) -> T | None:
    return None if items is None else items[k]


def _add(
    known: ActivationStatistics | None, more: ActivationStatistics | None
) -> ActivationStatistics | None:
    if known is None or more is None:
        return known or more
    return known.merged(more)
