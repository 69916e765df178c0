from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import PermutationMethod, mannwhitneyu, rankdata, wilcoxon

from aes_lipi.analysis.hypotheses import PairTests, holm, least_p, pair_tests, trials_needed
from aes_lipi.arrays import Float64

NONE = np.empty(0)


def pair_test(a: Float64, b: Float64, *, paired: bool) -> PairTests:
    return pair_tests(a[np.newaxis], b[np.newaxis], paired=paired)


def test_exact_p_values_by_hand() -> None:
    low, high = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0])
    unpaired = pair_test(low, high, paired=False)
    assert (unpaired.statistic[0], unpaired.direction[0]) == (0, -1)
    assert unpaired.p == pytest.approx(2 / 20)  # of the 20 ways to choose three ranks of six
    paired = pair_test(np.array([4.0, 6.0, 8.0, 11.0]), np.array([3.0, 4.0, 5.0, 7.0]), paired=True)
    assert (paired.statistic[0], paired.direction[0]) == (10, 1)
    assert paired.p == pytest.approx(2 / 2**4)


def test_ties_are_exact_where_all_ways_to_divide_them_can_be_counted() -> None:
    for n in (3, 4):
        found = pair_test(np.ones(n), np.full(n, 0.5), paired=False)
        assert found.p[0] == pytest.approx(least_p("mann_whitney", n, n))
    rng = np.random.default_rng(4)
    a, b = rng.integers(4, size=(40, 5)).astype(float), rng.integers(4, size=(40, 7)).astype(float)
    ways = PermutationMethod(n_resamples=2**14)
    expected = [mannwhitneyu(*each, method=ways).pvalue for each in zip(a, b, strict=True)]
    np.testing.assert_allclose(pair_tests(a, b, paired=False).p, expected, rtol=1e-12)
    a, b = rng.integers(30, size=(2, 9, 20)).astype(float)
    expected = mannwhitneyu(a, b, axis=1, method="asymptotic").pvalue
    np.testing.assert_allclose(pair_tests(a, b, paired=False).p, expected, atol=0.01)


def test_nothing_to_test() -> None:
    for found in (pair_test(NONE, np.ones(3), paired=False), pair_test(NONE, NONE, paired=True)):
        assert (found.name, found.direction[0]) == ("none", 0)
        assert np.isnan([found.p[0], found.statistic[0]]).all()


@pytest.mark.parametrize("n", [1, 2, 9, 60])
def test_ties_everywhere_show_nothing(n: int) -> None:
    same = np.full(n, 0.5)
    for test in (pair_test(same, same, paired=False), pair_test(same, same, paired=True)):
        assert (test.p[0], test.direction[0]) == (1, 0)


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


@pytest.mark.parametrize("sizes", [(3, 3), (5, 9), (12, 12), (20, 20), (60, 60)])
@pytest.mark.parametrize("kinds", [2, 6, 10**9])
def test_many_pairs_have_the_bits_that_each_has_alone(sizes: tuple[int, int], kinds: int) -> None:
    rng = np.random.default_rng([*sizes, kinds])
    a, b = (rng.integers(kinds, size=(12, n)).astype(np.float64) for n in sizes)
    b[:2] = a[:2, :1]
    for paired in (False, True)[: 1 + (sizes[0] == sizes[1])]:
        found = pair_tests(a, b, paired=paired)
        for k in range(12):
            alone = pair_test(a[k], b[k], paired=paired)
            assert (found.statistic[k], found.p[k]) == (alone.statistic[0], alone.p[0])
            if paired or len({*a[k], *b[k]}) == sum(sizes) or sum(sizes) > 40:
                assert (found.statistic[k], found.p[k]) == by_scipy(a[k], b[k], paired)


def by_scipy(a: Float64, b: Float64, paired: bool) -> tuple[float, float]:
    """One pair, by scipy's own choice of the way."""
    if not paired:
        constant = len(np.unique([*a, *b])) == 1
        found = mannwhitneyu(a, b, alternative="two-sided", method="auto")
        return (len(a) * len(b) / 2, 1) if constant else (found.statistic, found.pvalue)
    left = (a - b)[a != b]
    if not len(left):
        return 0, 1
    positive = rankdata(np.abs(left))[left > 0].sum()
    return float(positive), wilcoxon(left, alternative="two-sided", method="auto").pvalue


@pytest.mark.parametrize(
    ("test", "n_pairs", "alpha", "needed"),
    [
        *(("wilcoxon", 1, 0.05, 6), ("wilcoxon", 5, 0.05, 8), ("wilcoxon", 28, 0.05, 11)),
        *(("wilcoxon", 1, 0.01, 8), ("mann_whitney", 1, 0.05, 4), ("mann_whitney", 28, 0.05, 7)),
    ],
)
def test_how_many_trials_a_family_needs(test: str, n_pairs: int, alpha: float, needed: int) -> None:
    assert trials_needed(test, n_pairs, alpha) == needed
    assert least_p(test, needed, needed) * n_pairs <= alpha
    assert least_p(test, needed - 1, needed - 1) * n_pairs > alpha
