"""Comparisons in words, in terms of their effect sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable

from aes_lipi.reproduction.estimates import Estimate
from aes_lipi.reproduction.pairs import Relation, Row, trials_needed

_SHOWN: dict[Relation, str] = {
    "lower": "shown",
    "greater": "the opposite is shown",
    "alike": "too small a difference to count",
    "not told apart": "not shown",
    "too few trials": "cannot be shown with so few trials",
}


def below(row: Row) -> str:
    """What a pair shows of the claim that its first ends below its second."""
    a, b = row["label_a"], row["label_b"]
    if row["relation"] == "not run":
        return f"{a} below {b}: not run"
    chance = _chance(row)
    details = (
        f"{row['magnitude']} effect, medians {_medians(row)}, median difference "
        f"{row['difference']:.2g}, {p_value(row['p_holm'])}"
    )
    shown = _SHOWN[row["relation"]]
    return f"a trial of {a} ends below one of {b} with probability {chance} ({details}): {shown}"


def lowest(rows: Iterable[Row]) -> str:
    """What the pairs of one series with each of the others show of the claim that it is lowest."""
    groups: dict[str, list[str]] = {}
    label = ""
    for row in rows:
        label = row["label_a"]
        shown = f"{row['label_b']} ({_chance(row)})"
        groups.setdefault(row["relation"], []).append(shown)
    heads = {
        "lower": "ends below",
        "not told apart": "is not told apart from",
        "alike": "differs too little to count from",
        "greater": "ends above",
        "too few trials": "has too few trials to be told apart from",
    }
    parts = [f"{head} {', '.join(groups[key])}" for key, head in heads.items() if key in groups]
    return (
        f"{label} {'; '.join(parts)} (in brackets the probability that a trial of {label} ends "
        "below one of the other, with its interval)"
    )


def relative(row: Row, other: str) -> str:
    """Where the first of a pair ends relative to the second."""
    heads: dict[Relation, str] = {
        "lower": f"below {other}",
        "greater": f"above {other}",
        "alike": f"as {other}, but for less than counts as a difference",
        "not told apart": f"not told apart from {other}",
    }
    details = f"A12 {_number(row['a12'])}, {row['magnitude']}, {p_value(row['p_holm'])}"
    return f"{heads[row['relation']]} ({details})"


def too_few(rows: Iterable[Row], n_pairs: int) -> str:
    """Why nothing can be shown, and what would do.

    Args:
        rows: comparisons, some of them with too few trials.
        n_pairs: comparisons of the whole family.
    """
    scarce = [row for row in rows if row["relation"] == "too few trials"]
    first = min(scarce, key=lambda row: min(row["n_a"], row["n_b"]))
    n = min(first["n_a"], first["n_b"])
    needed = trials_needed(first["test"], n_pairs)
    trials = f"{n} trial" if n == 1 else f"{n} trials"
    return (
        f"{trials} of a variant cannot show it: even without any overlap the adjusted p would be "
        f"{first['p_least']:.2g}; {needed} would do"
    )


def capital(text: str) -> str:
    """Text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def p_value(p: float) -> str:
    """An adjusted p-value."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def loss(estimate: Estimate) -> str:
    """A mean loss."""
    return f"{estimate.mean:.3f}"


def _chance(row: Row) -> str:
    """The probability that a value of a is below one of b, ties counting half, and its interval."""
    chance = _number(1 - row["a12"])
    if math.isnan(row["a12_low"]):
        return chance
    return f"{chance} [{_number(1 - row['a12_high'])}, {_number(1 - row['a12_low'])}]"


def _medians(row: Row) -> str:
    """Both medians, in as many digits as tell them apart."""
    a, b = row["median_a"], row["median_b"]
    digits = next((n for n in range(3, 7) if round(a, n) != round(b, n)), 3)
    return f"{a:.{digits}f} and {b:.{digits}f}"


def _number(value: float) -> str:
    return f"{value:.2f}"
