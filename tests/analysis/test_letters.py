from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.analysis.comparisons import MOST_LETTERS, compare
from aes_lipi.analysis.comparisons import _letter_display as letter_display
from aes_lipi.analysis.tables import Sample
from aes_lipi.errors import UserError


def matrix(n: int, pairs: list[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    different = np.zeros((n, n), dtype=bool)
    for i, j in pairs:
        different[i, j] = different[j, i] = True
    return different


def _letter_display(different: npt.NDArray[np.bool_]) -> list[str]:
    found = letter_display(different)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("n", "pairs", "letters"),
    [
        (0, [], []),
        (1, [], ["a"]),
        (3, [], ["a", "a", "a"]),
        (2, [(0, 1)], ["a", "b"]),
        (3, [(0, 2)], ["a", "ab", "b"]),
        (3, [(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
        (4, [(0, 2), (0, 3), (1, 3)], ["a", "ab", "bc", "c"]),
        # No order on a line has these, so a thing in the middle may be without a shared letter.
        (4, [(0, 1), (2, 3)], ["ab", "cd", "ac", "bd"]),
        (4, [(0, 1), (1, 2), (1, 3)], ["a", "b", "a", "a"]),
    ],
)
def test_worked_by_hand(n: int, pairs: list[tuple[int, int]], letters: list[str]) -> None:
    assert _letter_display(matrix(n, pairs)) == letters


@given(st.integers(2, 8), st.lists(st.booleans(), min_size=28, max_size=28))
@settings(max_examples=60, deadline=None)
def test_two_share_a_letter_exactly_if_they_do_not_differ(n: int, differ: list[bool]) -> None:
    pairs = list(itertools.compress(itertools.combinations(range(n), 2), differ))
    letters = _letter_display(matrix(n, pairs))
    for i, j in itertools.combinations(range(n), 2):
        assert set(letters[i]).isdisjoint(letters[j]) == ((i, j) in pairs)


def test_more_letters_than_the_alphabet_has() -> None:
    letters = _letter_display(~np.eye(60, dtype=bool))
    assert letters[26] == "A"
    assert letters[52] == "a2"
    assert len(set(letters)) == 60


def test_groups_without_number_have_no_letters() -> None:
    """Of ten independent pairs that differ, each group has one of each pair: 1,024."""
    pairs = [(2 * k, 2 * k + 1) for k in range(10)]
    assert 2 ** len(pairs) > MOST_LETTERS
    assert letter_display(matrix(20, pairs)) is None
    assert len(set("".join(_letter_display(matrix(20, pairs[:3]))))) == 8


def test_a_study_of_many_differences_says_that_letters_are_too_many() -> None:
    rng = np.random.default_rng(1)
    values = 0.04 * np.arange(120)[:, np.newaxis] + rng.normal(size=(120, 20))
    samples = [Sample(f"v{k}", f"v{k}", row, np.arange(20), 1) for k, row in enumerate(values)]
    found = compare(samples, resamples=1)
    assert found.can_show
    assert found.telling_letters is None
    with pytest.raises(UserError, match="more than 400 letters; look at the table"):
        found.letters()
