"""What our trials say of the published figures and claims, and of what the controls ask."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from aes_lipi.analysis.tables import Sample
from aes_lipi.config import Variant
from aes_lipi.reproduction.evidence import Estimate, PlanResults, estimate, estimate_share
from aes_lipi.reproduction.pairs import (
    JudgedPair,
    Relation,
    compared,
    lowest,
    too_few,
    within_margin,
)
from aes_lipi.reproduction.published import (
    BestClaim,
    Claim,
    ComparableClaim,
    Control,
    ReferenceName,
)

_ClaimOutcome = Literal["holds", "contradicted", "not shown", "too few trials", "not run"]
"""What becomes of a claim.

It `holds` if every pair of its family is shown to be as claimed, and is `contradicted` if one is
shown to be the opposite. `too few trials`: not even samples without overlap could show it.
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
        pairs: the family; of each, the claim is about `a`, beside `b`. Empty if the figure is not
            run.
    """

    name: str
    sentence: str
    figure: str
    outcome: _ClaimOutcome
    explanation: str
    note: str
    pairs: tuple[JudgedPair, ...]


def judge_claim(claim: Claim, results: PlanResults) -> ClaimVerdict:
    """Test a claim on the losses in the last generation, the trial being the unit.

    Args:
        claim: which.
        results: of the plan's studies.
    """
    pairs = _family(claim, results)
    outcome = _outcome(claim, [pair.relation for pair in pairs])
    return ClaimVerdict(
        name=claim.name,
        sentence=claim.sentence,
        figure=claim.figure,
        outcome=outcome,
        explanation=_explanation(claim, outcome, pairs, results.plan.variants),
        note=claim.note,
        pairs=pairs,
    )


def _family(claim: Claim, results: PlanResults) -> tuple[JudgedPair, ...]:
    published, known = results.plan.published, results.plan.variants
    if any(name not in known for name in claim.figures):
        return ()
    first, second = (
        {
            series.name: results.sample(known[name][series.name], _label(claim, name, series.label))
            for series in published.figure(name).series
        }
        for name in claim.figures
    )
    family = [(first[a], second[b]) for a, b in claim.family(published.figure(claim.figure))]
    if isinstance(claim, ComparableClaim):
        return within_margin(family, claim.margin)
    smallest = max(published.reading_error(published.figure(name)) for name in claim.figures)
    return compared(family, smallest)


def _label(claim: Claim, figure: str, label: str) -> str:
    """What a series is called; with its figure where a claim is about two of them."""
    return f"{label} ({figure})" if claim.against else label


def _outcome(claim: Claim, relations: Sequence[Relation]) -> _ClaimOutcome:
    is_comparable = isinstance(claim, ComparableClaim)
    claimed: Relation = "comparable" if is_comparable else "lower"
    opposites = {"lower", "greater"} if is_comparable else {"greater"}
    if not relations or "not run" in relations:
        return "not run"
    if opposites & set(relations):
        return "contradicted"
    if all(relation == claimed for relation in relations):
        return "holds"
    return "too few trials" if "too few trials" in relations else "not shown"


def _explanation(
    claim: Claim, outcome: _ClaimOutcome, pairs: Sequence[JudgedPair], known: Collection[str]
) -> str:
    if not pairs:
        absent = " and ".join(name for name in dict.fromkeys(claim.figures) if name not in known)
        return f"{absent}: not part of this reproduction"
    if outcome == "not run":
        return f"no committed trials of {', '.join(_without_trials(pairs))}"
    if outcome == "too few trials":
        return too_few(pairs, len(pairs))
    if isinstance(claim, BestClaim):
        return lowest(pairs)
    if isinstance(claim, ComparableClaim):
        return "; ".join(pair.within(claim.margin) for pair in pairs)
    return "; ".join(pair.below() for pair in pairs)


def _without_trials(pairs: Sequence[JudgedPair]) -> list[str]:
    """The labels of variants that have no trial."""
    found = [pair.found for pair in pairs]
    sides = [side for f in found for side in ((f.label_a, f.n_a), (f.label_b, f.n_b))]
    return list(dict.fromkeys(label for label, n in sides if not n))


_ControlOutcome = Literal[
    "reached", "not told apart", "in part", "not reached", "not shown", "too few trials", "not run"
]
"""How far the control gets from the reference that it is a change of (the origin) to the other one.

Shown to have left the origin towards the other, the control has `reached` it if it is shown to be
there or beyond, gets there `in part` if it is shown to fall short, and else is `not told apart`
from it. Not shown to have left, it has `not reached` the other if it is shown to fall short; else
there is an answer that is `not shown`.
"""

_REFERENCES: tuple[ReferenceName, ...] = ("baseline", "ring")

_UNPRUNED = "none"
"""The series without pruning."""

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
        share_unpruned: the same, with the unpruned baseline in place of the baseline's series: a
            baseline that pruning has ruined makes every way long. None where nothing is pruned.
        own: mean loss of the control in the last generation, over trials.
        baseline: that of the baseline's series.
        ring: that of the ring's series.
    """

    series: str
    label: str
    answer: _ControlOutcome
    statement: str
    share: Estimate
    share_unpruned: Estimate | None
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
        pairs: all comparisons of the control, one family; `a` is the control. Empty if it is not
            run.
    """

    name: str
    question: str
    towards: ReferenceName
    answers: tuple[ControlAnswer, ...]
    pairs: tuple[JudgedPair, ...]


@dataclass(frozen=True)
class _Case:
    """One series of a control and what it is compared with.

    Attributes:
        control: whose.
        series: its name.
        label: what tables call it.
        own: the control's values.
        references: those of the references' series of that name.
        unpruned: the baseline's without pruning; None where nothing is pruned.
        validated: its and their losses where cells are chosen on validation rows.
    """

    control: Control
    series: str
    label: str
    own: Sample
    references: Mapping[ReferenceName, Sample]
    unpruned: Sample | None
    validated: Sequence[Sample]

    @property
    def pairs(self) -> list[tuple[Sample, Sample]]:
        """Its comparisons, in the order of `_REFERENCES`."""
        return [(self.own, self.references[name]) for name in _REFERENCES]

    @property
    def share(self) -> Estimate:
        """Of the way from where the control comes from to where it may get to."""
        return self._share(self.references)

    @property
    def share_unpruned(self) -> Estimate | None:
        """The same with the unpruned baseline."""
        if self.unpruned is None:
            return None
        return self._share({**self.references, "baseline": self.unpruned})

    def _share(self, ends: Mapping[ReferenceName, Sample]) -> Estimate:
        return estimate_share(self.own, ends[self.control.origin], ends[self.control.towards])


def judge_control(control: Control, results: PlanResults) -> ControlVerdict:
    """Compare a control's losses in the last generation with the baseline's and the ring's.

    Args:
        control: which.
        results: of the plan's studies.
    """
    variants = results.plan.variants.get(control.name, {})
    cases = [_case(control, name, variant, results) for name, variant in variants.items()]
    family = [pair for case in cases for pair in case.pairs]
    smallest = results.plan.published.source.reading_error
    pairs = compared(family, smallest)
    rows = iter(pairs)
    answers = [
        _answered(case, {name: next(rows) for name in _REFERENCES}, len(family)) for case in cases
    ]
    return ControlVerdict(control.name, control.question, control.towards, tuple(answers), pairs)


def _case(control: Control, name: str, variant: Variant, results: PlanResults) -> _Case:
    published = results.plan.published
    label = published.reference(control.origin).named(name).label
    own = results.sample(variant, f"{control.name}, {label}", control.compared)
    references, validated = {}, [results.sample(variant, "", "answer on validation")]
    for which in _REFERENCES:
        figure = published.reference(which)
        other = results.plan.variants[figure.name][name]
        called = f"{_PLACES[which]}, {figure.named(name).label}"
        references[which] = results.sample(other, called, control.compared)
        validated.append(results.sample(other, "", "answer on validation"))
    whole = results.plan.variants[published.reference("baseline").name][_UNPRUNED]
    unpruned = None if name == _UNPRUNED else results.sample(whole, "", control.compared)
    return _Case(control, name, label, own, references, unpruned, validated)


def _answered(case: _Case, rows: Mapping[ReferenceName, JudgedPair], n_pairs: int) -> ControlAnswer:
    """The answer of one series.

    Args:
        case: the series.
        rows: its comparisons.
        n_pairs: comparisons of the whole family.
    """
    own = estimate(case.own.values)
    means = {name: estimate(sample.values) for name, sample in case.references.items()}
    start, goal = means[case.control.origin].mean, means[case.control.towards].mean
    relations = {name: row.relation for name, row in rows.items()}
    answer = _answer(case.control, relations, falls=goal < start)
    share, share_unpruned = case.share, case.share_unpruned
    if answer == "not run":
        statement = "no committed trials of it or of what it is compared with"
    elif answer == "too few trials":
        statement = too_few(list(rows.values()), n_pairs)
    else:
        ends = _ends(own, means, rows, _marked(case))
        beside = _beside(case, share_unpruned)
        statement = f"{ends}: {_conclusion(case.control, answer, share)}{beside}"
    return ControlAnswer(
        series=case.series,
        label=case.label,
        answer=answer,
        statement=f"{case.label}: {statement}",
        share=share,
        share_unpruned=share_unpruned,
        own=own,
        baseline=means["baseline"],
        ring=means["ring"],
    )


def _answer(
    control: Control, relations: Mapping[ReferenceName, Relation], *, falls: bool
) -> _ControlOutcome:
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
    return "not told apart" if there == "not told apart" else "reached"


def _ends(
    own: Estimate,
    means: Mapping[ReferenceName, Estimate],
    rows: Mapping[ReferenceName, JudgedPair],
    mark: str,
) -> str:
    """Where the control, the baseline and the ring end, and how that compares."""
    others = ", ".join(f"{_PLACES[name]} at {means[name].mean:.3f}" for name in _REFERENCES)
    compared_to = " and ".join(rows[name].relative(_PLACES[name]) for name in _REFERENCES)
    return f"ends at {own.mean:.3f}, {others}{mark}; it is {compared_to}"


def _marked(case: _Case) -> str:
    """Of answers, by what they were chosen, and what they are if chosen otherwise."""
    if case.control.compared == "mean of cells":
        return ""
    own, *others = (f"{estimate(each.values).mean:.3f}" for each in case.validated)
    return (
        " (of each trial the answer, the cell chosen on test rows; chosen on validation rows: "
        f"{own}, {' and '.join(others)})"
    )


def _conclusion(control: Control, answer: _ControlOutcome, part: Estimate) -> str:
    share = _percent(part)
    goal, start = _PLACES[control.towards], _PLACES[control.origin]
    conclusions: Mapping[_ControlOutcome, str] = {
        "reached": f"it reaches the loss of {goal}",
        "not told apart": f"it leaves {start}, and is not told apart from {goal}, {share} of the "
        "way",
        "in part": f"it goes {share} of the way from {start} to {goal}",
        "not reached": f"it is not shown to leave {start} towards {goal} ({share} of the way), and "
        "is shown to fall short",
        "not shown": f"whether it leaves {start} towards {goal} is not shown",
    }
    return conclusions[answer]


def _beside(case: _Case, share: Estimate | None) -> str:
    """What becomes of a share where the baseline is the unpruned one."""
    if case.unpruned is None or share is None or not math.isfinite(share.mean):
        return ""
    way = "from" if case.control.origin == "baseline" else "to"
    mean = estimate(case.unpruned.values).mean
    return f"; {way} the unpruned baseline, at {mean:.3f}, it is {_percent(share)}"


def _percent(share: Estimate) -> str:
    return f"{share.mean:z.0%} [{share.low:z.0%}, {share.high:z.0%}]"
