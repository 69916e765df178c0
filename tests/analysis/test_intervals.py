from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from aes_lipi.analysis.intervals import median_interval, median_ranks, spread
from aes_lipi.errors import UserError


@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_ranks_are_those_of_all_resamples(n: int) -> None:
    resamples = [sorted(drawn) for drawn in itertools.product(range(n), repeat=n)]
    counted = Counter((drawn[(n - 1) // 2], drawn[n // 2]) for drawn in resamples)
    lower, upper, probability = median_ranks(n)
    pairs = zip(lower.tolist(), upper.tolist(), strict=True)
    found = dict(zip(pairs, probability, strict=True))
    assert found.keys() == counted.keys()
    for ranks, count in counted.items():
        assert found[ranks] == pytest.approx(count / n**n, abs=1e-12)


def test_ranks_of_many_values_lie_around_the_middle() -> None:
    lower, upper, probability = median_ranks(5000)
    assert probability.sum() == pytest.approx(1)
    assert (probability * (lower + upper) / 2).sum() == pytest.approx(2499.5)
    middle = (probability * ((lower + upper) / 2 - 2499.5) ** 2).sum() ** 0.5
    assert middle == pytest.approx(5000**0.5 / 2, rel=0.02)  # of the binomial distribution


def test_it_is_the_interval_that_resampling_gives() -> None:
    rng = np.random.default_rng(1)
    values = np.sort(rng.exponential(size=30))
    medians = np.median(rng.choice(values, (20_000, 30)), axis=1)
    np.testing.assert_allclose(
        median_interval(values[:, np.newaxis], 0.95)[:, 0],
        np.quantile(medians, [0.025, 0.975]),
        atol=0.02,
    )


@pytest.mark.parametrize("n", [10, 25])
def test_it_covers_the_median_as_often_as_it_says(n: int) -> None:
    values = np.sort(np.random.default_rng(n).exponential(size=(n, 4000)), axis=0)
    low, high = median_interval(values, 0.95)
    assert 0.92 < ((low <= np.log(2)) & (np.log(2) <= high)).mean() < 0.97


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
