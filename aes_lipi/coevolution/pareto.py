"""The Pareto front of size and loss: what nothing else beats in both."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


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
