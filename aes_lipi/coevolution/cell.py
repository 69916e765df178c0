"""The generation of a cell, `lipi_simple` and `lipi_simple_pte` (algorithm section 4).

A generation is a pure function of the cell's state, its neighbours' centres and the driver's plan.
It is written for a stack of cells that do not depend on each other, so that an engine can train
them together; a cell alone is a stack of one, with the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from aes_lipi.arrays import Float64, Int32
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.batches import random_batch, rows_of_cell, shuffled_pass
from aes_lipi.coevolution.plan import Cell, Setup, Task
from aes_lipi.coevolution.selection import SOLUTION_CONCEPTS, tournament
from aes_lipi.engine.protocol import (
    Activations,
    ActivationsTask,
    ActivationStatistics,
    EvaluateTask,
    Moments,
    Trained,
    TrainTask,
    Updates,
)
from aes_lipi.extension import load
from aes_lipi.pruning.event import OPERATOR, prune
from aes_lipi.pruning.operators.contract import Evidence, Settings
from aes_lipi.pruning.operators.lexicase import SAMPLED_ROWS
from aes_lipi.randomness import Purpose

T = TypeVar("T")


@dataclass(frozen=True)
class InHand:
    """A cell's pair on its way from selection to becoming the centre.

    Attributes:
        task: what the generation started from.
        cell: the pair and what is known of it so far.
        winner: the selected member's place in the neighbourhood.
        min_selection_loss: lowest reduced loss at selection.
        selection_losses: of every encoder of the neighbourhood (rows) with every decoder, at
            selection; shape (members, members).
        min_replacement_loss: loss after training.
        diverged: whether the generation was undone, for what it came to was not finite.
    """

    task: Task
    cell: Cell
    winner: int
    min_selection_loss: float
    selection_losses: Float64
    min_replacement_loss: float = float("nan")
    diverged: bool = False


def lipi_simple(tasks: Sequence[Task], setup: Setup) -> list[InHand]:
    """Select a pair, train it for one pass, evaluate it, prune it: "Lipi-AE-S"."""
    return prune_in_hand(evaluate_replacement(_train_selected(tasks, setup), setup), setup)


def lipi_simple_pte(tasks: Sequence[Task], setup: Setup) -> list[InHand]:
    """`lipi_simple`, but pruned before it is evaluated for replacement."""
    return evaluate_replacement(prune_in_hand(_train_selected(tasks, setup), setup), setup)


def _train_selected(tasks: Sequence[Task], setup: Setup) -> list[InHand]:
    selected = select(tasks, setup)
    trained = setup.engine.train([_training_of(hand, setup) for hand in selected])
    return [
        after_training(hand, result, 0, 0) for hand, result in zip(selected, trained, strict=True)
    ]


def select(tasks: Sequence[Task], setup: Setup) -> list[InHand]:
    """Evaluate every neighbourhood on one batch and take each tournament's winner as a pair.

    Steps 1 to 3. Where the operator needs activation statistics, they begin with this evaluation
    of the winner, on top of those that the cell carries.
    """
    batches = [selection_batch(task, setup) for task in tasks]
    matrices = setup.engine.loss_matrices(
        [
            EvaluateTask(
                tuple(pair.encoder for pair in task.neighbourhood),
                tuple(pair.decoder for pair in task.neighbourhood),
                batch,
            )
            for task, batch in zip(tasks, batches, strict=True)
        ]
    )
    hands = [_winner(task, matrix, setup) for task, matrix in zip(tasks, matrices, strict=True)]
    return observe(hands, batches, setup)


def selection_batch(task: Task, setup: Setup) -> Int32:
    """The training rows on which a neighbourhood is evaluated for selection."""
    address = task.plan.address
    rows = rows_of_cell(setup, address)
    return random_batch(rows, setup.variant, address, Purpose.SELECTION_BATCH)


def _winner(task: Task, matrix: Float64, setup: Setup) -> InHand:
    losses = reduce_losses(matrix, setup)
    winner = tournament(losses, task.plan.contestants)
    cell = replace(task.cell, pair=task.neighbourhood[winner])
    return InHand(task, cell, winner, float(losses.min()), matrix)


def reduce_losses(matrix: Float64, setup: Setup) -> Float64:
    """One loss per encoder, by the solution concept."""
    return SOLUTION_CONCEPTS[setup.variant.solution_concept](matrix)


def _training_of(hand: InHand, setup: Setup) -> TrainTask:
    """One pass of the pair in hand over the cell's rows: step 4."""
    plan = hand.task.plan
    rows = shuffled_pass(
        rows_of_cell(setup, plan.address), setup.variant, plan.address.stream(Purpose.SHUFFLE)
    )
    alone = np.zeros(len(rows), dtype=np.int32)
    moments = moments_at_start(hand.cell, setup)
    return TrainTask(
        encoders=(hand.cell.pair.encoder,),
        decoders=(hand.cell.pair.decoder,),
        updates=Updates(rows, alone, alone, np.full(len(rows), plan.learning_rate)),
        encoder_moments=moments and (moments[0],),
        decoder_moments=moments and (moments[1],),
        noise=training_noise(hand.task, setup),
        observe=observes(hand.task, setup),
    )


def moments_at_start(cell: Cell, setup: Setup) -> tuple[Moments, Moments] | None:
    """Optimiser state of encoder and decoder at the start; None for a new Adam at every step."""
    state = setup.variant.optimizer_state
    if state == "step":
        return None
    if state == "cell" and cell.encoder_moments and cell.decoder_moments:
        return cell.encoder_moments, cell.decoder_moments
    return (
        Moments.zero(setup.architecture.encoder.size),
        Moments.zero(setup.architecture.decoder.size),
    )


def training_noise(task: Task, setup: Setup) -> np.random.Generator | None:
    """The source of training noise, for environments that train under noise."""
    if setup.architecture.noise_width == 0:
        return None
    return task.plan.address.stream(Purpose.TRAINING_NOISE)


def after_training(hand: InHand, trained: Trained, encoder: int, decoder: int) -> InHand:
    """Take one trained encoder and decoder into the hand, with their moments and statistics."""
    cell = Cell(
        pair=Pair(trained.encoders[encoder], trained.decoders[decoder]),
        encoder_moments=_item(trained.encoder_moments, encoder),
        decoder_moments=_item(trained.decoder_moments, decoder),
        encoder_statistics=_add(
            hand.cell.encoder_statistics, _item(trained.encoder_statistics, encoder)
        ),
        decoder_statistics=_add(
            hand.cell.decoder_statistics, _item(trained.decoder_statistics, decoder)
        ),
    )
    return replace(hand, cell=cell)


def _item(items: tuple[T, ...] | None, k: int) -> T | None:
    return None if items is None else items[k]


def _add(
    known: ActivationStatistics | None, more: ActivationStatistics | None
) -> ActivationStatistics | None:
    if known is None or more is None:
        return known or more
    return known.merged(more)


def evaluate_replacement(hands: Sequence[InHand], setup: Setup) -> list[InHand]:
    """The loss of each trained pair on one training batch: step 5."""
    batches = [replacement_batch(hand.task, setup) for hand in hands]
    losses = setup.engine.loss_matrices(
        [
            EvaluateTask((hand.cell.pair.encoder,), (hand.cell.pair.decoder,), batch)
            for hand, batch in zip(hands, batches, strict=True)
        ]
    )
    return [
        replace(hand, min_replacement_loss=float(loss[0, 0]))
        for hand, loss in zip(observe(hands, batches, setup), losses, strict=True)
    ]


def replacement_batch(task: Task, setup: Setup) -> Int32:
    """The training rows on which a trained pair is evaluated for replacement."""
    address = task.plan.address
    rows = rows_of_cell(setup, address)
    return random_batch(rows, setup.variant, address, Purpose.REPLACEMENT_BATCH)


def observes(task: Task, setup: Setup) -> bool:
    """Whether activation statistics are gathered in this generation.

    They cover the training batches and, as one batch each, the evaluations of the pair in hand: at
    selection, encoder and decoder of the winner with each other, and at replacement where that
    comes before pruning (`lipi_simple` and the baseline).

    On the ring they are those of one generation, so only one with a prune event needs them; in the
    canonical baseline they run from one prune event to the next.
    """
    method = setup.variant.prune_method
    needed = method != "None" and load(OPERATOR, method).needs == "statistics"
    return needed and (task.plan.prune or setup.variant.is_canonical)


def observe(hands: Sequence[InHand], batches: Sequence[Int32], setup: Setup) -> list[InHand]:
    """Add an evaluation of each pair in hand, on its batch, to its activation statistics."""
    observing = [k for k, hand in enumerate(hands) if observes(hand.task, setup)]
    seen = setup.engine.activations(
        [ActivationsTask(hands[k].cell.pair, batches[k]) for k in observing]
    )
    known = dict(zip(observing, seen, strict=True))
    return [
        _with_batch(hand, known[k], setup) if k in known else hand for k, hand in enumerate(hands)
    ]


def _with_batch(hand: InHand, seen: Activations, setup: Setup) -> InHand:
    size = setup.variant.batch_size
    cell = replace(
        hand.cell,
        encoder_statistics=_add(
            hand.cell.encoder_statistics, ActivationStatistics.of_batch(seen.encoder, size)
        ),
        decoder_statistics=_add(
            hand.cell.decoder_statistics, ActivationStatistics.of_batch(seen.decoder, size)
        ),
    )
    return replace(hand, cell=cell)


def prune_in_hand(hands: Sequence[InHand], setup: Setup) -> list[InHand]:
    """Prune the pairs whose plan has a prune event: step 6."""
    events = [k for k, hand in enumerate(hands) if hand.task.plan.prune]
    pruned = dict(zip(events, _pruned([hands[k] for k in events], setup), strict=True))
    return [pruned.get(k, hand) for k, hand in enumerate(hands)]


def _pruned(hands: Sequence[InHand], setup: Setup) -> list[InHand]:
    """Both networks of every pair pruned; their statistics begin anew."""
    setup.engine.fetch([network for hand in hands for network in _networks(hand.cell.pair)])
    evidence = _evidence(hands, setup)
    networks = setup.engine.hold(
        [
            network
            for hand, known in zip(hands, evidence, strict=True)
            for network in _event(hand, known, setup)
        ]
    )
    return [
        replace(
            hand,
            cell=replace(
                hand.cell,
                pair=Pair(encoder, decoder),
                encoder_statistics=None,
                decoder_statistics=None,
            ),
        )
        for hand, encoder, decoder in zip(hands, networks[0::2], networks[1::2], strict=True)
    ]


def _event(hand: InHand, evidence: tuple[Evidence, Evidence], setup: Setup) -> list[Network]:
    """The prune event of one pair: its encoder and decoder after it."""
    layouts = (setup.architecture.encoder, setup.architecture.decoder)
    purposes = (Purpose.PRUNE_ENCODER, Purpose.PRUNE_DECODER)
    plan = hand.task.plan
    settings = Settings.of(setup.variant, plan.prune_amount)
    return [
        prune(network, layout, known, settings, plan.address.stream(purpose))
        for network, layout, known, purpose in zip(
            _networks(hand.cell.pair), layouts, evidence, purposes, strict=True
        )
    ]


def _networks(pair: Pair) -> tuple[Network, Network]:
    return pair.encoder, pair.decoder


def _evidence(hands: Sequence[InHand], setup: Setup) -> list[tuple[Evidence, Evidence]]:
    """What the operator needs to know of each pair's encoder and decoder."""
    needs = load(OPERATOR, setup.variant.prune_method).needs if hands else "nothing"
    if needs == "statistics":
        return [
            (Evidence(hand.cell.encoder_statistics), Evidence(hand.cell.decoder_statistics))
            for hand in hands
        ]
    if needs == "activations":
        split = setup.variant.lexicase_split
        asked = [
            ActivationsTask(hand.cell.pair, _sampled_rows(hand.task, setup), split)
            for hand in hands
        ]
        return [
            (Evidence(activations=seen.encoder), Evidence(activations=seen.decoder))
            for seen in setup.engine.activations(asked)
        ]
    return [(Evidence(), Evidence()) for _ in hands]


def _sampled_rows(task: Task, setup: Setup) -> Int32:
    """The rows that an operator sees of activations, drawn with replacement."""
    n_rows = len(setup.dataset.split(setup.variant.lexicase_split))
    rng = task.plan.address.stream(Purpose.LEXICASE_ROWS)
    return rng.integers(n_rows, size=SAMPLED_ROWS, dtype=np.int32)
