"""What a page says of numbers and tests."""

from __future__ import annotations

import numpy as np
import pytest
from made_up import sample

from aes_lipi.analysis.comparisons import compare
from aes_lipi.analysis.report.sources import _shown_value
from aes_lipi.analysis.report.views import (
    _interval_text,
    _p_value,
    _spread_text,
    _told_apart,
    family,
    number,
    standing,
)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.12345, "0.123"),
        (0.05, "0.050"),
        (0.00042, "0.00042"),
        (0.0, "0.000"),
        (234.56, "234.6"),
        (1234.56, "1,234.6"),
        (61670.0, "61,670"),
        (float("nan"), "–"),
    ],
)
def test_numbers(value: float, shown: str) -> None:
    assert number(value) == shown


def test_of_a_long_setting_as_a_graph_is_the_beginning_is_shown() -> None:
    graph = str([[k + 1] for k in range(100)])
    assert _shown_value(graph) == f"{graph[:60]} … ({len(graph)} characters)"
    assert _shown_value("ring") == "ring"


def test_sizes_are_whole_numbers() -> None:
    row = {"n": 5, "median": 2455.0, "q1": 2439.0, "q3": 2463.0}
    assert _spread_text(row, "network_size") == "2,455 [2,439,\N{NO-BREAK SPACE}2,463]"
    assert _spread_text(row, "wall_time_s").startswith("2,455.0 [")


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
    shown = family("losses", compare([sample("a", low), sample("b", high), sample("c", low)]), 3)
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


def test_what_can_be_shown_is_said_of_all_families_at_once() -> None:
    few = compare([sample(name, np.arange(5.0) + 9 * k, 1) for k, name in enumerate("abcdefgh")])
    [line] = standing({"loss": few, "test loss": few})
    assert line.startswith("Loss and test loss: no difference can be shown between these variants.")
    assert "With 5 trials of each, p is 0.062 at the least (Wilcoxon signed-rank" in line
    assert "28 comparisons multiply" in line
    assert "11 trials of each variant would do" in line
    assert "no difference can be shown" in {*family("loss", few, 16).pairs.rows[0]}
    assert set(family("loss", few, 16).letters) == {"–"}
    many = [sample(name, np.arange(20.0) + 99 * k) for k, name in enumerate("ab")]
    found = standing({"loss": compare(many), "size": compare([*many, sample("c", [1.0])])})
    assert found[0] == "Loss: of one pair, 1 is shown to differ."
    assert "of 3 pairs, 1 is shown to differ. Of 2 pairs no difference can be shown" in found[1]
    assert standing({"loss": compare(many[:1])}) == ()


def test_too_few_trials_are_said() -> None:
    shown = family("losses", compare([sample("a", [1.0, 2.0], 1), sample("b", [8.0, 9.0], 1)]), 16)
    assert "No difference can be shown. With 2 trials of each" in shown.summary
    alone = family("losses", compare([sample("a", [1.0, 2.0])]), 16)
    assert alone.summary == "There is nothing to compare."
