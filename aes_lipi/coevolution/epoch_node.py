"""The generation `epoch-node`: train against random opponents of the neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aes_lipi.arrays import Int32
from aes_lipi.coevolution.batches import rows_of_cell, shuffled_pass
from aes_lipi.coevolution.cell import (
    InHand,
    after_training,
    moments_at_start,
    observes,
    prune_in_hand,
    reduce_losses,
    replacement_batch,
    select,
    training_noise,
)
from aes_lipi.coevolution.plan import Setup, Task
from aes_lipi.engine.protocol import EvaluateTask, Moments, Trained, TrainTask, Updates
from aes_lipi.randomness import Purpose


def epoch_node(tasks: Sequence[Task], setup: Setup) -> list[InHand]:
    """Train the selected pair with random partners; the best of the sub-population is kept.

    Algorithm section 4, `epoch-node`. The sub-population are the cell's copies of its
    neighbourhood. It is evaluated before it is pruned, and only its best survives the generation,
    so the best is found first and alone is pruned.
    """
    selected = select(tasks, setup)
    trained = setup.engine.train([_training_of(hand, setup) for hand in selected])
    return prune_in_hand(_keep_best(selected, trained, setup), setup)


def _training_of(hand: InHand, setup: Setup) -> TrainTask:
    task, address = hand.task, hand.task.plan.address
    rows = shuffled_pass(
        rows_of_cell(setup, address), setup.variant, address.stream(Purpose.SHUFFLE)
    )
    members = len(task.neighbourhood)
    partners = address.stream(Purpose.OPPONENTS).integers(
        members, size=(len(rows), 2), dtype=np.int32
    )
    moments = _moments(hand, setup)
    return TrainTask(
        encoders=tuple(pair.encoder for pair in task.neighbourhood),
        decoders=tuple(pair.decoder for pair in task.neighbourhood),
        updates=alternating_updates(
            rows, hand.winner, hand.winner, partners, task.plan.learning_rate
        ),
        encoder_moments=moments and moments[0],
        decoder_moments=moments and moments[1],
        noise=training_noise(task, setup),
        observe=observes(task, setup),
    )


def alternating_updates(
    rows: Int32, encoder: int, decoder: int, partners: Int32, learning_rate: float
) -> Updates:
    """Per batch two updates: the encoder with a partner, then a partner with the decoder.

    Args:
        rows: batches, shape (batches, batch_size).
        encoder: the encoder being trained.
        decoder: the decoder being trained.
        partners: per batch the decoder that the encoder meets and the encoder that the decoder
            meets, shape (batches, 2).
        learning_rate: of all updates.
    """
    n_updates = 2 * len(rows)
    encoders = np.full(n_updates, encoder, dtype=np.int32)
    decoders = np.full(n_updates, decoder, dtype=np.int32)
    decoders[0::2] = partners[:, 0]
    encoders[1::2] = partners[:, 1]
    rates = np.full(n_updates, learning_rate)
    return Updates(np.repeat(rows, 2, axis=0), encoders, decoders, rates)


def _moments(hand: InHand, setup: Setup) -> tuple[tuple[Moments, ...], tuple[Moments, ...]] | None:
    """Per member; those of an optimiser kept with the cell go with the selected pair."""
    own = moments_at_start(hand.cell, setup)
    if own is None:
        return None
    members = range(len(hand.task.neighbourhood))
    fresh = (
        Moments.zero(setup.architecture.encoder.size),
        Moments.zero(setup.architecture.decoder.size),
    )
    return (
        tuple(own[0] if k == hand.winner else fresh[0] for k in members),
        tuple(own[1] if k == hand.winner else fresh[1] for k in members),
    )


def _keep_best(
    selected: Sequence[InHand], trained: Sequence[Trained], setup: Setup
) -> list[InHand]:
    """Evaluate the trained sub-populations; the member of lowest reduced loss goes on."""
    matrices = setup.engine.loss_matrices(
        [
            EvaluateTask(result.encoders, result.decoders, replacement_batch(hand.task, setup))
            for hand, result in zip(selected, trained, strict=True)
        ]
    )
    kept = []
    for hand, result, matrix in zip(selected, trained, matrices, strict=True):
        losses = reduce_losses(matrix, setup)
        best = int(np.nanargmin(losses)) if np.isfinite(losses).any() else hand.winner
        fresh = hand if best == hand.winner else _forget_statistics(hand)
        kept.append(
            replace(
                after_training(fresh, result, best, best),
                winner=best,
                min_replacement_loss=float(losses[best]),
            )
        )
    return kept


def _forget_statistics(hand: InHand) -> InHand:
    """Statistics gathered at selection were the winner's, not those of the member kept."""
    return replace(hand, cell=replace(hand.cell, encoder_statistics=None, decoder_statistics=None))
