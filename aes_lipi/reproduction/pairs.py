"""The pairs of a claim's or a control's family: compared, and what is shown of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aes_lipi.analysis.comparisons import OUT_OF_REACH, Comparison, compare
from aes_lipi.analysis.hypotheses import trials_needed
from aes_lipi.analysis.tables import Sample

_ALPHA = 0.05

Relation = Literal[
    "lower", "greater", "alike", "comparable", "not told apart", "too few trials", "not run"
]
"""What the first of a pair is shown to be.

`alike` are values whose difference is significant, but less than what counts as one; `comparable`
those of which it is shown to be less. Where that is asked, `lower` and `greater` are by more.
"""

_SHOWN: dict[Relation, str] = {
    "lower": "shown",
    "greater": "the opposite is shown",
    "alike": "too small a difference to count",
    "not told apart": "not shown",
    "too few trials": "cannot be shown with so few trials",
}


@dataclass(frozen=True)
class JudgedPair:
    """A comparison of a family, and what it shows.

    Attributes:
        found: the comparison.
        difference: a's less b's, as the test estimates it (Hodges and Lehmann, Annals of
            Mathematical Statistics 34, 1963): the median of the means of every two differences of
            trials, each with itself, too; of an unpaired test, over all pairs of values. NaN
            without values.
        relation: see `Relation`.
    """

    found: Comparison
    difference: float
    relation: Relation

    def below(self) -> str:
        """What it shows of the claim that the first ends below the second."""
        found = self.found
        if self.relation == "not run":
            return f"{found.label_a} below {found.label_b}: not run"
        details = (
            f"{found.magnitude} effect, medians {_medians(found)}, median difference "
            f"{self.difference:.2g}, {_adjusted(found.p_holm)}"
        )
        return (
            f"a trial of {found.label_a} ends below one of {found.label_b} with probability "
            f"{_chance(found)} ({details}): {_SHOWN[self.relation]}"
        )

    def within(self, margin: float) -> str:
        """What it shows of the claim that the two differ by less than a margin."""
        found = self.found
        if self.relation == "not run":
            return f"{found.label_a} beside {found.label_b}: not run"
        shown: dict[Relation, str] = {
            "comparable": "shown",
            "lower": "it is shown to be lower by more",
            "greater": "it is shown to be greater by more",
        }
        return (
            f"{found.label_a} ends {self.difference:+.2g} from {found.label_b} (median difference; "
            f"medians {_medians(found)}); that it is less than {margin:g} either way: "
            f"{shown.get(self.relation, 'not shown')} (two one-sided tests at 2.5 %, "
            f"{_adjusted(found.p_holm)})"
        )

    def relative(self, other: str) -> str:
        """Where the first ends relative to the second, which is called so."""
        heads: dict[Relation, str] = {
            "lower": f"below {other}",
            "greater": f"above {other}",
            "alike": f"as {other}, but for less than counts as a difference",
            "not told apart": f"not told apart from {other}",
        }
        found = self.found
        details = f"A12 {found.a12:.2f}, {found.magnitude}, {_adjusted(found.p_holm)}"
        return f"{heads[self.relation]} ({details})"


def compared(pairs: Sequence[tuple[Sample, Sample]], smallest: float) -> tuple[JudgedPair, ...]:
    """Compare the pairs of a family.

    Args:
        pairs: the family; trials of the same number and seed belong together.
        smallest: the smallest difference that counts as one.
    """
    samples = {sample.variant: sample for pair in pairs for sample in pair}
    family = [(a.variant, b.variant) for a, b in pairs]
    found = compare(list(samples.values()), pairs=family, alpha=_ALPHA).pairs()
    judged = []
    for (a, b), each in zip(pairs, found, strict=True):
        difference = _difference(a, b, each.test)
        judged.append(JudgedPair(each, difference, _relation(each, difference, smallest)))
    return tuple(judged)


def within_margin(pairs: Sequence[tuple[Sample, Sample]], margin: float) -> tuple[JudgedPair, ...]:
    """Ask of pairs whether they differ by less than a margin, by two one-sided tests.

    Both have to show it (Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987):
    that the first, less the margin, is below the second, and that it is above it with the margin.
    Each is one side of a test at 5 %, so at 2.5 %.

    Args:
        pairs: the family.
        margin: above 0.

    Returns:
        each pair as it is; its p are those of the test that decided, which is the weaker one of two
        that show it.
    """
    below, above = (compared([(_moved(a, by), b) for a, b in pairs], 0) for by in (-margin, margin))
    return tuple(_within(*tests) for tests in zip(compared(pairs, 0), below, above, strict=True))


def _moved(sample: Sample, by: float) -> Sample:
    """Every value greater by so much; under an id of its own."""
    return replace(sample, variant=f"{sample.variant} {by:+g}", values=sample.values + by)


def _within(pair: JudgedPair, below: JudgedPair, above: JudgedPair) -> JudgedPair:
    """What two one-sided tests show of a pair.

    Args:
        pair: as it is.
        below: with the first less the margin.
        above: with the first and the margin.
    """
    weaker = below if below.found.p_holm >= above.found.p_holm else above
    relation: Relation
    if below.relation == "greater":
        relation, decided = below.relation, below
    elif above.relation == "lower":
        relation, decided = above.relation, above
    elif (below.relation, above.relation) == ("lower", "greater"):
        relation, decided = "comparable", weaker
    else:
        is_open = below.relation in ("not run", "too few trials")
        relation, decided = below.relation if is_open else "not told apart", weaker
    found = replace(pair.found, p=decided.found.p, p_holm=decided.found.p_holm)
    return replace(pair, found=found, relation=relation)


def _difference(a: Sample, b: Sample, test: str) -> float:
    if test == "wilcoxon":
        both = np.intersect1d(a.trials, b.trials)
        differences = a.of_trials(both) - b.of_trials(both)
        first, second = np.triu_indices(len(both))
        return float(np.median((differences[first] + differences[second]) / 2))
    differences = a.values[:, np.newaxis] - b.values
    return float(np.median(differences)) if differences.size else math.nan


def _relation(found: Comparison, difference: float, smallest: float) -> Relation:
    if not found.n_a or not found.n_b:
        return "not run"
    if found.verdict == "lower":
        return "lower" if difference <= -smallest else "alike"
    if found.verdict == "greater":
        return "greater" if difference >= smallest else "alike"
    return "too few trials" if found.verdict == OUT_OF_REACH else "not told apart"


def lowest(pairs: Sequence[JudgedPair]) -> str:
    """What the pairs of one series with each of the others show of the claim that it is lowest."""
    groups: dict[str, list[str]] = {}
    for pair in pairs:
        shown = f"{pair.found.label_b} ({_chance(pair.found)})"
        groups.setdefault(pair.relation, []).append(shown)
    heads = {
        "lower": "ends below",
        "not told apart": "is not told apart from",
        "alike": "differs too little to count from",
        "greater": "ends above",
        "too few trials": "has too few trials to be told apart from",
    }
    parts = [f"{head} {', '.join(groups[key])}" for key, head in heads.items() if key in groups]
    label = pairs[0].found.label_a
    return (
        f"{label} {'; '.join(parts)} (in brackets the probability that a trial of {label} ends "
        "below one of the other, with its interval)"
    )


def too_few(pairs: Sequence[JudgedPair], n_pairs: int) -> str:
    """Why nothing can be shown, and what would do.

    Args:
        pairs: comparisons, some of them with too few trials.
        n_pairs: comparisons of the whole family.
    """
    scarce = [pair for pair in pairs if pair.relation == "too few trials"]
    first = min(scarce, key=lambda pair: min(pair.found.n_a, pair.found.n_b))
    n = min(first.found.n_a, first.found.n_b)
    trials = f"{n} trial" if n == 1 else f"{n} trials"
    return (
        f"{trials} of a variant cannot show it: even without any overlap the adjusted p would be "
        f"{first.found.p_least:.2g}; {trials_needed(first.found.test, n_pairs, _ALPHA)} would do"
    )


def _adjusted(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"


def _chance(found: Comparison) -> str:
    """The probability that a value of a is below one of b, ties counting half, and its interval."""
    chance = f"{1 - found.a12:.2f}"
    if math.isnan(found.a12_low):
        return chance
    return f"{chance} [{1 - found.a12_high:.2f}, {1 - found.a12_low:.2f}]"


def _medians(found: Comparison) -> str:
    """Both medians, in as many digits as tell them apart."""
    a, b = found.median_a, found.median_b
    digits = next((n for n in range(3, 7) if round(a, n) != round(b, n)), 3)
    return f"{a:.{digits}f} and {b:.{digits}f}"
