from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aes_lipi.analysis.comparisons import _letter_display


def matrix(n: int, pairs: list[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    different = np.zeros((n, n), dtype=bool)
    for i, j in pairs:
        different[i, j] = different[j, i] = True
    return different


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
