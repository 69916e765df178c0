from __future__ import annotations

from math import erf

import numpy as np
import pytest

from aes_lipi.analysis.effects import a12, a12_interval, magnitude


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


@pytest.mark.parametrize("correlation", [0.0, 0.9, 0.99])
def test_the_interval_of_pairs_covers_the_effect(correlation: float) -> None:
    rng = np.random.default_rng(3)
    own, shared = np.sqrt(1 - correlation), np.sqrt(correlation)
    true = 0.5 * (1 + erf(0.4))  # of two normal distributions, 0.8 apart
    hits = 0
    for _ in range(300):
        common, a, b = rng.normal(size=(3, 30))
        a, b = shared * common + own * a + 0.8, shared * common + own * b
        low, high = a12_interval(a, b, paired=True, resamples=500)
        hits += low <= true <= high
    assert 0.9 <= hits / 300 <= 0.985


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_the_interval_covers_the_effect_as_often_as_it_says(shift: float) -> None:
    rng = np.random.default_rng(3)
    true = 0.5 * (1 + erf(shift / 2))  # of two normal distributions
    hits = 0
    for _ in range(300):
        a, b = rng.normal(shift, size=25), rng.normal(size=25)
        low, high = a12_interval(a, b, paired=False, resamples=500)
        hits += low <= true <= high
    assert 0.9 <= hits / 300 <= 0.985


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
