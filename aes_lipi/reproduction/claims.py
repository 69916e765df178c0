"""What our trials say of the published claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from aes_lipi.reproduction import words
from aes_lipi.reproduction.evidence import Evidence
from aes_lipi.reproduction.pairs import Relation, Row, compared, no_pairs, rows_of
from aes_lipi.reproduction.published import BestClaim, Claim

Outcome = Literal["holds", "contradicted", "not shown", "too few trials", "not run"]
"""What becomes of a claim.

It `holds` if every pair of its family is shown to differ as claimed, and is `contradicted` if one
is shown to differ the other way. `too few trials`: not even samples without overlap could show it.
`not run`: a variant of the family has no committed trial.
"""


@dataclass(frozen=True)
class ClaimVerdict:
    """A published claim beside our trials.

    Attributes:
        name: of the claim.
        sentence: the claim.
        figure: that it is about.
        outcome: what becomes of it.
        explanation: why, in a line, in terms of effect sizes.
        note: what a reader should know of the published claim; maybe empty.
        pairs: the family, a row per comparison, with the columns of `aes_lipi.reproduction.pairs`;
            of each, `a` is claimed to be lower than `b`. Empty if the figure is not run.
    """

    name: str
    sentence: str
    figure: str
    outcome: Outcome
    explanation: str
    note: str
    pairs: pd.DataFrame


def judge_claim(claim: Claim, evidence: Evidence) -> ClaimVerdict:
    """Test a claim on the losses in the last generation, the trial being the unit.

    Args:
        claim: which.
        evidence: of the plan's studies.
    """
    pairs = _family(claim, evidence)
    rows = rows_of(pairs)
    outcome = _outcome([row["relation"] for row in rows])
    return ClaimVerdict(
        name=claim.name,
        sentence=claim.sentence,
        figure=claim.figure,
        outcome=outcome,
        explanation=_explanation(claim, outcome, rows),
        note=claim.note,
        pairs=pairs,
    )


def _family(claim: Claim, evidence: Evidence) -> pd.DataFrame:
    published = evidence.plan.published
    figure = published.figure(claim.figure)
    variants = evidence.plan.variants.get(claim.figure)
    if variants is None:
        return no_pairs()
    samples = {
        series.name: evidence.sample(variants[series.name], series.label)
        for series in figure.series
    }
    family = [(samples[a], samples[b]) for a, b in claim.family(figure)]
    return compared(family, published.source.reading_error)


def _outcome(relations: Sequence[Relation]) -> Outcome:
    if not relations or "not run" in relations:
        return "not run"
    if "greater" in relations:
        return "contradicted"
    if all(relation == "lower" for relation in relations):
        return "holds"
    return "too few trials" if "too few trials" in relations else "not shown"


def _explanation(claim: Claim, outcome: Outcome, rows: Sequence[Row]) -> str:
    if not rows:
        return f"{claim.figure} is not part of this reproduction"
    if outcome == "not run":
        return f"no committed trials of {', '.join(_without_trials(rows))}"
    if outcome == "too few trials":
        return words.too_few(rows, len(rows))
    if isinstance(claim, BestClaim):
        return words.lowest(rows)
    return "; ".join(map(words.below, rows))


def _without_trials(rows: Sequence[Row]) -> list[str]:
    """The labels of variants that have no trial."""
    sides = [(row[f"label_{side}"], row[f"n_{side}"]) for row in rows for side in "ab"]
    return list(dict.fromkeys(label for label, n in sides if not n))
