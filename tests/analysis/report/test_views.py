"""What a page says of numbers and tests."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import sample

from aes_lipi.analysis.comparisons import compare
from aes_lipi.analysis.report.views import _interval_text, _p_value, _told_apart, family, number


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.12345, "0.123"),
        (0.05, "0.050"),
        (0.00042, "0.00042"),
        (0.0, "0.000"),
        (234.56, "234.6"),
        (61670.0, "61\N{THIN SPACE}670"),
        (float("nan"), "–"),
    ],
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


def test_two_numbers_that_differ_look_different() -> None:
    assert _told_apart(0.499995, 0.499998) == ("0.499995", "0.499998")
    assert _told_apart(0.1, 0.2) == ("0.100", "0.200")
    assert _told_apart(0.5, 0.5) == ("0.500", "0.500")


def test_p_values_and_intervals() -> None:
    assert [_p_value(p) for p in (0.0004, 0.0451, float("nan"))] == ["< 0.001", "0.045", "–"]
    assert _interval_text(float("nan"), float("nan")) == "–"


def test_a_family_is_shown_from_both_sides() -> None:
    rng = np.random.default_rng(1)
    low, high = rng.normal(0, 1, 20), rng.normal(9, 1, 20)
    shown = family("losses", compare([sample("a", low), sample("b", high), sample("c", low)]))
    assert shown.labels == ("a", "b", "c")
    assert shown.letters == ("a", "b", "a")
    assert shown.matrix[0][0] is None
    below, above = shown.matrix[0][1], shown.matrix[1][0]
    assert below is not None
    assert above is not None
    assert (below.text, below.shown) == ("0.00", "lower")
    assert (above.text, above.shown) == ("1.00", "greater")
    assert "Mann-Whitney U" in below.detail
    assert "2 differences shown at 0.05" in shown.summary
    assert len(shown.pairs.rows) == 3


def test_too_few_trials_are_said() -> None:
    shown = family("losses", compare([sample("a", [1.0, 2.0], 1), sample("b", [8.0, 9.0], 1)]))
    assert "with so few trials nothing can be shown" in shown.summary
    alone = family("losses", compare([sample("a", [1.0, 2.0])]))
    assert alone.summary == "There is nothing to compare."
