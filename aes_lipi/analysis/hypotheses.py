"""The tests of one pair of samples, the correction for a family, and the letters that show it."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float64


@dataclass(frozen=True)
class PairTest:
    """What a test says.

    Attributes:
        name: `mann_whitney`, `wilcoxon`, or `none` where there was nothing to test.
        statistic: U of the first sample, or the sum of the ranks of positive differences; NaN
            where there was nothing to test.
        p: two-sided; NaN where there was nothing to test.
        direction: 1 if the first sample's values are the greater ones, -1 if they are the lower
            ones, 0 if neither.
    """

    name: str
    statistic: float
    p: float
    direction: int


_UNTESTED = PairTest("none", float("nan"), float("nan"), 0)


def mann_whitney(a: Float64, b: Float64) -> PairTest:
    """Mann-Whitney U test of two independent samples (Annals of Mathematical Statistics 18, 1947).

    Exact where a sample has at most 8 values and there are no ties, else asymptotic with the
    corrections for ties and continuity.

    Args:
        a: shape (n,), finite.
        b: shape (m,), finite.
    """
    from scipy.stats import mannwhitneyu  # noqa: PLC0415 - slow to import

    if not len(a) or not len(b):
        return _UNTESTED
    expected = len(a) * len(b) / 2
    if np.ptp(np.concatenate([a, b])) == 0:
        return PairTest("mann_whitney", expected, 1.0, 0)
    found = mannwhitneyu(a, b, alternative="two-sided", method="auto")
    statistic = float(found.statistic)
    return PairTest("mann_whitney", statistic, float(found.pvalue), _sign(statistic - expected))


def wilcoxon_signed_rank(a: Float64, b: Float64) -> PairTest:
    """Wilcoxon's signed-rank test of two paired samples (Biometrics Bulletin 1, 1945).

    Differences of zero are left out, as Wilcoxon did; if all are, p is 1. Exact where there are
    few differences without ties or zeros, else as `scipy.stats.wilcoxon` has it.

    Args:
        a: shape (n,), finite.
        b: shape (n,), finite; values of the same place belong together.
    """
    from scipy.stats import rankdata, wilcoxon  # noqa: PLC0415 - slow to import

    if not len(a):
        return _UNTESTED
    differences = a - b
    nonzero = differences[differences != 0]
    if not len(nonzero):
        return PairTest("wilcoxon", 0.0, 1.0, 0)
    ranks = rankdata(np.abs(nonzero))
    positive = float(ranks[nonzero > 0].sum())
    found = wilcoxon(nonzero, alternative="two-sided", method="auto")
    return PairTest("wilcoxon", positive, float(found.pvalue), _sign(positive - ranks.sum() / 2))


@lru_cache(maxsize=256)
def least_p(test: str, n_a: int, n_b: int) -> float:
    """The p-value of samples that do not overlap: no others of their sizes have a smaller one.

    Args:
        test: its name in the table of comparisons.
        n_a: values of the one.
        n_b: values of the other; the same number if the test is paired.

    Returns:
        NaN where there is nothing to test.
    """
    if test == "wilcoxon":
        return wilcoxon_signed_rank(np.arange(1.0, n_a + 1), np.zeros(n_a)).p
    return mann_whitney(np.arange(float(n_a)), n_a + np.arange(float(n_b))).p


def holm(p: Float64) -> Float64:
    """Adjust a family's p-values (Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
        p: shape (n,); what is NaN was not tested and is no member of the family.

    Returns:
        shape (n,), NaN where p is.
    """
    from statsmodels.stats.multitest import multipletests  # noqa: PLC0415 - slow to import

    adjusted = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method="holm")[1]
    return adjusted


def _sign(value: float) -> int:
    return int(np.sign(value))


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
