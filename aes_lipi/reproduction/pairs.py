"""The comparisons of one declared family, and what each of them shows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd

from aes_lipi.analysis import comparisons
from aes_lipi.analysis.comparisons import compare
from aes_lipi.analysis.hypotheses import holm, mann_whitney, wilcoxon_signed_rank
from aes_lipi.analysis.samples import Sample

ALPHA = 0.05

Relation = Literal["lower", "greater", "alike", "not told apart", "too few trials", "not run"]
"""What the first of a pair is shown to be.

`alike` are values whose difference is significant, but smaller than what counts as one.
"""

COLUMNS = (*comparisons.COLUMNS, "difference", "p_least", "relation")

Row = Mapping[Hashable, Any]
"""A comparison, by column."""

_MOST_TRIALS = 100


def compared(pairs: Sequence[tuple[Sample, Sample]], smallest: float) -> pd.DataFrame:
    """Compare the pairs of a family.

    Args:
        pairs: the family; trials of the same number and seed belong together.
        smallest: the smallest difference of medians that counts as one.

    Returns:
        a row per pair, with the columns of `Comparisons.table` and: `difference` of the medians,
        a's less b's; `p_least`, the adjusted p-value that there would be if no values of any pair
        overlapped; and `relation`, see `Relation`.
    """
    samples = {sample.variant: sample for pair in pairs for sample in pair}
    family = [(a.variant, b.variant) for a, b in pairs]
    table = compare(list(samples.values()), pairs=family, alpha=ALPHA).table
    tested = table[["test", "n_a", "n_b"]].itertuples(index=False)
    table["difference"] = table["median_a"] - table["median_b"]
    table["p_least"] = holm(np.array([least_p(*each) for each in tested], dtype=np.float64))
    table["relation"] = [_relation(row, smallest) for row in rows_of(table)]
    return table


def no_pairs() -> pd.DataFrame:
    """The table of a family of which nothing is to be run."""
    return pd.DataFrame(columns=list(COLUMNS))


def rows_of(table: pd.DataFrame) -> list[Row]:
    """The comparisons of a table."""
    return [*table.to_dict("records")]


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


def trials_needed(test: str, n_pairs: int) -> int:
    """The fewest trials of each variant with which all pairs of a family can be shown to differ."""
    enough = (n for n in range(1, _MOST_TRIALS) if least_p(test, n, n) * n_pairs <= ALPHA)
    return next(enough, _MOST_TRIALS)


def _relation(row: Row, smallest: float) -> Relation:
    if not row["n_a"] or not row["n_b"]:
        return "not run"
    if row["verdict"] in ("lower", "greater"):
        lower: Relation = "lower" if row["verdict"] == "lower" else "greater"
        return lower if abs(row["difference"]) >= smallest else "alike"
    return "too few trials" if row["p_least"] > ALPHA else "not told apart"
