"""The generation `all_vs_all`: no space, every encoder meets every decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from aes_lipi.arrays import Float64, Int32
from aes_lipi.coevolution.batches import rows_of_cell, shuffled_pass
from aes_lipi.coevolution.cell import (
    InHand,
    after_training,
    moments_at_start,
    observes,
    prune_in_hand,
    reduce_losses,
    replacement_batch,
    selection_batch,
    training_noise,
)
from aes_lipi.coevolution.epoch_node import alternating_updates
from aes_lipi.coevolution.plan import Setup, Task
from aes_lipi.engine.protocol import EvaluateTask, TrainTask, Updates
from aes_lipi.randomness import Purpose


def all_vs_all(tasks: Sequence[Task], setup: Setup) -> list[InHand]:
    """Train all pairs of the population in shuffled order, each as in `epoch-node`.

    Algorithm section 4, `all_vs_all`. The tasks are those of the whole population, in cell order;
    encoder i and decoder i are cell i's. Pair (i, j) is trained at cell i's rate on cell i's rows.
    Nothing is selected: every cell keeps its own networks, evaluated against all others.
    """
    before = _losses(tasks, setup, selection_batch(tasks[0], setup))
    lowest = float(reduce_losses(before, setup).min())
    hands = [
        InHand(task, task.cell, 0, lowest, before[np.ix_(task.members, task.members)])
        for task in tasks
    ]
    [trained] = setup.engine.train([_training_of(hands, setup)])
    hands = [after_training(hand, trained, k, k) for k, hand in enumerate(hands)]
    matrix = setup.engine.loss_matrices(
        [EvaluateTask(trained.encoders, trained.decoders, replacement_batch(tasks[0], setup))]
    )[0]
    after = reduce_losses(matrix, setup)
    evaluated = [
        replace(hand, min_replacement_loss=float(loss))
        for hand, loss in zip(hands, after, strict=True)
    ]
    return prune_in_hand(evaluated, setup)


def _losses(tasks: Sequence[Task], setup: Setup, rows: Int32) -> Float64:
    encoders = tuple(task.cell.pair.encoder for task in tasks)
    decoders = tuple(task.cell.pair.decoder for task in tasks)
    return setup.engine.loss_matrices([EvaluateTask(encoders, decoders, rows)])[0]


def _training_of(hands: Sequence[InHand], setup: Setup) -> TrainTask:
    moments = [moments_at_start(hand.cell, setup) for hand in hands]
    kept = [own for own in moments if own is not None]
    return TrainTask(
        encoders=tuple(hand.cell.pair.encoder for hand in hands),
        decoders=tuple(hand.cell.pair.decoder for hand in hands),
        updates=_all_pairs(hands, setup),
        encoder_moments=tuple(own[0] for own in kept) or None,
        decoder_moments=tuple(own[1] for own in kept) or None,
        noise=training_noise(hands[0].task, setup),
        observe=any(observes(hand.task, setup) for hand in hands),
    )


def _all_pairs(hands: Sequence[InHand], setup: Setup) -> Updates:
    """The updates of every pair (i, j), pairs in shuffled order."""
    ring_address = hands[0].task.plan.address
    order = ring_address.stream(Purpose.PAIR_ORDER).permutation(len(hands) ** 2)
    shuffle = ring_address.stream(Purpose.SHUFFLE)
    opponents = ring_address.stream(Purpose.OPPONENTS)
    parts = []
    for position in order:
        i, j = divmod(int(position), len(hands))
        plan = hands[i].task.plan
        rows = shuffled_pass(rows_of_cell(setup, plan.address), setup.variant, shuffle)
        partners = opponents.integers(len(hands), size=(len(rows), 2), dtype=np.int32)
        parts.append(alternating_updates(rows, i, j, partners, plan.learning_rate))
    return Updates(
        np.concatenate([part.rows for part in parts]),
        np.concatenate([part.encoder for part in parts]),
        np.concatenate([part.decoder for part in parts]),
        np.concatenate([part.learning_rate for part in parts]),
    )
