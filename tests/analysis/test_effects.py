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


@pytest.mark.parametrize("paired", [False, True])
def test_resamples_are_counted_as_if_they_were_drawn(paired: bool) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(6, size=12).astype(float), rng.integers(6, size=12).astype(float)
    drawn = []
    for _ in range(4000):
        i = rng.integers(12, size=12)
        drawn.append(a12(a[i], b[i if paired else rng.integers(12, size=12)]))
    np.testing.assert_allclose(
        a12_interval(a, b, paired=paired, resamples=4000),
        np.quantile(drawn, [0.025, 0.975]),
        atol=0.02,
    )


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
