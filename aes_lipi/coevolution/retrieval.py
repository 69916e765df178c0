"""Retrieval measures: do the highest outputs point at the row's ones?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.plan import Setup
from aes_lipi.engine.protocol import ActivationsTask


@dataclass(frozen=True)
class RetrievalMeasures:
    """Means over the rows of the test split that have any one."""

    recall_at_100: float
    recall_at_20: float
    ndcg_at_50: float


def retrieval_measures(pair: Pair, setup: Setup) -> RetrievalMeasures:
    """Rank each test row's dimensions by the decoder's output (algorithm section 7)."""
    rows = np.arange(len(setup.dataset.test), dtype=np.int32)
    seen = setup.engine.activations([ActivationsTask(pair, rows, "test")])[0]
    scores = seen.decoder[:, setup.architecture.decoder.node_slices()[-1]]
    relevant = setup.dataset.test > 0.5
    return RetrievalMeasures(
        recall_at_100=recall(scores, relevant, 100),
        recall_at_20=recall(scores, relevant, 20),
        ndcg_at_50=ndcg(scores, relevant, 50),
    )


def recall(scores: Float32, relevant: npt.NDArray[np.bool_], k: int) -> float:
    """Relevant dimensions among the k of highest score, over min(k, relevant ones).

    Args:
        scores: higher is more likely relevant, shape (rows, dimensions).
        relevant: shape (rows, dimensions).
        k: length of the ranking; at most all dimensions are ranked.
    """
    hits = _top(scores, relevant, k).sum(axis=1)
    possible = np.minimum(relevant.sum(axis=1), k)
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
