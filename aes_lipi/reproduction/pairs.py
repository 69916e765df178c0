"""The comparisons of one declared family, and what each of them shows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from aes_lipi.analysis import comparisons
from aes_lipi.analysis.comparisons import compare
from aes_lipi.analysis.hypotheses import holm, least_p
from aes_lipi.analysis.samples import Sample

ALPHA = 0.05

Relation = Literal["lower", "greater", "alike", "not told apart", "too few trials", "not run"]
"""What the first of a pair is shown to be.

`alike` are values whose difference is significant, but less than what counts as one.
"""

COLUMNS = (*comparisons.COLUMNS, "difference", "p_least", "relation")

Row = Mapping[Hashable, Any]
"""A comparison, by column."""

_MOST_TRIALS = 100


def compared(pairs: Sequence[tuple[Sample, Sample]], smallest: float) -> pd.DataFrame:
    """Compare the pairs of a family.

    Args:
        pairs: the family; trials of the same number and seed belong together.
        smallest: the smallest difference that counts as one.

    Returns:
        a row per pair, with the columns of `Comparisons.table` and: `difference`, a's less b's, the
        median over pairs of trials (over all pairs of values if the test is unpaired: Hodges and
        Lehmann, Annals of Mathematical Statistics 34, 1963); `p_least`, the adjusted p-value that
        there would be if no values of any pair overlapped; and `relation`, see `Relation`.
    """
    samples = {sample.variant: sample for pair in pairs for sample in pair}
    family = [(a.variant, b.variant) for a, b in pairs]
    table = compare(list(samples.values()), pairs=family, alpha=ALPHA).table
    tested = table[["test", "n_a", "n_b"]].itertuples(index=False)
    table["difference"] = [
        _difference(a, b, test) for (a, b), test in zip(pairs, table["test"], strict=True)
    ]
    table["p_least"] = holm(np.array([least_p(*each) for each in tested], dtype=np.float64))
    table["relation"] = [_relation(row, smallest) for row in rows_of(table)]
    return table


def no_pairs() -> pd.DataFrame:
    """The table of a family of which nothing is to be run."""
    return pd.DataFrame(columns=list(COLUMNS))


def rows_of(table: pd.DataFrame) -> list[Row]:
    """The comparisons of a table."""
    return [*table.to_dict("records")]


def trials_needed(test: str, n_pairs: int) -> int:
    """The fewest trials of each variant with which all pairs of a family can be shown to differ."""
    enough = (n for n in range(1, _MOST_TRIALS) if least_p(test, n, n) * n_pairs <= ALPHA)
    return next(enough, _MOST_TRIALS)


def _difference(a: Sample, b: Sample, test: str) -> float:
    """The median difference; NaN without values."""
    if test == "wilcoxon":
        both = np.intersect1d(a.trials, b.trials)
        return float(np.median(a.of_trials(both) - b.of_trials(both)))
    differences = a.values[:, np.newaxis] - b.values
    return float(np.median(differences)) if differences.size else float("nan")


def _relation(row: Row, smallest: float) -> Relation:
    if not row["n_a"] or not row["n_b"]:
        return "not run"
    if row["verdict"] == "lower":
        return "lower" if row["difference"] <= -smallest else "alike"
    if row["verdict"] == "greater":
        return "greater" if row["difference"] >= smallest else "alike"
    return "too few trials" if row["p_least"] > ALPHA else "not told apart"
