from __future__ import annotations

import math

import numpy as np
import pytest
from made_up import sample

from aes_lipi.analysis.hypotheses import least_p
from aes_lipi.reproduction.pairs import JudgedPair, compared


def judged(a: object, b: object, seed: int | None = 1, smallest: float = 0.002) -> JudgedPair:
    [found] = compared([(sample("a", a, seed), sample("b", b, seed))], smallest)
    return found


def relation(a: object, b: object, seed: int | None = 1, smallest: float = 0.002) -> str:
    return judged(a, b, seed, smallest).relation


@pytest.mark.parametrize("n", [1, 4, 6, 30])
def test_no_pairs_of_samples_are_further_apart_than_those_without_overlap(n: int) -> None:
    assert least_p("wilcoxon", n, n) == pytest.approx(2 * 0.5**n)
    if n <= 8:
        assert least_p("mann_whitney", n, n) == pytest.approx(2 / math.comb(2 * n, n))
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=n), rng.normal(3, 1, size=n)
    for seed, test in ((1, "wilcoxon"), (None, "mann_whitney")):
        pair = judged(a, b, seed, 0)
        assert pair.found.test == test
        assert pair.found.p >= pair.found.p_least * (1 - 1e-9)


def test_nothing_to_test_has_no_p() -> None:
    assert math.isnan(least_p("none", 0, 3))


def test_what_a_pair_is_shown_to_be() -> None:
    a = np.random.default_rng(3).normal(0.1, 0.01, 12)
    further = np.arange(12) / 1e5
    both_ways = np.arange(12) - 5.5
    assert relation(a, a + 0.02 + further) == "lower"
    assert relation(a + 0.02 + further, a) == "greater"
    assert relation(a, a + 0.001 + further) == "alike"
    assert relation(a, a + 0.001 + further, smallest=0) == "lower"
    assert relation(a, a + both_ways / 500) == "not told apart"
    paired = judged(a, a + 0.004 + both_ways / 1e5)
    assert paired.difference == pytest.approx(-0.004, abs=1e-4)  # of the pairs, not of the medians
    skewed = np.concatenate([np.full(16, 0.0005), np.full(14, -0.1)]) - np.arange(30) / 1e6
    assert judged(skewed, np.zeros(30)).difference == pytest.approx(-0.05, abs=1e-3)
    assert relation(skewed, np.zeros(30)) == "lower"  # though most differences are above zero
    assert relation(a[:5], a[:5] + 0.02 + further[:5]) == "too few trials"
    assert relation(a, []) == relation([], a) == relation([], []) == "not run"
    assert relation(a, a + 0.5, seed=None) == "lower"
    assert relation(np.full(12, 0.5), np.full(12, 0.5)) == "not told apart"


def test_a_family_needs_more_trials_than_a_pair() -> None:
    a = np.linspace(0.09, 0.11, 7)
    samples = [sample(name, a * (i + 1), 1) for i, name in enumerate("abcdef")]
    alone = compared([(samples[0], samples[1])], 0)
    family = compared([(samples[0], other) for other in samples[1:]], 0)
    assert [pair.relation for pair in alone] == ["lower"]
    assert [pair.relation for pair in family] == ["too few trials"] * 5
    assert [pair.found.p_least for pair in family] == pytest.approx([5 * 2 / 2**7] * 5)


def test_an_empty_family_has_no_pairs() -> None:
    assert compared([], 0.002) == ()
