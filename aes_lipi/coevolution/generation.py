"""A generation: a stack of cells selects, trains, evaluates and prunes (algorithm section 4).

It is a pure function of the cells' states, their neighbours' centres and their plans, and is
written for a stack of cells that do not depend on each other, of any trials whose variants share an
engine, so that the engine can train them together; a cell alone is a stack of one, with the same
bits. What tells one cell evaluation from another is said in `CELL_EVALUATIONS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.cell import Offspring, Task
from aes_lipi.coevolution.measure import DivergenceError, caught, recorded
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.state import Cell
from aes_lipi.config import Variant
from aes_lipi.engine.protocol import ActivationsTask, Engine, EvaluateTask, TrainTask
from aes_lipi.extension import load
from aes_lipi.pruning.contract import Evidence, Settings
from aes_lipi.pruning.operators import OPERATOR, SAMPLED_ROWS, prune
from aes_lipi.randomness import Purpose


@dataclass(frozen=True)
class _CellEvaluation:
    """What tells a cell evaluation from others.

    Attributes:
        training: what the engine is asked to train of an offspring.
        prunes_first: whether it is pruned before it is evaluated for replacement.
        observes_replacement: whether activation statistics cover that evaluation, too.
    """

    training: Callable[[Offspring], TrainTask]
    prunes_first: bool = False
    observes_replacement: bool = True


CELL_EVALUATIONS = {
    "lipi_simple": _CellEvaluation(Offspring.pass_of_winner),
    "lipi_simple_pte": _CellEvaluation(
        Offspring.pass_of_winner, prunes_first=True, observes_replacement=False
    ),
    "epoch-node": _CellEvaluation(Offspring.pass_with_partners),
    "all_vs_all": _CellEvaluation(Offspring.pass_with_partners),
    "ann_canonical": _CellEvaluation(Offspring.pass_of_winner),
}
"""`lipi_simple` is "Lipi-AE-S". In `epoch-node` the tournament's winner is trained with partners
that are drawn for every batch, and it alone goes on. `all_vs_all` is that of a neighbourhood of
one, in which an encoder and a decoder meet, and `ann_canonical` is the generation of a cell whose
neighbourhood is itself; what else makes it the baseline (optimiser, learning rates, horizon of the
schedules) are settings."""


def generation(tasks: Sequence[Task]) -> list[tuple[Cell, Record] | DivergenceError]:
    """One generation of a stack of cells, a pure function but for what time it took.

    Args:
        tasks: cells that do not depend on each other, and whose setups have the same engine.

    Returns:
        per task the cell's new state and its record, or why its trial is given up. The time of a
        stack is shared out evenly.
    """
    engine = tasks[0].setup.engine
    started, cpu_started = time.perf_counter(), time.process_time()
    asked = [
        _every_pair(task, task.neighbourhood, Purpose.SELECTION_BATCH, Purpose.SELECTION_CODE)
        for task in tasks
    ]
    matrices = engine.loss_matrices(asked)
    offspring = [task.winner_of(matrix) for task, matrix in zip(tasks, matrices, strict=True)]
    offspring = _observed(offspring, asked, [task.observes for task in tasks], engine)
    trained = engine.train([_evaluation_of(each).training(each) for each in offspring])
    offspring = [
        each.with_trained(networks) for each, networks in zip(offspring, trained, strict=True)
    ]
    # What diverged is evaluated before it is pruned: an event might take every NaN away.
    early = [_evaluation_of(each).prunes_first and _is_finite(each) for each in offspring]
    offspring = _pruned(offspring, early, engine)
    offspring = _evaluated(offspring, engine)
    offspring = _pruned(offspring, [not was for was in early], engine)
    outcomes = recorded([caught(each) for each in offspring], engine)
    elapsed = (time.perf_counter() - started) / len(tasks)
    cpu_s = (time.process_time() - cpu_started) / len(tasks)
    return [
        each
        if isinstance(each, DivergenceError)
        else (_carried(each[0]), replace(each[1], wall_time_s=elapsed, cpu_time_s=cpu_s))
        for each in outcomes
    ]


def _is_finite(offspring: Offspring) -> bool:
    pair = offspring.cell.pair
    return pair.encoder.is_finite and pair.decoder.is_finite


def _evaluation_of(offspring: Offspring) -> _CellEvaluation:
    return CELL_EVALUATIONS[offspring.setup.variant.cell_evaluation]


def _every_pair(
    task: Task, pairs: Sequence[Pair], batch_of: Purpose, code_of: Purpose
) -> EvaluateTask:
    """Every encoder with every decoder, on one batch."""
    batch = task.batch(batch_of)
    encoders = tuple(pair.encoder for pair in pairs)
    decoders = tuple(pair.decoder for pair in pairs)
    noise = task.code_noise(code_of, len(pairs), len(pairs), len(batch))
    return EvaluateTask(encoders, decoders, batch, code_noise=noise)


def _observed(
    offspring: Sequence[Offspring],
    evaluations: Sequence[EvaluateTask],
    wanted: Sequence[bool],
    engine: Engine,
) -> list[Offspring]:
    """Add evaluations of pairs to their activation statistics.

    Args:
        offspring: whose.
        evaluations: of each the last; of a neighbourhood, or of its own pair alone.
        wanted: whether it is to be added.
        engine: that computes the activations.
    """
    observing = [k for k, each in enumerate(wanted) if each]
    asked = [_own_part(offspring[k], evaluations[k]) for k in observing]
    seen = dict(zip(observing, engine.activations(asked), strict=True)) if asked else {}
    return [each.with_observed(seen[k]) if k in seen else each for k, each in enumerate(offspring)]


def _own_part(offspring: Offspring, evaluation: EvaluateTask) -> ActivationsTask:
    """What of an evaluation was of the pair itself."""
    noise = evaluation.code_noise
    own = offspring.winner if len(evaluation.encoders) > 1 else 0
    code = None if noise is None else noise[own, own]
    return ActivationsTask(offspring.cell.pair, evaluation.rows, evaluation.split, code)


def _evaluated(offspring: Sequence[Offspring], engine: Engine) -> list[Offspring]:
    """The loss of the trained pairs on one training batch, where training gave none: step 5."""
    asked = [
        _every_pair(
            each.task, [each.cell.pair], Purpose.REPLACEMENT_BATCH, Purpose.REPLACEMENT_CODE
        )
        for each in offspring
    ]
    wanted = [
        each.task.observes and _evaluation_of(each).observes_replacement for each in offspring
    ]
    observed = _observed(offspring, asked, wanted, engine)
    left = [k for k, each in enumerate(observed) if not each.task.measures_training]
    matrices = engine.loss_matrices([asked[k] for k in left])
    for k, matrix in zip(left, matrices, strict=True):
        observed[k] = replace(observed[k], min_replacement_loss=float(matrix[0, 0]))
    return observed


def _pruned(offspring: Sequence[Offspring], now: Sequence[bool], engine: Engine) -> list[Offspring]:
    """Prune those whose turn it is, where their plans have a prune event: step 6."""
    events = [k for k, each in enumerate(offspring) if now[k] and each.task.plan.prune]
    pairs = dict(zip(events, _prune_events([offspring[k] for k in events], engine), strict=True))
    return [
        replace(each, cell=Cell(pairs[k], each.cell.encoder_moments, each.cell.decoder_moments))
        if k in pairs
        else each
        for k, each in enumerate(offspring)
    ]


def _prune_events(offspring: Sequence[Offspring], engine: Engine) -> list[Pair]:
    """Both networks of every pair pruned; their statistics begin anew."""
    if not offspring:
        return []
    engine.fetch([network for each in offspring for network in _networks(each.cell.pair)])
    networks = engine.hold(
        [
            network
            for each, evidence in zip(offspring, _evidence(offspring, engine), strict=True)
            for network in _prune_event(each, evidence)
        ]
    )
    return [Pair(*both) for both in zip(networks[0::2], networks[1::2], strict=True)]


def _prune_event(offspring: Offspring, evidence: tuple[Evidence, Evidence]) -> list[Network]:
    """The prune event of one pair: its encoder and decoder after it."""
    architecture, plan = offspring.setup.architecture, offspring.task.plan
    settings = Settings.of(offspring.setup.variant, plan.prune_amount)
    return [
        prune(network, layout, known, settings, plan.address.stream(purpose))
        for network, layout, known, purpose in zip(
            _networks(offspring.cell.pair),
            (architecture.encoder, architecture.decoder),
            evidence,
            (Purpose.PRUNE_ENCODER, Purpose.PRUNE_DECODER),
            strict=True,
        )
    ]


def _networks(pair: Pair) -> tuple[Network, Network]:
    return pair.encoder, pair.decoder


def _evidence(offspring: Sequence[Offspring], engine: Engine) -> list[tuple[Evidence, Evidence]]:
    """What the operators need to know of each pair's encoder and decoder."""
    needs = [load(OPERATOR, each.setup.variant.prune_method).needs for each in offspring]
    asking = [k for k, need in enumerate(needs) if need == "activations"]
    asked = [_sampled(offspring[k]) for k in asking]
    seen = dict(zip(asking, engine.activations(asked), strict=True)) if asked else {}
    return [
        (Evidence(activations=seen[k].encoder), Evidence(activations=seen[k].decoder))
        if k in seen
        else (Evidence(each.cell.encoder_statistics), Evidence(each.cell.decoder_statistics))
        if needs[k] == "statistics"
        else (Evidence(), Evidence())
        for k, each in enumerate(offspring)
    ]


def _sampled(offspring: Offspring) -> ActivationsTask:
    """The activations that an operator sees: of rows that are drawn with replacement."""
    split = offspring.setup.variant.lexicase_split
    n_rows = len(offspring.setup.dataset.split(split))
    rng = offspring.address.stream(Purpose.LEXICASE_ROWS)
    rows = rng.integers(n_rows, size=SAMPLED_ROWS, dtype="int32")
    noise = offspring.task.code_noise(Purpose.LEXICASE_CODE, len(rows))
    return ActivationsTask(offspring.cell.pair, rows, split, noise)


def carries_private_state(variant: Variant) -> bool:
    """Whether a cell carries more from one generation to the next than its neighbours may read."""
    return variant.optimizer_state == "cell" or variant.is_canonical


def _carried(offspring: Offspring) -> Cell:
    """What of the cell's state goes on to its next generation."""
    cell, variant = offspring.cell, offspring.setup.variant
    if variant.optimizer_state != "cell":
        cell = replace(cell, encoder_moments=None, decoder_moments=None)
    if not variant.is_canonical:
        cell = replace(cell, encoder_statistics=None, decoder_statistics=None)
    return cell
