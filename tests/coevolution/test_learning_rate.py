"""How learning rates move."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.coevolution.rates import LEARNING_RATE_POLICIES, next_learning_rate, rate_in
from aes_lipi.config import Variant
from aes_lipi.randomness import Address, Purpose

COSINE = [
    *("0x1.0000000000000p+0", "0x1.e6a5e54e5ae39p-1", "0x1.9f9d07145f6e9p-1"),
    *("0x1.38f721c6048b1p-1", "0x1.8e11bc73f6e9ep-2", "0x1.818be3ae8245bp-3"),
    "0x1.95a1ab1a51c7cp-5",
]
"""Of seven generations from a rate of 1."""


def variant(policy: str, **given: Any) -> Variant:
    return Variant.model_validate({"learning_rate_policy": policy} | given)


def run(of: Variant, trial: int = 0, cell: int = 0) -> list[float]:
    """The rate of every generation of a run."""
    rates = [of.learning_rate]
    for t in range(of.epochs - 1):
        rates.append(next_learning_rate(rates[-1], of, Address(1, trial, cell, t)))
    return rates


def test_walk_adds_the_draw_of_its_address() -> None:
    address = Address(1, 2, 3, 4)
    change = address.stream(Purpose.LEARNING_RATE).normal(0, 1e-5)
    assert next_learning_rate(1e-3, variant("walk"), address) == 1e-3 + change


def test_walk_is_a_normal_step() -> None:
    of = variant("walk", learning_rate_sd=0.01)
    steps = np.array([next_learning_rate(5.0, of, Address(1, 0, c, 0)) for c in range(1000)]) - 5
    # Mean 0 and standard deviation 0.01, within 5 standard errors: sd/sqrt(n) and sd/sqrt(2n)
    assert abs(steps.mean()) < 5 * 0.01 / np.sqrt(1000)
    assert abs(steps.std() - 0.01) < 5 * 0.01 / np.sqrt(2000)


@settings(deadline=None)
@given(st.floats(1e-9, 10), st.floats(0, 1e3), st.integers(0, 2**31))
def test_walk_never_leaves_its_bounds(rate: float, sd: float, seed: int) -> None:
    of = variant("walk", learning_rate_sd=sd)
    assert 1e-9 <= next_learning_rate(rate, of, Address(seed, 0)) <= 10


def test_walk_is_clipped_to_its_bounds_exactly() -> None:
    of = variant("walk", learning_rate_sd=1e6)
    ends = {next_learning_rate(1.0, of, Address(1, 0, cell)) for cell in range(40)}
    assert ends == {1e-9, 10.0}


def test_walk_of_no_spread_stays() -> None:
    assert set(run(variant("walk", learning_rate_sd=0.0, epochs=5))) == {1e-5}


def test_walk_drifts_up_tenfold_in_a_published_run() -> None:
    # Section 4: from 1e-5, reflected near zero, typically 1e-4 to 3e-4 after 400 generations.
    final = [run(variant("walk"), trial)[-1] for trial in range(200)]
    assert 1e-4 < float(np.median(final)) < 3e-4


def test_walks_of_cells_and_trials_are_their_own() -> None:
    of = variant("walk", epochs=3, learning_rate=1.0)
    assert run(of) == run(of)
    assert len({run(of, trial, cell)[-1] for trial in range(3) for cell in range(3)}) == 9


@pytest.mark.parametrize(
    ("epochs", "tenths"),
    [
        # A tenth every max(1, epochs // 4) generations.
        (8, [0, 0, 1, 1, 2, 2, 3, 3]),
        (4, [0, 1, 2, 3]),
        (3, [0, 1, 2]),
        (1, [0]),
        (7, [0, 1, 2, 3, 4, 5, 6]),
        (10, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]),
        (13, [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4]),
    ],
)
def test_step_divides_by_ten_every_quarter(epochs: int, tenths: list[int]) -> None:
    rates = run(variant("step", epochs=epochs, learning_rate=0.5))
    assert rates == pytest.approx([0.5 / 10**k for k in tenths], rel=1e-12)


def test_step_of_the_published_baseline() -> None:
    rates = run(Variant.model_validate({"cell_evaluation": "ann_canonical"}))
    expected = [1e-5] * 100 + [1e-6] * 100 + [1e-7] * 100 + [1e-8] * 100
    assert rates == pytest.approx(expected, rel=1e-12)


def test_constant_rate_is_constant() -> None:
    assert set(run(variant("constant", epochs=9, learning_rate=0.3))) == {0.3}


@pytest.mark.parametrize("policy", LEARNING_RATE_POLICIES)
def test_every_policy_starts_from_the_given_rate_and_stays_positive(policy: str) -> None:
    rates = run(variant(policy, epochs=30, learning_rate=0.25))
    assert rates[0] == 0.25
    assert min(rates) > 0
    assert all(type(rate) is float for rate in rates)


@pytest.mark.parametrize("epochs", [1, 2, 7, 400, 4000])
def test_cosine_is_half_of_a_cosine(epochs: int) -> None:
    rates = run(variant("cosine", epochs=epochs, learning_rate=0.5))
    expected = [0.25 * (1 + math.cos(math.pi * t / epochs)) for t in range(epochs)]
    assert rates == pytest.approx(expected, rel=1e-12)


def test_cosine_asks_no_library_for_its_bits() -> None:
    rates = run(variant("cosine", epochs=7, learning_rate=1.0))
    assert [rate.hex() for rate in rates] == COSINE


def test_linear_is_a_line() -> None:
    rates = run(variant("linear", epochs=5, learning_rate=0.5))
    assert rates == pytest.approx([0.5, 0.4, 0.3, 0.2, 0.1], rel=1e-12)


DECAYING = {"prune_method": "magnitude", "prune_schedule": "gradual", "decay_from": "gradual_end"}


@pytest.mark.parametrize("policy", ["cosine", "linear", "step"])
@pytest.mark.parametrize(("end", "start"), [(0.0, 0), (0.5, 5), (0.7, 7), (0.75, 8), (1.0, 10)])
def test_decay_begins_where_gradual_ends(policy: str, end: float, start: int) -> None:
    rates = run(variant(policy, epochs=11, learning_rate=0.5, gradual_end=end, **DECAYING))
    assert set(rates[: start + 1]) == {0.5}
    shorter = run(variant(policy, epochs=11 - start, learning_rate=0.5))
    assert rates[start:] == shorter


def test_decay_without_pruning_begins_at_the_start() -> None:
    assert variant("cosine", decay_from="gradual_end").decay_from == "start"


def test_warmup_rises_to_the_rate() -> None:
    of = variant("constant", warmup=4)
    rates = [rate_in(of, 0.8, t, 0) for t in range(6)]
    assert rates == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.8], rel=1e-12)
    assert rate_in(variant("walk"), 0.123, 0, 0) == 0.123


def test_plateau_cuts_by_ten_and_not_below_the_lowest_rate() -> None:
    of = variant("plateau")
    rates = [rate_in(of, 1e-7, 9, cuts) for cuts in range(5)]
    assert rates == pytest.approx([1e-7, 1e-8, 1e-9, 1e-9, 1e-9], rel=1e-12)
    assert rate_in(of, 1e-12, 9, 3) == 1e-12
    assert rate_in(of, 1e-7, 9, 10_000) == 1e-9
    assert rate_in(variant("constant"), 0.5, 9, 3) == 0.5
