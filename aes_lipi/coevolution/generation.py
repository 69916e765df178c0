"""A generation from tasks to outcomes: the cell evaluation, then what is recorded of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from aes_lipi.coevolution.all_vs_all import all_vs_all
from aes_lipi.coevolution.batches import random_batch
from aes_lipi.coevolution.cell import InHand, lipi_simple, lipi_simple_pte
from aes_lipi.coevolution.divergence import caught, check_measured
from aes_lipi.coevolution.epoch_node import epoch_node
from aes_lipi.coevolution.plan import Cell, Outcome, Record, Setup, Task, capacity
from aes_lipi.coevolution.quality import Quality, measure
from aes_lipi.config import Variant
from aes_lipi.engine.protocol import EvaluateTask
from aes_lipi.randomness import Purpose

RECORDED_MEMBERS = 16
"""The largest neighbourhood whose loss matrix is recorded: it grows with the square of that."""

CellEvaluation = Callable[[Sequence[Task], Setup], list[InHand]]

CELL_EVALUATIONS: dict[str, CellEvaluation] = {
    "lipi_simple": lipi_simple,
    "lipi_simple_pte": lipi_simple_pte,
    "epoch-node": epoch_node,
    "all_vs_all": all_vs_all,
    "ann_canonical": lipi_simple,
}
"""`ann_canonical` is the generation of a cell whose neighbourhood is itself; what else makes it the
baseline (optimiser, learning rates, horizon of the schedules) are settings."""


def generation(tasks: Sequence[Task], setup: Setup) -> list[Outcome]:
    """One generation of a stack of cells, a pure function but for `wall_time_s`.

    Args:
        tasks: cells that do not depend on each other; for `all_vs_all` the whole population.
        setup: what the cells of the trial share.

    Returns:
        per task the cell's new state and its record. The time of a stack is shared out evenly.

    Raises:
        DivergenceError: a weight or a loss is not finite, and the policy is to fail.
    """
    started = time.perf_counter()
    hands = CELL_EVALUATIONS[setup.variant.cell_evaluation](tasks, setup)
    hands = [caught(hand, setup) for hand in hands]
    outcomes = _recorded(hands, setup)
    elapsed = (time.perf_counter() - started) / len(tasks)
    return [
        replace(outcome, record=replace(outcome.record, wall_time_s=elapsed))
        for outcome in outcomes
    ]


def _recorded(hands: Sequence[InHand], setup: Setup) -> list[Outcome]:
    test_losses = _test_losses(hands, setup)
    measured = [k for k, hand in enumerate(hands) if hand.task.plan.record_quality]
    qualities = measure([hands[k].cell.pair for k in measured], setup)
    known = dict(zip(measured, qualities, strict=True))
    records = [
        _record(hand, test_losses[k], known.get(k, Quality())) for k, hand in enumerate(hands)
    ]
    for record in records:
        check_measured(record, setup)
    return [
        Outcome(_carried(hand.cell, setup), record)
        for hand, record in zip(hands, records, strict=True)
    ]


def _test_losses(hands: Sequence[InHand], setup: Setup) -> list[float | None]:
    """The loss of every new centre on one batch of test rows."""
    if not setup.variant.record_test_loss:
        return [None] * len(hands)
    rows = np.arange(len(setup.dataset.test), dtype=np.int32)
    matrices = setup.engine.loss_matrices(
        [
            EvaluateTask(
                (hand.cell.pair.encoder,),
                (hand.cell.pair.decoder,),
                random_batch(rows, setup.variant, hand.task.plan.address, Purpose.TEST_BATCH),
                split="test",
            )
            for hand in hands
        ]
    )
    return [float(matrix[0, 0]) for matrix in matrices]


def carries_private_state(variant: Variant) -> bool:
    """Whether a cell carries more from one generation to the next than its neighbours may read."""
    return variant.optimizer_state == "cell" or variant.is_canonical


def _carried(cell: Cell, setup: Setup) -> Cell:
    """What of the cell's state goes on to its next generation."""
    if setup.variant.optimizer_state != "cell":
        cell = replace(cell, encoder_moments=None, decoder_moments=None)
    if not setup.variant.is_canonical:
        cell = replace(cell, encoder_statistics=None, decoder_statistics=None)
    return cell


def _selection_losses(hand: InHand) -> tuple[float, ...] | None:
    if not hand.task.plan.record_quality or len(hand.task.members) > RECORDED_MEMBERS:
        return None
    return tuple(hand.selection_losses.ravel().tolist())


def _record(hand: InHand, test_loss: float | None, quality: Quality) -> Record:
    plan, pair = hand.task.plan, hand.cell.pair
    return Record(
        trial=plan.address.trial,
        generation=plan.address.generation,
        cell=plan.address.cell,
        learning_rate=plan.learning_rate,
        min_selection_loss=hand.min_selection_loss,
        winner=hand.winner,
        winner_cell=hand.task.members[hand.winner],
        min_replacement_loss=hand.min_replacement_loss,
        prune_probability=plan.prune_probability,
        prune_event=plan.prune,
        n_pruned_encoder=pair.encoder.n_pruned,
        n_pruned_decoder=pair.decoder.n_pruned,
        n_zero_encoder=pair.encoder.n_zero,
        n_zero_decoder=pair.decoder.n_zero,
        capacity=capacity(pair),
        n_compact=quality.n_compact,
        test_loss=test_loss,
        mean_L1=quality.mean_L1,
        std_L1=quality.std_L1,
        test_L1=quality.test_L1,
        std_test_L1=quality.std_test_L1,
        validation_L1=quality.validation_L1,
        read_generations=hand.task.reads,
        staleness=plan.address.generation - 1 - min(hand.task.reads),
        selection_losses=_selection_losses(hand),
        centre=quality.centre,
        diverged=hand.diverged,
        wall_time_s=0.0,
    )
