"""Solution concepts and tournaments by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from helpers import random_pair, setup_of, tiny_variant
from hypothesis import given
from hypothesis import strategies as st

from aes_lipi.coevolution.cell import SOLUTION_CONCEPTS, Task, tournament
from aes_lipi.coevolution.schedule import make_plan
from aes_lipi.coevolution.state import BEFORE_FIRST, Cell
from aes_lipi.config import Variant
from aes_lipi.randomness import Address

# Losses of encoders (rows) with decoders (columns).
MATRIX = np.array([[0.5, 0.25, 0.75], [1.0, 0.0, 2.0], [0.25, 0.5, 0.75]])
REDUCED = {
    "best_case": [0.25, 0.0, 0.25],
    "worst_case": [0.75, 2.0, 0.75],
    "mean_expected_utility": [0.5, 1.0, 0.5],
}
NAN = math.nan


@pytest.mark.parametrize("concept", SOLUTION_CONCEPTS)
def test_solution_concept_reduces_over_the_decoders(concept: str) -> None:
    reduced = SOLUTION_CONCEPTS[concept](MATRIX)
    assert reduced.tolist() == REDUCED[concept]
    assert reduced.shape == (3,)


@pytest.mark.parametrize(
    ("concept", "winner", "lowest"),
    [("best_case", 0, 0.0), ("worst_case", 1, 1.0), ("mean_expected_utility", 2, 0.75)],
)
def test_the_winner_is_the_solution_concepts(concept: str, winner: int, lowest: float) -> None:
    """Encoders of which each is the best by one concept, all of them in the tournament."""
    losses = np.array([[0.0, 3.0, 3.0], [1.0, 1.0, 1.0], [0.5, 0.5, 1.25]])
    setup = setup_of(tiny_variant(solution_concept=concept))
    members = tuple(random_pair(setup.architecture, seed) for seed in range(3))
    plan = replace(make_plan(setup.variant, Address(1, 0), 1e-5, 3), contestants=(0, 1, 2))
    task = Task(setup, Cell(members[0]), members, (0, 1, 3), (BEFORE_FIRST,) * 3, plan)
    offspring = task.winner_of(losses)
    assert offspring.winner == winner
    assert offspring.cell.pair is members[winner]
    assert offspring.min_selection_loss == lowest


@pytest.mark.parametrize("concept", SOLUTION_CONCEPTS)
def test_solution_concept_of_a_cell_alone_is_its_loss(concept: str) -> None:
    assert SOLUTION_CONCEPTS[concept](np.array([[0.125]])).tolist() == [0.125]


@pytest.mark.parametrize(
    ("losses", "contestants", "winner"),
    [
        ([0.3, 0.1, 0.2], (0, 1), 1),
        ([0.3, 0.1, 0.2], (1, 0), 1),
        ([0.3, 0.1, 0.2], (2, 0), 2),
        ([0.3, 0.1, 0.2], (0, 0), 0),
        ([0.3, 0.1, 0.2], (0,), 0),
        ([0.3, 0.1, 0.2], (0, 2, 1, 0), 1),
        # A tie goes to the one drawn later.
        ([0.1, 0.1, 0.1], (0, 2), 2),
        ([0.1, 0.1, 0.1], (2, 0), 0),
        ([0.1, 0.1, 0.1], (0, 1, 2), 2),
        ([0.1, 0.5, 0.1], (0, 2, 1), 2),
        ([0.0, -0.0], (0, 1), 1),
        # What is not a number loses.
        ([NAN, 0.9], (0, 1), 1),
        ([NAN, 0.9], (1, 0), 1),
        ([NAN, 0.9, 0.8], (1, 0, 2), 2),
        ([NAN, NAN], (0, 1), 1),
        ([math.inf, 0.9], (1, 0), 1),
        ([math.inf, 0.9], (0, 1), 1),
    ],
)
def test_tournament(losses: list[float], contestants: tuple[int, ...], winner: int) -> None:
    assert tournament(np.array(losses), contestants) == winner


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=6),
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
)
def test_winner_is_the_last_drawn_of_the_best(values: list[int], drawn: list[int]) -> None:
    contestants = [member % len(values) for member in drawn]
    best = min(values[member] for member in contestants)
    last = [member for member in contestants if values[member] == best][-1]
    assert tournament(np.array(values, dtype=np.float64), contestants) == last


def test_tournament_leaves_the_losses_as_they_were() -> None:
    losses = np.array([NAN, 0.5])
    losses.setflags(write=False)
    tournament(losses, (0, 1))
    assert math.isnan(losses[0])


def test_contestants_are_drawn_with_replacement_and_evenly() -> None:
    # 900 tournaments of two among three members: every ordered pair, repeats included, is expected
    # 100 times with a standard deviation of sqrt(900 * 1/9 * 8/9) = 9.4.
    drawn = [make_plan(Variant(), Address(1, t), 1e-5, 3).contestants for t in range(900)]
    counts = [drawn.count((i, j)) for i in range(3) for j in range(3)]
    assert sum(counts) == 900
    assert all(abs(count - 100) < 5 * 9.4 for count in counts)


def test_tournament_size_is_a_setting() -> None:
    variant = Variant.model_validate({"tournament_size": 5})
    assert len(make_plan(variant, Address(1, 0), 1e-5, 3).contestants) == 5
