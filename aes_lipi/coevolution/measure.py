"""What is recorded of a generation: losses, sizes, quality, and whether training diverged."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aes_lipi.arrays import Float64, Int32
from aes_lipi.autoencoders.compaction import n_compact
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.cell import Offspring
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.state import Setup
from aes_lipi.data.dataset import Split
from aes_lipi.engine.protocol import Engine, EvaluateTask, Measure
from aes_lipi.randomness import Address, Purpose

_RECORDED_MEMBERS = 16
"""The largest neighbourhood whose loss matrix is recorded: it grows with the square of that."""

_WEIGHTS = np.dtype("<f4")


class DivergenceError(ArithmeticError):
    """A weight or a loss is not finite, and the policy is to give the trial up."""


def caught(offspring: Offspring) -> Offspring | DivergenceError:
    """The offspring; what the policy says instead, if a weight or a training loss is not finite.

    With `skip`, the cell keeps its previous state, all of it, as if the generation had not been;
    its record keeps the losses, and says that it diverged. Losses on test rows decide nothing.
    """
    what = _not_finite(offspring)
    if what is None:
        return offspring
    if offspring.setup.variant.on_divergence == "fail":
        return _divergence(what, offspring.address)
    return replace(offspring, cell=offspring.task.cell, winner=0, diverged=True)


def _not_finite(offspring: Offspring) -> str | None:
    """Which of a pair's weights and losses are not finite."""
    if not offspring.cell.pair.encoder.is_finite:
        return "a weight of the encoder"
    if not offspring.cell.pair.decoder.is_finite:
        return "a weight of the decoder"
    if not math.isfinite(offspring.min_selection_loss):
        return "min_selection_loss"
    return None if math.isfinite(offspring.min_replacement_loss) else "min_replacement_loss"


def _divergence(what: str, at: Address) -> DivergenceError:
    return DivergenceError(
        f"training diverged: in generation {at.generation} of cell {at.cell}, {what} is not "
        "finite; lower learning_rate or learning_rate_sd, or set on_divergence to skip"
    )


def recorded(
    made: Sequence[Offspring | DivergenceError], engine: Engine
) -> list[tuple[Offspring, Record] | DivergenceError]:
    """New centres with what there is to record of them; of a trial that is given up, why."""
    records = iter(_records([each for each in made if isinstance(each, Offspring)], engine))
    return [next(records) if isinstance(each, Offspring) else each for each in made]


def _records(
    offspring: Sequence[Offspring], engine: Engine
) -> list[tuple[Offspring, Record] | DivergenceError]:
    test_losses = _test_losses(offspring, engine)
    wanted = [k for k, each in enumerate(offspring) if each.task.plan.record_quality]
    qualities = _qualities([offspring[k] for k in wanted], engine)
    known = dict(zip(wanted, qualities, strict=True))
    stored = [each.cell.pair for each in offspring if _is_stored(each)]
    engine.fetch([network for pair in stored for network in (pair.encoder, pair.decoder)])
    found: list[tuple[Offspring, Record] | DivergenceError] = []
    for k, each in enumerate(offspring):
        record = _record(each, test_losses.get(k), known.get(k, _Quality()))
        error = _not_finite_as_measured(record, each)
        found.append(error or (each, record))
    return found


def _not_finite_as_measured(record: Record, offspring: Offspring) -> DivergenceError | None:
    """What is wrong with the losses that were measured of a new centre, if the policy minds."""
    if offspring.setup.variant.on_divergence == "fail":
        for name in ("test_loss", "mean_L1", "test_L1", "validation_L1"):
            value = getattr(record, name)
            if value is not None and not math.isfinite(value):
                return _divergence(name, offspring.address)
    return None


def _test_losses(offspring: Sequence[Offspring], engine: Engine) -> dict[int, float]:
    """The losses of new centres on test rows, where they are recorded.

    Published, of the first batch of the split; sound, the mean over all its rows.
    """
    wanted = [k for k, each in enumerate(offspring) if each.setup.variant.record_test_loss]
    first = [k for k in wanted if offspring[k].setup.variant.measurement == "published"]
    whole = [k for k in wanted if offspring[k].setup.variant.measurement == "sound"]
    found: dict[int, float] = {}
    if first:
        matrices = engine.loss_matrices([_on_first_test_batch(offspring[k]) for k in first])
        found |= {k: float(matrix[0, 0]) for k, matrix in zip(first, matrices, strict=True)}
    if whole:
        losses = engine.batch_losses([offspring[k].cell.pair for k in whole], "test", "loss")
        found |= {
            k: mean_loss(each, "loss", offspring[k].setup, "test")
            for k, each in zip(whole, losses, strict=True)
        }
    return found


def mean_loss(losses: Float64, measure: Measure, setup: Setup, split: Split) -> float:
    """The mean over the rows of a split; published, over its batches, the last a smaller one.

    Args:
        losses: of every batch of the split, shape (batches,).
        measure: what they are.
        setup: of the trial.
        split: which rows.

    Returns:
        what a whole batch has on the average, of `negative_elbo`, which is a sum over rows.
    """
    n_rows, size = len(setup.dataset.split(split)), setup.variant.batch_size
    last = n_rows % size
    if setup.variant.measurement == "published" or last == 0:
        return float(losses.mean())
    if measure == "loss" and setup.architecture.loss == "negative_elbo":
        return float(size * losses.sum() / n_rows)
    return float((size * losses[:-1].sum() + last * losses[-1]) / n_rows)


def _on_first_test_batch(offspring: Offspring) -> EvaluateTask:
    setup, pair = offspring.setup, offspring.cell.pair
    n_rows = min(setup.variant.batch_size, len(setup.dataset.test))
    rows = np.arange(n_rows, dtype=np.int32)
    noise = offspring.task.code_noise(Purpose.TEST_CODE, 1, 1, n_rows)
    return EvaluateTask((pair.encoder,), (pair.decoder,), rows, "test", noise)


@dataclass(frozen=True)
class _Quality:
    """The measures of one centre; see `Record`. None of a generation that is not recorded."""

    n_compact: int | None = None
    mean_L1: float | None = None  # noqa: N815 - the field's name for it
    std_L1: float | None = None  # noqa: N815
    test_L1: float | None = None  # noqa: N815
    std_test_L1: float | None = None  # noqa: N815
    validation_L1: float | None = None  # noqa: N815
    validation_loss: float | None = None
    metrics: tuple[float, ...] | None = None


def _qualities(offspring: Sequence[Offspring], engine: Engine) -> list[_Quality]:
    """Measure centres on the training, test and validation rows.

    Published, batches of training rows are shuffled, and variational codes drawn for them
    (algorithm section 7); else all are in order, and codes their mean.
    """
    if not offspring:
        return []
    pairs = [each.cell.pair for each in offspring]
    engine.fetch([each for pair in pairs for each in (pair.encoder, pair.decoder)])
    train = _training_losses(offspring, engine)
    test = engine.batch_losses(pairs, "test", "l1")
    validation = engine.batch_losses(pairs, "validation", "l1")
    is_l1 = offspring[0].setup.architecture.loss == "l1"  # those of one engine have one loss
    losses = validation if is_l1 else engine.batch_losses(pairs, "validation", "loss")
    return [
        replace(
            _quality(each.cell.pair, l1, each.setup),
            validation_loss=mean_loss(loss, "loss", each.setup, "validation"),
        )
        for each, *l1, loss in zip(offspring, train, test, validation, losses, strict=True)
    ]


def _training_losses(offspring: Sequence[Offspring], engine: Engine) -> list[Float64]:
    """The L1 of every batch of training rows, per centre."""
    pairs, orders = [each.cell.pair for each in offspring], [_order_of(each) for each in offspring]
    codes = [
        each.task.code_noise(Purpose.MEASURED_CODE, len(each.setup.dataset.train))
        for each in offspring
    ]
    in_order = [k for k, order in enumerate(orders) if order is None]
    noise = [codes[k] for k in in_order]
    known = iter(engine.batch_losses([pairs[k] for k in in_order], "train", "l1", code_noise=noise))
    return [
        next(known)
        if order is None
        else engine.batch_losses([pair], "train", "l1", order, [code])[0]
        for pair, order, code in zip(pairs, orders, codes, strict=True)
    ]


def _order_of(offspring: Offspring) -> Int32 | None:
    """In which order training rows are measured on; None for their own."""
    variant = offspring.setup.variant
    if variant.measurement == "sound" or variant.no_shuffle_data:
        return None
    n_rows = len(offspring.setup.dataset.train)
    shuffled = offspring.address.stream(Purpose.MEASURED_ORDER).permutation(n_rows)
    return shuffled.astype(np.int32)


def _quality(pair: Pair, losses: Sequence[Float64], setup: Setup) -> _Quality:
    train, test, validation = losses
    return _Quality(
        n_compact=n_compact(setup.architecture, pair),
        mean_L1=mean_loss(train, "l1", setup, "train"),
        std_L1=float(train.std()),
        test_L1=mean_loss(test, "l1", setup, "test"),
        std_test_L1=float(test.std()),
        validation_L1=mean_loss(validation, "l1", setup, "validation"),
        metrics=tuple(metric(pair) for metric in setup.metrics) or None,
    )


def _centre(offspring: Offspring) -> bytes | None:
    """The weights of a new centre, where they are stored.

    float32, little-endian, the encoder's and then the decoder's.
    """
    if not _is_stored(offspring):
        return None
    pair = offspring.cell.pair
    parts = (network.genome.astype(_WEIGHTS) for network in (pair.encoder, pair.decoder))
    return b"".join(part.tobytes() for part in parts)


def _is_stored(offspring: Offspring) -> bool:
    stored = offspring.setup.variant.store_generations
    return stored == "all" or (stored == "recorded" and offspring.task.plan.record_quality)


def pair_of(centre: bytes, architecture: Architecture) -> Pair:
    """The pair whose weights a record holds, without masks."""
    genomes = np.frombuffer(centre, _WEIGHTS).astype(np.float32, copy=False)
    size = architecture.encoder.size
    return Pair(Network(genomes[:size]), Network(genomes[size:]))


def capacity(pair: Pair) -> float:
    """The share of a pair's parameters that are not zero."""
    networks = (pair.encoder, pair.decoder)
    return 1.0 - sum(each.n_zero for each in networks) / sum(each.size for each in networks)


def capacity_published(pair: Pair) -> float:
    """The share of a pair's parameters that were not zero after its line's last prune event."""
    networks = (pair.encoder, pair.decoder)
    return 1.0 - sum(each.n_pruned for each in networks) / sum(each.size for each in networks)


def _selection_losses(offspring: Offspring) -> tuple[float, ...] | None:
    task = offspring.task
    if not task.plan.record_quality or len(task.members) > _RECORDED_MEMBERS:
        return None
    return tuple(offspring.selection_losses.ravel().tolist())


def _record(offspring: Offspring, test_loss: float | None, quality: _Quality) -> Record:
    task, plan, pair = offspring.task, offspring.task.plan, offspring.cell.pair
    return Record(
        trial=plan.address.trial,
        generation=plan.address.generation,
        cell=plan.address.cell,
        learning_rate=plan.learning_rate,
        min_selection_loss=offspring.min_selection_loss,
        winner=offspring.winner,
        winner_cell=task.members[offspring.winner],
        encoder=task.encoder,
        decoder=task.decoder,
        min_replacement_loss=offspring.min_replacement_loss,
        prune_probability=plan.prune_probability,
        prune_event=plan.prune,
        n_pruned_encoder=pair.encoder.n_pruned,
        n_pruned_decoder=pair.decoder.n_pruned,
        n_zero_encoder=pair.encoder.n_zero,
        n_zero_decoder=pair.decoder.n_zero,
        capacity=capacity(pair),
        capacity_published=capacity_published(pair),
        test_loss=test_loss,
        read_generations=task.reads,
        staleness=plan.address.generation - 1 - min(task.reads),
        selection_losses=_selection_losses(offspring),
        centre=_centre(offspring),
        diverged=offspring.diverged,
        wall_time_s=0.0,
        cpu_time_s=0.0,
        **vars(quality),
    )
