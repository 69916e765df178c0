from __future__ import annotations

import math

import numpy as np
import pytest

from aes_lipi.reproduction.evidence import Estimate, estimate
from aes_lipi.reproduction.page import _mean_text


def test_the_interval_is_that_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(0.15, 0.02, 200)
    found = estimate(values)
    half = 1.96 * values.std() / math.sqrt(len(values))
    assert found.n == 200
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=half / 20)
    assert found.high == pytest.approx(values.mean() + half, abs=half / 20)
    assert estimate(values) == found


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert estimate(np.full(30, 0.5)) == Estimate(30, 0.5, 0.5, 0.5)
    nearly = estimate(np.array([0.5, 0.5, 0.5 + 1e-15]))
    assert nearly.low == pytest.approx(nearly.high)


def test_few_values_have_none() -> None:
    one, none = estimate(np.array([0.2])), estimate(np.empty(0))
    assert (one.n, one.mean) == (1, 0.2)
    assert none.n == 0
    assert np.isnan([none.mean, one.low, one.high, none.low]).all()


def test_a_value_that_was_read_with_an_error_agrees_within_it() -> None:
    found = Estimate(30, 0.150, 0.144, 0.157)
    assert found.agrees(0.144, 0)
    assert found.agrees(0.1425, 0.002)
    assert found.agrees(0.1585, 0.002)
    assert not found.agrees(0.1415, 0.002)
    assert not found.agrees(0.1595, 0.002)


def test_an_interval_beside_a_mean_of_as_many_trials_holds_19_of_20_of_them() -> None:
    rng = np.random.default_rng(5)
    means = rng.normal(0.15, 0.02 / np.sqrt(30), (20_000, 2))
    half = 1.96 * 0.02 / np.sqrt(30)
    known = [(Estimate(30, ours, ours - half, ours + half), theirs) for ours, theirs in means]
    assert np.mean([one.agrees(value, 0) for one, value in known]) == pytest.approx(5 / 6, abs=0.01)
    within = [one.beside(30).agrees(value, 0) for one, value in known]
    assert np.mean(within) == pytest.approx(0.95, abs=0.005)
    few = Estimate(10, 0.2, 0.1, 0.3).beside(30)
    assert (few.n, few.mean) == (10, 0.2)
    assert (few.low, few.high) == pytest.approx(
        (0.2 - 0.1 * (4 / 3) ** 0.5, 0.2 + 0.1 * (4 / 3) ** 0.5)
    )


def test_what_rounds_to_nothing_has_no_sign() -> None:
    assert _mean_text(Estimate(5, -2e-5, -4e-5, 1e-4)) == "0.000 [0.000, 0.000]"
    assert _mean_text(Estimate(1, -2e-5, math.nan, math.nan)) == "0.000"
