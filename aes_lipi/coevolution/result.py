"""What a trial's last state is worth: the best centre and its measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.baselines import (
    BaselineMeasures,
    ColumnMeasures,
    Reconstruct,
    column_errors,
    column_measures,
)
from aes_lipi.coevolution.cell import code_noise
from aes_lipi.coevolution.measure import capacity, capacity_published, mean_loss
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.state import Cell, NetworkState, Setup, TrialState
from aes_lipi.coevolution.stopping import ending_of
from aes_lipi.data.dataset import Split
from aes_lipi.engine.protocol import ActivationsTask, Measure
from aes_lipi.randomness import Address, Purpose

Number = TypeVar("Number", int, float)

_ON_TEST_ROWS: tuple[Measure, ...] = ("loss", "mse")


@dataclass(frozen=True)
class RetrievalMeasures:
    """Do the highest outputs point at the ones? Means over test rows that have any one.

    Sound, of each row, recall over min(k, ones of the row). Published, of the outputs of a whole
    batch at once, recall over all its ones (algorithm section 7).

    Attributes:
        recall_at_100: Recall among the hundred highest outputs.
        recall_at_20: Recall among the twenty highest.
        ndcg_at_50: Normalised discounted cumulative gain of the fifty highest.
    """

    recall_at_100: float
    recall_at_20: float
    ndcg_at_50: float


@dataclass(frozen=True)
class TrialResult:
    """The results of a trial.

    Attributes:
        best_cell: The trial's answer: the cell that `final_cell` chooses. Measures are its own
            where nothing else is said.
        test_loss: Loss on test rows, of what is trained on; published, the mean over batches.
        test_L1: Mean absolute error on test rows.
        test_mse: Mean squared error on test rows.
        validation_L1: Mean absolute error on validation rows.
        validation_loss: Loss on validation rows.
        test_L1_by_validation: `test_L1` of the cell that is best on validation rows, where
            `best_cell` may have been chosen on test rows.
        best_mean_L1: Mean absolute error on the training rows.
        mean_L1: Mean of it over all cells: what the paper plots.
        mean_test_L1: Mean of `test_L1` over all cells.
        capacity: Share of the parameters that are not zero.
        mean_capacity: Mean of it over all cells.
        capacity_published: Share of the parameters that `n_pruned_*` does not count, as the paper's
            figures have it.
        mean_capacity_published: Mean of it over all cells.
        n_parameters: Parameters of a pair before pruning, weights and biases.
        n_compact: Parameters that are left when what pruning made dead is taken out.
        n_zero_encoder: Parameters of the encoder that are zero.
        n_zero_decoder: Those of the decoder.
        n_pruned_encoder: Zeros of the encoder after the last prune event of its line: the published
            count.
        n_pruned_decoder: Those of the decoder.
        n_diverged: Generations of cells that were undone because they diverged.
        epochs_run: Generations that the trial ran.
        stopped: What ended it: `epochs`, `patience`, `target_loss` or `callback`.
        best_generation: The generation that all measures are of: the last, or with `patience` the
            best.
        retrieval: Whether the highest outputs point at the ones, if `retrieval_measures`.
        columns: Of data of one's own: how well columns are learnt.
        baselines: Of data of one's own: what there is to beat.
    """

    best_cell: int
    test_loss: float
    test_L1: float  # noqa: N815 - the field's name for it
    test_mse: float
    validation_L1: float  # noqa: N815
    validation_loss: float
    test_L1_by_validation: float  # noqa: N815
    best_mean_L1: float  # noqa: N815
    mean_L1: float  # noqa: N815
    mean_test_L1: float  # noqa: N815
    capacity: float
    mean_capacity: float
    capacity_published: float
    mean_capacity_published: float
    n_parameters: int
    n_compact: int
    n_zero_encoder: int
    n_zero_decoder: int
    n_pruned_encoder: int
    n_pruned_decoder: int
    n_diverged: int
    epochs_run: int
    stopped: str
    best_generation: int
    retrieval: RetrievalMeasures | None
    columns: ColumnMeasures | None
    baselines: BaselineMeasures | None


def pairs_of(
    state: TrialState[Cell | NetworkState], records: Sequence[Record], generation: int
) -> list[Pair]:
    """The pairs of a generation, by cell; where all met all, each as it was in the end.

    Args:
        state: holds all networks as they were after that generation.
        records: of the generation, in order.
        generation: its number.
    """
    held = {(v.part, v.number): state.held[v] for v in state.versions_of(generation)}
    cells = [cell.pair for cell in held.values() if isinstance(cell, Cell)]
    if cells:
        return cells
    network = {at: each.network for at, each in held.items() if isinstance(each, NetworkState)}
    return [
        Pair(network["encoder", record.encoder or 0], network["decoder", record.decoder or 0])
        for record in records
    ]


def pairs_by_number(pairs: Sequence[Pair], records: Sequence[Record]) -> list[Pair]:
    """A pair of every cell; where all met all, of every encoder with the decoder of its number.

    So that every network is there once, and where a trial that starts from them looks for it.

    Args:
        pairs: of a generation, as its records have them.
        records: of that generation.
    """
    encoders: dict[int, Network] = {}
    decoders: dict[int, Network] = {}
    for pair, record in zip(pairs, records, strict=True):
        if record.encoder is None or record.decoder is None:
            return list(pairs)
        encoders[record.encoder], decoders[record.decoder] = pair.encoder, pair.decoder
    return [Pair(encoders[number], decoders[number]) for number in sorted(encoders)]


def judge(
    state: TrialState[Cell | NetworkState], records: Sequence[Record], setup: Setup
) -> tuple[TrialResult, list[Pair]]:
    """Choose a trial's answer and measure it.

    Args:
        state: after the last generation that it ran, a recorded one.
        records: of all generations, in order of generation and cell.
        setup: what the cells shared.

    Returns:
        the results, and the pairs of the generation that they are of, by cell.
    """
    ending = ending_of(setup.variant, state.watch, state.generations)
    last_records = [each for each in records if each.generation == ending.best_generation]
    pairs = pairs_of(state, last_records, ending.best_generation)
    setup.engine.fetch([network for pair in pairs for network in (pair.encoder, pair.decoder)])
    best = final_cell(pairs, setup)
    pair, record = pairs[best], last_records[best]
    test_loss, test_mse = (
        mean_loss(setup.engine.batch_losses([pair], "test", measure)[0], measure, setup, "test")
        for measure in _ON_TEST_ROWS
    )
    wanted = setup.variant.retrieval_measures
    at = Address(setup.variant.rng_seed, state.trial, record.cell, record.generation)
    result = TrialResult(
        best_cell=best,
        test_loss=test_loss,
        test_L1=_known(record.test_L1),
        test_mse=test_mse,
        validation_L1=_known(record.validation_L1),
        validation_loss=_known(record.validation_loss),
        test_L1_by_validation=_known(_by_validation(record, last_records, setup).test_L1),
        best_mean_L1=_known(record.mean_L1),
        mean_L1=float(np.mean([_known(each.mean_L1) for each in last_records])),
        mean_test_L1=float(np.mean([_known(each.test_L1) for each in last_records])),
        capacity=capacity(pair),
        mean_capacity=float(np.mean([each.capacity for each in last_records])),
        capacity_published=capacity_published(pair),
        mean_capacity_published=float(np.mean([each.capacity_published for each in last_records])),
        n_parameters=setup.architecture.n_parameters,
        n_compact=_known(record.n_compact),
        n_zero_encoder=pair.encoder.n_zero,
        n_zero_decoder=pair.decoder.n_zero,
        n_pruned_encoder=pair.encoder.n_pruned,
        n_pruned_decoder=pair.decoder.n_pruned,
        n_diverged=sum(each.diverged for each in records),
        **vars(ending),
        retrieval=retrieval_measures(pair, setup, at) if wanted else None,
        columns=None if setup.baselines is None else _column_measures(pair, setup),
        baselines=None if setup.baselines is None else setup.baselines(),
    )
    return result, pairs


def _column_measures(pair: Pair, setup: Setup) -> ColumnMeasures:
    """How well a pair does over the columns."""
    return column_measures(
        column_errors(setup.dataset.test, reconstructing(pair, setup, "test")),
        column_errors(setup.dataset.validation, reconstructing(pair, setup, "validation")),
    )


def reconstructing(pair: Pair, setup: Setup, split: Split) -> Reconstruct:
    """What gives a pair's reconstructions of rows of a split, by the engine."""
    from aes_lipi.engine.dense.activations import sigmoid  # noqa: PLC0415 - loads numba

    decoder, n_rows = setup.architecture.decoder, len(setup.dataset.split(split))
    output, is_sigmoid = decoder.node_slices()[-1], decoder.layers[-1].activation == "sigmoid"

    def reconstruct(part: slice) -> Float32:
        rows = np.arange(n_rows, dtype=np.int32)[part]
        seen = setup.engine.activations([ActivationsTask(pair, rows, split)])[0]
        made: Float32 = seen.decoder[:, output]
        return sigmoid(made) if is_sigmoid else made

    return reconstruct


def final_cell(pairs: Sequence[Pair], setup: Setup) -> int:
    """The cell with the lowest loss on the deciding split.

    Without space it is the last pair that was trained: the one whose record is of it as it is.
    """
    if setup.variant.cell_evaluation == "all_vs_all":
        return len(pairs) - 1
    if setup.variant.final_cell == "first":
        return 0
    split: Split = "test" if setup.variant.final_cell == "best_on_test" else "validation"
    batches = setup.engine.batch_losses(pairs, split, "loss")
    means = np.array([mean_loss(losses, "loss", setup, split) for losses in batches])
    return int(np.argmin(np.where(np.isnan(means), np.inf, means)))


def _by_validation(answer: Record, cells: Sequence[Record], setup: Setup) -> Record:
    """The cell of the lowest loss on the validation rows; without space there is but the answer."""
    if setup.variant.cell_evaluation == "all_vs_all":
        return answer
    losses = [_known(each.validation_loss) for each in cells]
    return cells[int(np.argmin(np.where(np.isnan(losses), np.inf, losses)))]


def _known(measure: Number | None) -> Number:
    if measure is None:
        raise ValueError("the last generation must be recorded")
    return measure


def retrieval_measures(pair: Pair, setup: Setup, address: Address) -> RetrievalMeasures:
    """Rank test rows' dimensions by the decoder's output (algorithm section 7).

    Args:
        pair: the answer.
        setup: what the cells shared.
        address: of the answer, for the draw of variational codes.
    """
    rows = np.arange(len(setup.dataset.test), dtype=np.int32)
    noise = code_noise(setup, address, Purpose.RETRIEVAL_CODE, len(rows))
    seen = setup.engine.activations([ActivationsTask(pair, rows, "test", noise)])[0]
    scores = seen.decoder[:, setup.architecture.decoder.node_slices()[-1]]
    relevant = setup.dataset.test > 0.5
    published = setup.variant.measurement == "published"
    if published:
        scores, relevant = (
            _flattened(each, setup.variant.batch_size) for each in (scores, relevant)
        )
    return RetrievalMeasures(
        recall_at_100=recall(scores, relevant, 100, of_all=published),
        recall_at_20=recall(scores, relevant, 20, of_all=published),
        ndcg_at_50=ndcg(scores, relevant, 50),
    )


def _flattened(values: npt.NDArray[Any], batch_size: int) -> npt.NDArray[Any]:
    """Whole batches of rows, each in one row; the rows themselves, where they are fewer."""
    size = min(batch_size, len(values))
    n_batches = len(values) // size
    return values[: n_batches * size].reshape(n_batches, -1)


def recall(
    scores: Float32, relevant: npt.NDArray[np.bool_], k: int, *, of_all: bool = False
) -> float:
    """Relevant dimensions among the k of highest score, over min(k, relevant ones).

    Args:
        scores: higher is more likely relevant, shape (rows, dimensions).
        relevant: shape (rows, dimensions).
        k: length of the ranking; at most all dimensions are ranked.
        of_all: over all relevant ones instead.
    """
    hits = _top(scores, relevant, k).sum(axis=1)
    ones = relevant.sum(axis=1)
    possible = ones if of_all else np.minimum(ones, k)
    return _mean_where(possible > 0, hits, possible)


def ndcg(scores: Float32, relevant: npt.NDArray[np.bool_], k: int) -> float:
    """Normalised discounted cumulative gain of the k of highest score, binary relevance."""
    top = _top(scores, relevant, k)
    discounts = 1.0 / np.log2(np.arange(2, top.shape[1] + 2))
    gain = (top * discounts).sum(axis=1)
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])
    best = ideal[np.minimum(relevant.sum(axis=1), top.shape[1])]
    return _mean_where(best > 0, gain, best)


def _top(scores: Float32, relevant: npt.NDArray[np.bool_], k: int) -> npt.NDArray[np.bool_]:
    """Relevance of the k of highest score in falling order; ties by position."""
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(relevant, order, axis=1)


def _mean_where(
    counted: npt.NDArray[np.bool_], numerator: npt.ArrayLike, denominator: npt.ArrayLike
) -> float:
    if not counted.any():
        return float("nan")
    numerators, denominators = np.asarray(numerator), np.asarray(denominator)
    return float((numerators[counted] / denominators[counted]).mean())
