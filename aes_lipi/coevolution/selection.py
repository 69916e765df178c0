"""Evaluation by a solution concept, and tournament selection (algorithm section 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from aes_lipi.arrays import Float64


def best_case(losses: Float64) -> Float64:
    """The lowest loss of each encoder over the decoders."""
    return np.asarray(losses.min(axis=1))


def worst_case(losses: Float64) -> Float64:
    """The highest loss of each encoder over the decoders."""
    return np.asarray(losses.max(axis=1))


def mean_expected_utility(losses: Float64) -> Float64:
    """The mean loss of each encoder over the decoders."""
    return np.asarray(losses.mean(axis=1))


SOLUTION_CONCEPTS: dict[str, Callable[[Float64], Float64]] = {
    "best_case": best_case,
    "worst_case": worst_case,
    "mean_expected_utility": mean_expected_utility,
}


def tournament(losses: Float64, contestants: Sequence[int]) -> int:
    """The contestant with the lowest loss; a tie goes to the one drawn later.

    Args:
        losses: reduced loss of every member of the neighbourhood, shape (members,). A loss that is
            not a number loses to any other.
        contestants: members in the order they were drawn.
    """
    comparable = [(bool(np.isnan(loss)), 0.0 if np.isnan(loss) else float(loss)) for loss in losses]
    winner = contestants[0]
    for member in contestants[1:]:
        if comparable[member] <= comparable[winner]:
            winner = member
    return winner
