"""What a trial's last ring is worth: the best centre and its measures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.plan import Record, Setup, capacity
from aes_lipi.coevolution.retrieval import RetrievalMeasures, retrieval_measures
from aes_lipi.coevolution.ring import Ring

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Verdict:
    """The results of a trial.

    Measures of the best cell: `test_loss` and `test_L1`, means over the batches of the test split;
    `validation_L1`; `best_mean_L1` on the training rows; sizes; `capacity`; `n_compact`, the
    parameters that are left when what pruning made dead is taken out. Means over all cells:
    `mean_L1`, `mean_test_L1`, `mean_capacity`. `n_diverged` counts the generations of cells that
    were undone because they diverged.
    """

    best_cell: int
    test_loss: float
    test_L1: float  # noqa: N815 - the field's name for it
    validation_L1: float  # noqa: N815
    best_mean_L1: float  # noqa: N815
    mean_L1: float  # noqa: N815
    mean_test_L1: float  # noqa: N815
    capacity: float
    mean_capacity: float
    n_parameters: int
    n_compact: int
    n_zero_encoder: int
    n_zero_decoder: int
    n_pruned_encoder: int
    n_pruned_decoder: int
    n_diverged: int
    retrieval: RetrievalMeasures | None


def judge(ring: Ring, records: Sequence[Record], setup: Setup) -> Verdict:
    """Choose a trial's answer and measure it.

    Args:
        ring: after the last generation.
        records: of all generations, in order of generation and cell.
        setup: what the cells shared.
    """
    pairs = [cell.pair for cell in ring.cells]
    last_records = records[-len(pairs) :]
    best = _final_cell(pairs, setup)
    pair, record = pairs[best], last_records[best]
    test_loss = setup.engine.batch_losses([pair], "test", "loss")[0].mean()
    wanted = setup.variant.retrieval_measures
    return Verdict(
        best_cell=best,
        test_loss=float(test_loss),
        test_L1=_known(record.test_L1),
        validation_L1=_known(record.validation_L1),
        best_mean_L1=_known(record.mean_L1),
        mean_L1=float(np.mean([_known(each.mean_L1) for each in last_records])),
        mean_test_L1=float(np.mean([_known(each.test_L1) for each in last_records])),
        capacity=capacity(pair),
        mean_capacity=float(np.mean([each.capacity for each in last_records])),
        n_parameters=setup.architecture.n_parameters,
        n_compact=_known(record.n_compact),
        n_zero_encoder=pair.encoder.n_zero,
        n_zero_decoder=pair.decoder.n_zero,
        n_pruned_encoder=pair.encoder.n_pruned,
        n_pruned_decoder=pair.decoder.n_pruned,
        n_diverged=sum(each.diverged for each in records),
        retrieval=retrieval_measures(pair, setup) if wanted else None,
    )


def _final_cell(pairs: Sequence[Pair], setup: Setup) -> int:
    """The cell with the lowest loss, summed over the batches of the deciding split."""
    if setup.variant.final_cell == "first":
        return 0
    split = setup.variant.final_cell.removeprefix("best_on_")
    batches = setup.engine.batch_losses(pairs, "test" if split == "test" else "validation", "loss")
    sums = np.array([losses.sum() for losses in batches])
    return int(np.argmin(np.where(np.isnan(sums), np.inf, sums)))


def _known(measure: Number | None) -> Number:
    if measure is None:
        raise ValueError("the last generation must be recorded")
    return measure
