"""All that is found of a reproduction, in the order of the file, and what is not there (yet)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aes_lipi.reproduction.evidence import (
    FigureFinding,
    PlanResults,
    find_figure,
    find_overview,
    read_results,
)
from aes_lipi.reproduction.instances import InstanceFindings, find_instances
from aes_lipi.reproduction.plan import PlannedStudy, ReproductionPlan, ScaledDown
from aes_lipi.reproduction.published import Paper, Published
from aes_lipi.reproduction.verdicts import ClaimVerdict, ControlVerdict, judge_claim, judge_control
from aes_lipi.results.storage import place_of


@dataclass(frozen=True)
class Findings:
    """All that a page or a table of a reproduction says.

    Attributes:
        source: of the published values.
        scale: how far our trials are scaled down; None if they are not.
        scope: what the trials can and cannot show, in a few sentences.
        figures: those that were asked for and are run.
        overviews: series of several of these figures in one, where all are there.
        claims: those about figures that were asked for.
        controls: those that were asked for.
        instances: the same claims and controls on several data sets, if they are run on several.
        missing: lines that say what is not there (yet): figures that are left out, trials that are
            not run or have failed.
        skipped: lines that say which trials were passed over, and why.
    """

    source: Paper
    scale: ScaledDown | None
    scope: str
    figures: tuple[FigureFinding, ...]
    overviews: tuple[FigureFinding, ...]
    claims: tuple[ClaimVerdict, ...]
    controls: tuple[ControlVerdict, ...]
    instances: InstanceFindings
    missing: tuple[str, ...]
    skipped: tuple[str, ...]


def find(plan: ReproductionPlan) -> Findings:
    """Read what the plan's studies have so far, and judge it.

    Raises:
        UserError: a place refuses to be read.
    """
    results, published = read_results(plan), plan.published
    figures = [each for each in published.figures if each.name in plan.asked]
    claims = [each for each in published.claims if each.figure in plan.asked]
    controls = [each for each in published.controls if each.name in plan.asked]
    run = [find_figure(each, results) for each in figures if each.name in plan.variants]
    return Findings(
        source=published.source,
        scale=plan.scale,
        scope=_scope(plan),
        figures=tuple(run),
        overviews=tuple(_overviews(published, run)),
        claims=tuple(judge_claim(claim, results) for claim in claims),
        controls=tuple(judge_control(control, results) for control in controls),
        instances=find_instances(results),
        missing=(
            *_left_out(plan),
            *(line for each in plan.studies for line in _missing_trials(each, results)),
        ),
        skipped=results.skipped,
    )


def _overviews(published: Published, figures: Sequence[FigureFinding]) -> Iterator[FigureFinding]:
    """Those of which all figures were found."""
    found = {figure.name: figure for figure in figures}
    for overview in published.overviews:
        names = {shown.figure for shown in overview.series}
        if names <= found.keys():
            yield find_overview(overview, [found[name] for name in names])


def _scope(plan: ReproductionPlan) -> str:
    source, scale = plan.published.source, plan.scale
    test = (
        "The trial is the unit, trials of the same number are paired, and a claim's p-values are "
        "adjusted together (Holm). A median difference below "
        f"{source.reading_error:g}, to which the figures were read, does not count as one. What is "
        "not shown is not thereby shown to be equal. Samples that do not overlap have a "
        "probability of 0 or 1 and an interval without width: the bootstrap knows nothing else."
    )
    if scale is None:
        return test
    parts = [
        f"Scaled down: {scale.trials} trials of {scale.epochs} generations in rings of "
        f"{scale.population_size} cells, where the published figures have {source.trials} of "
        f"{source.epochs} in rings of {source.population_size}; of the controls, only what is not "
        "pruned. With so few trials only large differences can be shown, and losses of smaller "
        "rings need not agree with the published ones."
    ]
    if scale.epochs < source.epochs:
        parts.append(
            "Schedules and cuts of the learning rate stretch over the generations that there are: "
            "our last generation stands beside the published last one."
        )
    return " ".join([*parts, test])


def _left_out(plan: ReproductionPlan) -> Iterator[str]:
    """What was asked for and is not run."""
    for name in plan.asked:
        if name not in plan.variants:
            yield f"{name}: left out when scaled down, unless it is named"


def _missing_trials(planned: PlannedStudy, results: PlanResults) -> Iterator[str]:
    """What is not there of one study."""
    study, place = planned.study, place_of(planned.location)
    committed = {each.id: len(results.trials.get(each.id, ())) for each in study.variants}
    failed = {each.id: results.failed.get(each.id, 0) for each in study.variants}
    if not any((*committed.values(), *failed.values())):
        yield f"{study.name}: not run (no trials of it in {place})"
        return
    for variant in study.variants:
        n, n_failed = committed[variant.id], failed[variant.id]
        if n < study.trials:
            because = f", {n_failed} failed" if n_failed else ""
            what = ", ".join(dict.fromkeys((study.name, study.label(variant))))
            yield f"{what}: {n} of {study.trials} trials{because} ({place})"
