"""What is known of every generation of a trial, the log of it, and the front of what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import overload

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of one cell after one generation (algorithm section 7).

    Losses are of what is trained on, the variant's `loss` or the environment's; `*_L1` are L1
    whatever that is, of values as networks see them. None where not measured in this generation.

    Attributes:
        trial: Number of the trial, from 0.
        generation: Number of the generation, from 0.
        cell: Number of the cell, from 0; in `all_vs_all` the pair's place in the order of its
            generation.
        learning_rate: The one that the generation trained with.
        min_selection_loss: Lowest reduced loss of the neighbourhood at selection (step 2). Of the
            baseline as published, the lowest of the generation's batches, each before its update.
        winner: Place in the neighbourhood of the tournament's winner, from which the new centre
            descends.
        winner_cell: The cell of that member.
        encoder: Number of the encoder in `all_vs_all`, where encoders and decoders go their own
            ways; else missing. There `winner`, `winner_cell` and `read_generations` are of the
            place and say nothing of descent.
        decoder: Number of the decoder, likewise.
        min_replacement_loss: Loss of the trained pair on one training batch (step 5). Of the
            baseline as published, the same as `min_selection_loss`.
        prune_probability: What the schedule gave for this generation.
        prune_event: Whether there was a prune event.
        n_pruned_encoder: Zeros of the encoder after the last prune event of its line: the published
            count.
        n_pruned_decoder: Those of the decoder.
        n_zero_encoder: Parameters of the encoder that are zero now.
        n_zero_decoder: Those of the decoder.
        capacity: Share of the pair's parameters that are not zero now.
        capacity_published: Share of those that `n_pruned_*` does not count, as the paper's figures
            have it.
        n_compact: Parameters that are left when what pruning made dead is taken out; missing where
            quality is not measured.
        test_loss: Loss of the new centre on test rows, if `record_test_loss`; which rows,
            `measurement` says.
        mean_L1: Mean over training batches of the mean absolute error, every `record_interval`
            generations and in the last; missing elsewhere, as all that follows up to `metrics`.
        std_L1: Standard deviation of it over training batches.
        test_L1: Mean absolute error on test rows.
        std_test_L1: Standard deviation of it over batches of test rows.
        validation_L1: Mean absolute error on validation rows.
        validation_loss: Loss on validation rows, by which sound choices are made.
        metrics: Values of a user's metrics, in the variant's order: the columns `metric_<name>`.
        read_generations: Of every member of the neighbourhood, the generation whose centre was
            read; -1 before the first.
        staleness: By how many generations the oldest of them lies behind the cell's own centre.
        selection_losses: Losses of every encoder of the neighbourhood with every decoder at
            selection, encoder by encoder, in the order of the neighbourhood, where quality is
            measured; missing in neighbourhoods of more than 16.
        centre: Weights of the new centre where the study stores them, float32, little-endian, the
            encoder's and then the decoder's; in the file of the model, not in the table.
        diverged: Whether the generation was undone because a weight or a loss was not finite. Plan
            and losses are as they were; winner, sizes and measures are of the state that the cell
            kept.
        wall_time_s: Seconds of the generation by the clock.
        cpu_time_s: Processor seconds of it.
    """

    trial: int
    generation: int
    cell: int
    learning_rate: float
    min_selection_loss: float
    winner: int
    winner_cell: int
    encoder: int | None
    decoder: int | None
    min_replacement_loss: float
    prune_probability: float
    prune_event: bool
    n_pruned_encoder: int
    n_pruned_decoder: int
    n_zero_encoder: int
    n_zero_decoder: int
    capacity: float
    capacity_published: float
    n_compact: int | None
    test_loss: float | None
    mean_L1: float | None  # noqa: N815 - the field's name for it
    std_L1: float | None  # noqa: N815
    test_L1: float | None  # noqa: N815
    std_test_L1: float | None  # noqa: N815
    validation_L1: float | None  # noqa: N815
    validation_loss: float | None
    metrics: tuple[float, ...] | None
    read_generations: tuple[int, ...]
    staleness: int
    selection_losses: tuple[float, ...] | None
    centre: bytes | None
    diverged: bool
    wall_time_s: float
    cpu_time_s: float


def in_order(record: Record) -> tuple[int, int]:
    """The place of a record among all records of a trial."""
    return record.generation, record.cell


class RecordLog(Sequence[Record]):
    """An append-only log that the states of a trial share: each sees its own beginning of it.

    Args:
        records: the first of them.
        keeps_all: whether every centre is kept, and not those of the front alone.
    """

    def __init__(self, records: Iterable[Record] = (), *, keeps_all: bool = False) -> None:
        self._shared = list(records)
        self._length = len(self._shared)
        self._keeps_all = keeps_all

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, k: int) -> Record: ...
    @overload
    def __getitem__(self, k: slice) -> list[Record]: ...
    def __getitem__(self, k: int | slice) -> Record | list[Record]:
        if isinstance(k, slice):
            return [self._shared[each] for each in range(*k.indices(self._length))]
        return self._shared[range(self._length)[k]]

    def __reduce__(self) -> tuple[partial[RecordLog], tuple[list[Record]]]:
        return partial(RecordLog, keeps_all=self._keeps_all), (self[:],)

    def extended(self, more: Sequence[Record]) -> RecordLog:
        """The log with more records; of centres, unless all are kept, `with_front_alone`."""
        if not self._keeps_all and any(record.centre is not None for record in more):
            return RecordLog(with_front_alone([*self, *more]))
        shared = self._shared
        if len(shared) != self._length:  # another state has gone on from here
            shared = list(islice(shared, self._length))
        shared.extend(more)
        longer = RecordLog(keeps_all=self._keeps_all)
        longer._shared, longer._length = shared, len(shared)
        return longer


def with_front_alone(records: Sequence[Record]) -> list[Record]:
    """The records of a trial, with the weights of those centres alone that are on a Pareto front.

    These are the ones that no other centre of the trial beats in size, of what is not zero or of
    what compaction leaves, and in loss on the validation rows, or in L1 there, by which trials of
    different losses are compared; of equal ones the first: a choice can fall on no other. What is
    dropped would be dropped of more records, too: so it does not matter how often, or after which
    steps, this is done.

    Args:
        records: of one trial, in any order.
    """
    held = [k for k, record in enumerate(records) if record.centre is not None]
    held.sort(key=lambda k: in_order(records[k]))
    candidates = [records[k] for k in held]
    losses = [_number(each.validation_loss) for each in candidates]
    l1 = [_number(each.validation_L1) for each in candidates]
    zeros = [-(each.n_zero_encoder + each.n_zero_decoder) for each in candidates]
    compact = [_number(each.n_compact) for each in candidates]
    kept = {
        held[k]
        for sizes in (zeros, compact)
        for by in (losses, l1)
        for k in pareto_front(sizes, by)
    }
    dropped = set(held) - kept
    return [
        replace(record, centre=None) if k in dropped else record for k, record in enumerate(records)
    ]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def pareto_front(sizes: npt.ArrayLike, losses: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """Which points no other one dominates: is as small and as good, and better in one of the two.

    The points are sorted by size and then by loss; those are on the front whose loss is below all
    that come before (Kung, Luccio and Preparata, Journal of the ACM 22, 1975), in O(n log n).

    Args:
        sizes: shape (n,); smaller is better.
        losses: shape (n,); smaller is better.

    Returns:
        indices, ordered by size, so that losses fall. Of points that are the same the first is
        kept; a point with a NaN is left out.

    Raises:
        ValueError: `sizes` or `losses` is no row, or their lengths differ.
    """
    x, y = np.asarray(sizes, dtype=np.float64), np.asarray(losses, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"sizes {x.shape} and losses {y.shape} must be rows of one length")
    known = np.flatnonzero(~(np.isnan(x) | np.isnan(y)))
    order = known[np.lexsort((y[known], x[known]))]
    lowest = np.minimum.accumulate(y[order])
    better = np.concatenate([[True], lowest[1:] < lowest[:-1]])
    front: npt.NDArray[np.int64] = order[better[: len(order)]]
    return front
