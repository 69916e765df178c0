"""What the controls say: how far a change of one thing leads towards the other setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from aes_lipi.analysis.samples import Sample
from aes_lipi.config import Variant
from aes_lipi.reproduction import words
from aes_lipi.reproduction.estimates import Estimate, estimate
from aes_lipi.reproduction.evidence import Evidence
from aes_lipi.reproduction.pairs import Relation, Row, compared, no_pairs, rows_of
from aes_lipi.reproduction.published import Control, ReferenceName

Answer = Literal[
    "reached", "as near", "in part", "not reached", "not shown", "too few trials", "not run"
]
"""How far the control gets from the reference that it is a change of (the origin) to the other one.

Shown to have left the origin towards the other, the control has `reached` it if it is shown to be
there or beyond, is `as near` if the two are not told apart, and gets there `in part` if it is shown
to fall short. Not shown to have left, it has `not reached` the other if it is shown to fall short;
else there is an answer that is `not shown`.
"""

REFERENCES: tuple[ReferenceName, ...] = ("baseline", "ring")

_PLACES: Mapping[ReferenceName, str] = {"baseline": "the baseline", "ring": "the ring"}


@dataclass(frozen=True)
class ControlAnswer:
    """The answer of one series.

    Attributes:
        series: its name.
        label: what tables call it.
        answer: how far it gets.
        statement: the same in words, with effect sizes.
        share: of the way from the origin's mean to the other reference's; NaN if one is not run.
        own: mean loss of the control in the last generation, over trials.
        baseline: that of the baseline's series.
        ring: that of the ring's series.
    """

    series: str
    label: str
    answer: Answer
    statement: str
    share: float
    own: Estimate
    baseline: Estimate
    ring: Estimate


@dataclass(frozen=True)
class ControlVerdict:
    """A control beside the baseline and the ring.

    Attributes:
        name: of the control.
        question: that it answers.
        towards: the reference that it may reach.
        answers: of each series that is run.
        pairs: all comparisons of the control, one family, with the columns of
            `aes_lipi.reproduction.pairs`; `a` is the control. Empty if it is not run.
    """

    name: str
    question: str
    towards: ReferenceName
    answers: tuple[ControlAnswer, ...]
    pairs: pd.DataFrame

    @property
    def statement(self) -> str:
        """The answers in words."""
        return " ".join(f"{words.capital(each.statement)}." for each in self.answers)


@dataclass(frozen=True)
class _Case:
    """One series of a control and what it is compared with.

    Attributes:
        control: whose.
        series: its name.
        label: what tables call it.
        own: the control's values.
        references: those of the references' series of that name.
    """

    control: Control
    series: str
    label: str
    own: Sample
    references: Mapping[ReferenceName, Sample]

    @property
    def pairs(self) -> list[tuple[Sample, Sample]]:
        """Its comparisons, in the order of `REFERENCES`."""
        return [(self.own, self.references[name]) for name in REFERENCES]


def judge_control(control: Control, evidence: Evidence) -> ControlVerdict:
    """Compare a control's losses in the last generation with the baseline's and the ring's.

    Args:
        control: which.
        evidence: of the plan's studies.
    """
    variants = evidence.plan.variants.get(control.name, {})
    cases = [_case(control, name, variant, evidence) for name, variant in variants.items()]
    family = [pair for case in cases for pair in case.pairs]
    smallest = evidence.plan.published.source.reading_error
    pairs = compared(family, smallest) if family else no_pairs()
    rows = iter(rows_of(pairs))
    answers = [
        _answered(case, {name: next(rows) for name in REFERENCES}, len(family)) for case in cases
    ]
    return ControlVerdict(control.name, control.question, control.towards, tuple(answers), pairs)


def _case(control: Control, name: str, variant: Variant, evidence: Evidence) -> _Case:
    published = evidence.plan.published
    label = published.reference(control.origin).named(name).label
    references = {}
    for which in REFERENCES:
        figure = published.reference(which)
        other = evidence.plan.variants[figure.name][name]
        called = f"{_PLACES[which]}, {figure.named(name).label}"
        references[which] = evidence.sample(other, called)
    own = evidence.sample(variant, f"{control.name}, {label}")
    return _Case(control, name, label, own, references)


def _answered(case: _Case, rows: Mapping[ReferenceName, Row], n_pairs: int) -> ControlAnswer:
    """The answer of one series.

    Args:
        case: the series.
        rows: its comparisons.
        n_pairs: comparisons of the whole family.
    """
    own = estimate(case.own.values)
    means = {name: estimate(sample.values) for name, sample in case.references.items()}
    start, goal = means[case.control.origin].mean, means[case.control.towards].mean
    relations = {name: row["relation"] for name, row in rows.items()}
    answer = _answer(case.control, relations, falls=goal < start)
    share = (start - own.mean) / (start - goal) if start != goal else math.nan
    if answer == "not run":
        statement = "no committed trials of it or of what it is compared with"
    elif answer == "too few trials":
        statement = words.too_few(rows.values(), n_pairs)
    else:
        statement = f"{_ends(own, means, rows)}: {_conclusion(case.control, answer, share)}"
    return ControlAnswer(
        series=case.series,
        label=case.label,
        answer=answer,
        statement=f"{case.label}: {statement}",
        share=share,
        own=own,
        baseline=means["baseline"],
        ring=means["ring"],
    )


def _answer(
    control: Control, relations: Mapping[ReferenceName, Relation], *, falls: bool
) -> Answer:
    """How far a control gets, if its loss falls (or rises) on the way."""
    for nothing in ("not run", "too few trials"):
        if nothing in relations.values():
            return nothing
    onward: Relation = "lower" if falls else "greater"
    short: Relation = "greater" if falls else "lower"
    there = relations[control.towards]
    if relations[control.origin] != onward:
        return "not reached" if there == short else "not shown"
    if there == short:
        return "in part"
    return "as near" if there == "not told apart" else "reached"


def _ends(
    own: Estimate,
    means: Mapping[ReferenceName, Estimate],
    rows: Mapping[ReferenceName, Row],
) -> str:
    """Where the control, the baseline and the ring end, and how that compares."""
    others = ", ".join(f"{_PLACES[name]} at {words.loss(means[name])}" for name in REFERENCES)
    relative = " and ".join(words.relative(rows[name], _PLACES[name]) for name in REFERENCES)
    return f"ends at {words.loss(own)}, {others}; it is {relative}"


def _conclusion(control: Control, answer: Answer, part: float) -> str:
    share = f"{part:.0%}"
    goal, start = _PLACES[control.towards], _PLACES[control.origin]
    conclusions: Mapping[Answer, str] = {
        "reached": f"it reaches the loss of {goal}",
        "as near": f"it leaves {start}, and is not told apart from {goal}, {share} of the way",
        "in part": f"it goes {share} of the way from {start} to {goal}",
        "not reached": f"it is not shown to leave {start}, and is shown to fall short of {goal}",
        "not shown": f"whether it leaves {start} towards {goal} is not shown",
    }
    return conclusions[answer]
