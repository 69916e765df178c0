from __future__ import annotations

import numpy as np
import pytest

from aes_lipi.analysis.statistics import _UNTESTED, holm, pair_test

NONE = np.empty(0)


def test_exact_p_values_by_hand() -> None:
    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    unpaired = pair_test(low, high, paired=False)
    assert (unpaired.statistic, unpaired.direction) == (0, -1)
    assert unpaired.p == pytest.approx(2 / 20)  # of the 20 ways to choose three ranks of six
    paired = pair_test(np.array([4.0, 6.0, 8.0, 11.0]), np.array([3.0, 4.0, 5.0, 7.0]), paired=True)
    assert (paired.statistic, paired.direction) == (10, 1)
    assert paired.p == pytest.approx(2 / 2**4)


def test_nothing_to_test() -> None:
    assert pair_test(NONE, np.ones(3), paired=False) == _UNTESTED
    assert pair_test(NONE, NONE, paired=True) == _UNTESTED


@pytest.mark.parametrize("n", [1, 2, 9, 60])
def test_ties_everywhere_show_nothing(n: int) -> None:
    same = np.full(n, 0.5)
    for test in (pair_test(same, same, paired=False), pair_test(same, same, paired=True)):
        assert (test.p, test.direction) == (1, 0)


@pytest.mark.parametrize("n", [2, 5, 20, 60])
def test_some_ties_and_zero_differences(n: int) -> None:
    rng = np.random.default_rng(n)
    a, b = rng.integers(3, size=(2, n)).astype(np.float64)
    assert 0 < pair_test(a, b, paired=False).p <= 1
    assert 0 < pair_test(a, b, paired=True).p <= 1


def test_one_pair_shows_nothing() -> None:
    assert pair_test(np.array([1.0]), np.array([2.0]), paired=False).p == 1
    assert pair_test(np.array([1.0]), np.array([2.0]), paired=True).p == 1


def test_holms_correction_by_hand_without_what_was_not_tested() -> None:
    found = holm(np.array([0.01, np.nan, 0.04, 0.03]))
    np.testing.assert_allclose(found, [0.03, np.nan, 0.06, 0.06])
    assert np.isnan(holm(np.array([np.nan]))).all()
    assert len(holm(NONE)) == 0
