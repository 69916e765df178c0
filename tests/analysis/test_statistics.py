from __future__ import annotations

import itertools
from collections.abc import Callable
from math import erf

import numpy as np
import pytest

from aes_lipi.analysis.statistics import (
    _a12,
    _by_order,
    _by_products,
    bootstrap_interval,
    effects_of,
)
from aes_lipi.analysis.statistics import _magnitude as magnitude
from aes_lipi.analysis.tables import _spread as spread
from aes_lipi.arrays import Float64
from aes_lipi.errors import UserError


def pairs(rng: np.random.Generator, correlation: float) -> Float64:
    """Two normal samples of 30 whose means are 0.8 apart, shape (2, 30)."""
    common, a, b = rng.normal(size=(3, 30))
    own, shared = np.sqrt(1 - correlation), np.sqrt(correlation)
    return np.stack([shared * common + own * a + 0.8, shared * common + own * b])


def a12_interval(
    a: Float64, b: Float64, *, paired: bool, resamples: int = 2000, seed: int = 1
) -> tuple[float, float]:
    found = effects_of(a[np.newaxis], b[np.newaxis], paired=paired, resamples=resamples, seed=seed)
    return float(found.low[0]), float(found.high[0])


def a12(a: Float64, b: Float64) -> float:
    return float(_a12(a[np.newaxis], b[np.newaxis])[0])


def mean_of(values: Float64) -> tuple[float, float]:
    low, high = bootstrap_interval(lambda drawn: drawn @ values / len(values), len(values))
    return float(low), float(high)


def median_of(values: Float64) -> tuple[float, float]:
    found = spread(values[:, np.newaxis])
    return float(found.low[0]), float(found.high[0])


APART = 0.5 * (1 + erf(0.4))  # A12 of two normal distributions, 0.8 apart
CASES: dict[str, tuple[float, Callable[[np.random.Generator], tuple[float, float]]]] = {
    "mean": (0.0, lambda rng: mean_of(rng.normal(size=30))),
    "median of 10": (np.log(2), lambda rng: median_of(rng.exponential(size=10))),
    "median of 25": (np.log(2), lambda rng: median_of(rng.exponential(size=25))),
    "A12": (APART, lambda rng: a12_interval(*pairs(rng, 0), paired=False, resamples=500)),
    "A12, pairs": (APART, lambda rng: a12_interval(*pairs(rng, 0.9), paired=True, resamples=500)),
    "A12, nearly the same pairs": (
        APART,
        lambda rng: a12_interval(*pairs(rng, 0.99), paired=True),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_intervals_cover_what_is_true_about_as_often_as_they_say(case: str) -> None:
    (true, interval), rng = CASES[case], np.random.default_rng(3)
    ends = np.array([interval(rng) for _ in range(300)])
    assert 0.9 <= ((ends[:, 0] <= true) & (true <= ends[:, 1])).mean() <= 0.985


def test_the_interval_is_that_of_all_resamples_that_there_are() -> None:
    values = np.array([0.0, 1.0, 5.0, 6.0])
    every = np.array(list(itertools.product(values, repeat=4)))
    low, high = bootstrap_interval(lambda drawn: drawn @ values / 4, 4, resamples=20_000)
    assert (low, high) == pytest.approx(np.quantile(every.mean(axis=1), [0.025, 0.975]), abs=0.1)
    found = spread(np.stack([values, values * 2], axis=1))
    expected = np.quantile(np.median(every, axis=1), [0.025, 0.975])
    assert (found.low[0], found.high[0]) == pytest.approx(expected)
    assert (found.low[1], found.high[1]) == pytest.approx(expected * 2)


def test_blocks_and_statistics_of_many_columns_do_not_matter() -> None:
    values = np.random.default_rng(5).normal(size=(3000, 2))
    both = bootstrap_interval(lambda drawn: (drawn @ values / 3000).T, 3000, level=0.9)
    assert both.shape == (2, 2)
    alone = bootstrap_interval(lambda drawn: drawn @ values[:, 1] / 3000, 3000, level=0.9)
    np.testing.assert_allclose(both[:, 1], alone)
    half = 1.645 / 3000**0.5
    np.testing.assert_allclose(alone, values[:, 1].mean() + np.array([-half, half]), atol=half / 10)


def test_what_is_not_finite_is_not_measured() -> None:
    values = np.array([[1.0, np.nan, 1.0], [np.nan, np.nan, 2.0], [3.0, np.inf, 4.0]])
    found = spread(values)
    assert found.n.tolist() == [2, 0, 3]
    np.testing.assert_array_equal(found.median, [2, np.nan, 2])
    np.testing.assert_array_equal(found.q1, [1.5, np.nan, 1.5])
    np.testing.assert_array_equal(found.q3, [2.5, np.nan, 3])
    np.testing.assert_array_equal(found.low, [1, np.nan, 1])
    np.testing.assert_array_equal(found.high, [3, np.nan, 4])


def test_one_value_has_no_interval_and_ties_have_an_empty_one() -> None:
    one, tied = spread(np.array([[5.0]])), spread(np.full((9, 1), 5.0))
    assert one.median[0] == 5
    assert np.isnan(one.low[0])
    assert (tied.low[0], tied.median[0], tied.high[0]) == (5, 5, 5)


@pytest.mark.parametrize("level", [0, 1, 95, float("nan")])
def test_a_level_is_a_share(level: float) -> None:
    with pytest.raises(UserError, match="level: must lie between 0 and 1"):
        spread(np.ones((3, 1)), level)


def test_worked_by_hand() -> None:
    # Of the six pairs, 2 > 1 and both of 3 win; 1 and 2 tie once each.
    assert a12(np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0])) == pytest.approx(4 / 6)
    assert a12(np.array([1.0, 2.0]), np.array([3.0])) == 0
    assert a12(np.full(4, 2.0), np.full(3, 2.0)) == 0.5
    assert np.isnan(a12(np.empty(0), np.ones(3)))


def test_resamples_are_counted_as_if_they_were_drawn() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(6, size=12).astype(float), rng.integers(6, size=12).astype(float)
    drawn = [a12(a[rng.integers(12, size=12)], b[rng.integers(12, size=12)]) for _ in range(4000)]
    np.testing.assert_allclose(
        a12_interval(a, b, paired=False, resamples=4000),
        np.quantile(drawn, [0.025, 0.975]),
        atol=0.02,
    )


def test_pairs_are_drawn_whole_and_meet_themselves_once() -> None:
    rng = np.random.default_rng(2)
    a = rng.normal(size=12)
    b = a + rng.normal(0.2, 0.3, size=12)
    wins = (1 + np.sign(a[:, None] - b)) / 2
    found = []
    for _ in range(4000):
        i = rng.integers(12, size=12)
        apart = i[:, None] != i
        found.append(11 / 12 * wins[np.ix_(i, i)][apart].mean() + wins[i, i].mean() / 12)
    np.testing.assert_allclose(
        a12_interval(a, b, paired=True, resamples=4000),
        np.quantile(found, [0.025, 0.975]),
        atol=0.02,
    )
    assert a12_interval(a + 1e-9, a, paired=True) == pytest.approx([13 / 24] * 2)
    assert np.isfinite(a12_interval(a[:2], b[:2], paired=True)).all()


def test_the_same_seed_gives_the_same_interval() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=20), rng.normal(size=15)
    first = a12_interval(a, b, paired=False, seed=1)
    assert a12_interval(a, b, paired=False, seed=1) == first
    assert a12_interval(a, b, paired=False, seed=2) != first


def test_samples_that_do_not_overlap_and_single_values() -> None:
    assert a12_interval(np.arange(5.0), np.arange(5.0) + 9, paired=False) == (0, 0)
    assert np.isnan(a12_interval(np.ones(1), np.ones(5), paired=False)).all()


def test_the_published_names_of_effects() -> None:
    effects = (0.5, 0.55, 0.56, 0.64, 0.71, 0.29, 0.36, 0.44, 0.45, 1, np.nan)
    assert [magnitude(effect) for effect in effects] == [
        *("negligible", "negligible", "small", "medium", "large"),
        *("large", "medium", "small", "negligible", "large", ""),
    ]


@pytest.mark.parametrize("paired", [False, True])
def test_many_pairs_have_the_intervals_that_each_has_alone(paired: bool) -> None:
    rng = np.random.default_rng(7)
    a, b = rng.integers(9, size=(2, 40, 12)).astype(np.float64)
    found = effects_of(a, b, paired=paired, resamples=60)
    for k in range(40):
        interval = a12_interval(a[k], b[k], paired=paired, resamples=60)
        assert (found.low[k], found.high[k]) == interval
        assert found.a12[k] == a12(a[k], b[k])


def test_both_ways_to_sum_comparisons_have_the_same_bits() -> None:
    rng = np.random.default_rng(7)
    a, b = rng.integers(9, size=(5, 12)).astype(float), rng.integers(9, size=(5, 8)).astype(float)
    drawn = rng.integers(3, size=(20, 12)), rng.integers(3, size=(20, 8))
    np.testing.assert_array_equal(_by_products(a, b, *drawn), _by_order(a, b, *drawn))
