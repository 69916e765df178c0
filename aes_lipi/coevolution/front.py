"""What nothing else beats: Pareto fronts of size and loss, and the recorded centres on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from aes_lipi.coevolution.plan import Record
from aes_lipi.coevolution.snapshot import in_order


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
        ValueError: the shapes are not these.
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


def with_front_alone(records: Sequence[Record]) -> list[Record]:
    """The records of a trial, with the weights of those centres that a choice can still fall on.

    These are the ones that no other centre of the trial beats in size, of what is not zero or of
    what compaction leaves, and in loss on the validation rows; of equal ones the first. What is
    dropped would be dropped of more records, too: so it does not matter how often, or after which
    steps, this is done.

    Args:
        records: of one trial, in any order.
    """
    held = [k for k, record in enumerate(records) if record.centre is not None]
    held.sort(key=lambda k: in_order(records[k]))
    candidates = [records[k] for k in held]
    losses = [_number(each.validation_L1) for each in candidates]
    zeros = [-(each.n_zero_encoder + each.n_zero_decoder) for each in candidates]
    compact = [_number(each.n_compact) for each in candidates]
    kept = {held[k] for sizes in (zeros, compact) for k in pareto_front(sizes, losses)}
    dropped = set(held) - kept
    return [
        replace(record, centre=None) if k in dropped else record for k, record in enumerate(records)
    ]


def extended(records: list[Record], more: Sequence[Record]) -> list[Record]:
    """A trial's records and more of them; where there are new centres, as `with_front_alone`."""
    records.extend(more)
    if all(record.centre is None for record in more):
        return records
    return with_front_alone(records)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
