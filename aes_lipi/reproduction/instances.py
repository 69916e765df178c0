"""The main claims and controls on several data sets: differences, with intervals over these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from aes_lipi.arrays import Float32, Float64
from aes_lipi.data.load import load_dataset
from aes_lipi.reproduction.evidence import Estimate, PlanResults
from aes_lipi.reproduction.plan import ReproductionPlan
from aes_lipi.reproduction.verdicts import (
    ClaimVerdict,
    ControlAnswer,
    ControlVerdict,
    judge_claim,
    judge_control,
)


@dataclass(frozen=True)
class OverInstances:
    """A difference, or a share, that was found on several data sets.

    Attributes:
        subject: name of the claim or control.
        label: what is compared, or whose share it is.
        each: the value on each data set, in their order; NaN where trials are missing.
        over: their mean and its interval (Student's t), the data set being the unit.
    """

    subject: str
    label: str
    each: tuple[float, ...]
    over: Estimate


@dataclass(frozen=True)
class InstanceFindings:
    """What is found on several data sets.

    Attributes:
        seeds: of the data sets, the plan's own first.
        constants: by seed, the L1 of the best constant answer to the training rows.
        differences: of each pair of a claim, and of each control from where it comes and from where
            it may get to: the first's loss less the second's, as `JudgedPair.difference`.
        shares: of the way that each control goes from the one to the other; with pruning, of that
            from or to the unpruned baseline, too.
    """

    seeds: tuple[int, ...]
    constants: Mapping[int, float]
    differences: tuple[OverInstances, ...]
    shares: tuple[OverInstances, ...]


def find_instances(results: PlanResults) -> InstanceFindings:
    """Judge the main claims and the controls on every data set, and take intervals over these.

    Args:
        results: of the plan's studies.
    """
    plan = results.plan
    views = [
        replace(results, plan=replace(plan, variants=each.variants)) for each in plan.instances
    ]
    known, asked = set(plan.instances[0].variants), set(plan.asked)
    claims = [
        each
        for each in plan.published.claims
        if each.figure in asked and known.issuperset(each.figures)
    ]
    controls = [each for each in plan.published.controls if each.name in known & asked]
    on_each: list[list[ClaimVerdict | ControlVerdict]] = [
        [
            *(judge_claim(claim, view) for claim in claims),
            *(judge_control(control, view) for control in controls),
        ]
        for view in views
    ]
    several = list(zip(*on_each, strict=True)) if len(views) > 1 else []
    return InstanceFindings(
        seeds=tuple(each.seed for each in plan.instances),
        constants=_constants(plan),
        differences=tuple(line for verdicts in several for line in _differences(verdicts)),
        shares=tuple(line for verdicts in several for line in _shares(verdicts)),
    )


def _constants(plan: ReproductionPlan) -> dict[int, float]:
    """By seed, the loss of the best constant answer to the data sets of a plan."""
    own = {plan.instances[0].seed: plan.variants}
    variants = own | {each.seed: each.variants for each in plan.instances[1:]}
    first = {
        seed: next(iter(next(iter(found.values())).values())) for seed, found in variants.items()
    }
    return {seed: constant_loss(load_dataset(each).train) for seed, each in first.items()}


def constant_loss(rows: Float32) -> float:
    """The L1 of the best answer that is the same for all rows: the median of every column.

    Args:
        rows: shape (rows, n_dim).
    """
    return float(np.abs(rows - np.median(rows, axis=0)).mean())


def _differences(verdicts: Sequence[ClaimVerdict | ControlVerdict]) -> list[OverInstances]:
    """The pairs of one claim or control, which has been judged on every data set."""
    lines = []
    for pairs in zip(*(verdict.pairs for verdict in verdicts), strict=True):
        found = pairs[0].found
        label = f"{found.label_a} less {found.label_b}"
        lines.append(_over(verdicts[0].name, label, [pair.difference for pair in pairs]))
    return lines


def _shares(verdicts: Sequence[ClaimVerdict | ControlVerdict]) -> list[OverInstances]:
    """Of a control, the shares of the way of each of its series; none of a claim."""
    answers: list[tuple[ControlAnswer, ...]] = [
        verdict.answers for verdict in verdicts if isinstance(verdict, ControlVerdict)
    ]
    lines = []
    for series in zip(*answers, strict=True):
        name, label = verdicts[0].name, series[0].label
        lines.append(_over(name, label, [answer.share.mean for answer in series]))
        unpruned = [each.share_unpruned for each in series if each.share_unpruned is not None]
        if unpruned:
            beside = f"{label}, to or from the unpruned baseline"
            lines.append(_over(name, beside, [share.mean for share in unpruned]))
    return lines


def _over(subject: str, label: str, values: Sequence[float]) -> OverInstances:
    known = [value for value in values if math.isfinite(value)]
    return OverInstances(subject, label, tuple(values), _mean_over(np.array(known)))


def _mean_over(values: Float64) -> Estimate:
    """The mean over data sets and its interval by Student's t: too few for a bootstrap.

    Args:
        values: shape (n,), finite.
    """
    from scipy.stats import t  # noqa: PLC0415 - slow to import

    n = len(values)
    mean = float(values.mean()) if n else math.nan
    half = t.ppf(0.975, n - 1) * values.std(ddof=1) / math.sqrt(n) if n > 1 else math.nan
    return Estimate(n, mean, float(mean - half), float(mean + half))
