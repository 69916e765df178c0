"""The compact letter display: what differs has no letter in common."""

from __future__ import annotations

import string
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_ALPHABET = string.ascii_lowercase + string.ascii_uppercase


def letter_display(different: npt.NDArray[np.bool_]) -> list[str]:
    """Letters such that two things share one exactly if they do not differ.

    Insert and absorb of Piepho, "An algorithm for a letter-based representation of all-pairwise
    comparisons", Journal of Computational and Graphical Statistics 13, 2004.

    Args:
        different: bool, symmetric, shape (things, things): whether two are shown to differ.

    Returns:
        of each thing its letters in the order of the alphabet; `a` belongs to the first thing.
    """
    n = len(different)
    groups = [frozenset(range(n))] if n else []
    for i, j in zip(*np.nonzero(np.triu(different, 1)), strict=True):
        groups = _absorbed(_inserted(groups, int(i), int(j)))
    ordered = sorted(groups, key=sorted)
    return [
        "".join(_letter(place) for place, group in enumerate(ordered) if i in group)
        for i in range(n)
    ]


def _inserted(groups: Sequence[frozenset[int]], i: int, j: int) -> list[frozenset[int]]:
    """The groups, those that hold both of two things split into one without each."""
    found: list[frozenset[int]] = []
    for group in groups:
        found += [group - {i}, group - {j}] if {i, j} <= group else [group]
    return found


def _absorbed(groups: Sequence[frozenset[int]]) -> list[frozenset[int]]:
    """The groups without those that another contains."""
    distinct = list(dict.fromkeys(groups))
    return [group for group in distinct if not any(group < other for other in distinct)]


def _letter(place: int) -> str:
    """The letter of a place: a to z, A to Z, then a2, b2 and so on."""
    lap, place = divmod(place, len(_ALPHABET))
    return _ALPHABET[place] + (str(lap + 1) if lap else "")
