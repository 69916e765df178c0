"""What a reproduction runs: the presets as they are, or some of them scaled down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from aes_lipi.config import WHOLE, Study, StudyPart, Variant, load_preset, resolve_study
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.reproduction.published import Published, Selector, load_published
from aes_lipi.results.storage import join

_PUBLISHED_EPOCHS = 400
_PUBLISHED_CELLS = 10
"""Presets of ten times as many epochs have the compute of a ring of ten."""


@dataclass(frozen=True)
class ScaledDown:
    """How far a reproduction is scaled down.

    Attributes:
        trials: replicates of every variant.
        epochs: generations of every trial; of those that have a ring's compute, as many times more
            as rings have cells.
        population_size: cells of every ring; the baseline has one as ever.
    """

    trials: int
    epochs: int
    population_size: int = 5

    def overrides(self, study: Study) -> Mapping[str, int]:
        """Which fields of a preset are replaced, by what."""
        longest = max(variant.epochs for variant in study.variants)
        times = longest * self.population_size // (_PUBLISHED_EPOCHS * _PUBLISHED_CELLS)
        replaced = {"trials": self.trials, "epochs": max(1, times) * self.epochs}
        largest = max(variant.population_size for variant in study.variants)
        if largest > self.population_size:
            replaced["population_size"] = self.population_size
        return replaced


QUICK = ScaledDown(trials=9, epochs=400, population_size=4)
"""What ends within 15 minutes on two cores: few trials and small rings, but all generations.

Random pruning pulls ahead on the ring late, when learning rates have drifted up: with half of the
generations the paper's main claim cannot be seen.
"""

QUICK_FIGURES = ("best_of_lipi", "best_of_canonical")
"""What is run scaled down, besides the controls, unless figures are named."""

_QUICK_CONTROL_SERIES = ("none",)
"""What is run of a control that is scaled down."""

_QUICK_FOLDER = "quick"

_INSTANCE_TRIALS = 6
"""Of each variant on every data instance but the first: intervals over instances need instances."""

_INSTANCES_FOLDER = "instances"
_DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class PlannedStudy:
    """A study to run, to go on with, or to read.

    Attributes:
        whole: all of the study, which its folder is described as.
        location: the output folder or address.
        why: what needs it, in a line.
        part: what is run of it: not the variants that an earlier study has.
    """

    whole: Study
    location: str | Path
    why: str
    part: StudyPart = WHOLE

    @property
    def study(self) -> Study:
        """What is run of it."""
        return self.whole.with_variants(self.part.variants(self.whole))


@dataclass(frozen=True)
class Instance:
    """A data set of the published kind, and what is run on it.

    Attributes:
        seed: of the data.
        variants: of the main claims' figures and the controls: by name, the variants by series.
    """

    seed: int
    variants: Mapping[str, Mapping[str, Variant]]


@dataclass(frozen=True)
class ReproductionPlan:
    """What a reproduction runs and looks at.

    Attributes:
        published: what it is compared with.
        scale: how far it is scaled down; None if it is not.
        asked: names of the figures and controls that were asked for.
        variants: of the figures and controls that are run, those asked for and those that controls
            are compared with: by name, the variants by series.
        studies: what to run, in this order.
        instances: the data sets that main claims and controls are run on, the plan's own first.
    """

    published: Published
    scale: ScaledDown | None
    asked: tuple[str, ...]
    variants: Mapping[str, Mapping[str, Variant]]
    studies: tuple[PlannedStudy, ...]
    instances: tuple[Instance, ...] = ()


def full_plan(
    output_dir: str | Path = _DEFAULT_RESULTS,
    names: Sequence[str] | None = None,
    *,
    instances: int = 1,
) -> ReproductionPlan:
    """Every preset, where `run.py --rq` puts it.

    A variant that several presets have in common is run in the first. A folder is that of the
    whole preset, so that `run.py --rq` goes on with it.

    Args:
        output_dir: the folder or address in which every preset has a folder.
        names: figures and controls; by default all.
        instances: data sets on which the main claims' figures and the controls are run.

    Raises:
        UserError: a name is not known (known ones are told), several instances are asked for and
            nothing that is run on them (name a control), or a preset is not what `published.yaml`
            describes: put it back.
    """
    published = load_published()
    asked = _asked(published, names)
    subjects = _all_subjects(published, lambda _: {})
    reasons = _reasons(published, subjects, asked)
    plan = ReproductionPlan(
        published=published,
        scale=None,
        asked=asked,
        variants=_variants(subjects, reasons),
        studies=_studies(subjects, reasons, output_dir),
    )
    return _on_instances(plan, instances, output_dir, partial(_all_subjects, published))


def quick_plan(
    output_dir: str | Path = _DEFAULT_RESULTS,
    names: Sequence[str] | None = None,
    scale: ScaledDown | None = None,
    *,
    instances: int = 1,
) -> ReproductionPlan:
    """Some presets scaled down, in a folder of their own.

    Of controls, only the variants without pruning are run.

    Args:
        output_dir: the folder or address in which there is the folder `quick`.
        names: figures and controls; by default `QUICK_FIGURES` and all controls are run.
        scale: how far it is scaled down; by default as far as `QUICK`.
        instances: as `full_plan`.

    Raises:
        UserError: as `full_plan`.
    """
    published = load_published()
    asked = _asked(published, names)
    scale = scale or QUICK
    subjects = _scaled(published, scale.overrides)
    run = asked if names else (*QUICK_FIGURES, *(each.name for each in published.controls))
    reasons = _reasons(published, subjects, run)
    folder = join(output_dir, _QUICK_FOLDER)
    plan = ReproductionPlan(
        published=published,
        scale=scale,
        asked=asked,
        variants=_variants(subjects, reasons),
        studies=_studies(subjects, reasons, folder),
    )
    return _on_instances(plan, instances, folder, partial(_scaled, published))


def _on_instances(
    plan: ReproductionPlan,
    n: int,
    folder: str | Path,
    subjects_of: Callable[[_Overrides], Mapping[str, _Subject]],
) -> ReproductionPlan:
    """The same plan, its main claims' figures and its controls on several data sets.

    Args:
        plan: of one data set.
        n: how many there are to be.
        folder: where the others' studies have a folder.
        subjects_of: figures and controls, with fields of their presets replaced.

    Raises:
        UserError: nothing of the plan is run on several; name a main figure or a control.
    """
    published = plan.published
    main = [*published.on_instances, *(control.name for control in published.controls)]
    names = [name for name in plan.variants if name in main]
    if n > 1 and not names:
        raise UserError(f"--instances {n}: nothing to run on them; name one of {', '.join(main)}")
    seed = next(v.dataset_seed for each in plan.variants.values() for v in each.values())
    instances = [Instance(seed, {name: plan.variants[name] for name in names})]
    studies = list(plan.studies)
    for other in range(seed + 1, seed + n):
        found = subjects_of(partial(_of_instance, plan.scale, other))
        subjects = {name: found[name] for name in names}
        reasons = dict.fromkeys(subjects, f"the main claims and controls on data set {other}")
        place = join(join(folder, _INSTANCES_FOLDER), f"dataset_seed={other}")
        studies += _studies(subjects, reasons, place)
        instances.append(Instance(other, _variants(subjects, reasons)))
    return replace(plan, studies=tuple(studies), instances=tuple(instances))


def _of_instance(scale: ScaledDown | None, seed: int, study: Study) -> Mapping[str, int]:
    """Which fields of a preset are replaced on another data set.

    Draws are others, too: the walk of learning rates, on which much depends, does not look at data.
    """
    replaced = scale.overrides(study) if scale else {"trials": study.trials}
    trials = min(replaced["trials"], _INSTANCE_TRIALS)
    return {**replaced, "trials": trials, "dataset_seed": seed, "rng_seed": seed}


def _asked(published: Published, names: Sequence[str] | None) -> tuple[str, ...]:
    """The names in the order of the file; all if there are none."""
    for name in names or ():
        if name not in published.names:
            close = nearest(name, published.names) or ";"
            known = ", ".join(published.names)
            raise UserError(
                f"{printable(name)}: no such figure or control{close} known are {known}"
            )
    return tuple(name for name in published.names if not names or name in names)


def _scaled(published: Published, overrides: _Overrides) -> dict[str, _Subject]:
    """All figures and controls scaled down, controls without the series that are left out."""
    subjects = _all_subjects(published, overrides)
    for control in published.controls:
        subjects[control.name] = _only_series(subjects[control.name], _QUICK_CONTROL_SERIES)
    return subjects


def _reasons(
    published: Published, subjects: Mapping[str, _Subject], names: Iterable[str]
) -> dict[str, str]:
    """What these figures and controls need, and why."""
    reasons = {name: subjects[name].title for name in names}
    if any(control.name in reasons for control in published.controls):
        for figure in (published.reference("baseline"), published.reference("ring")):
            reasons.setdefault(figure.name, "controls are compared with it")
    return reasons


def _variants(
    subjects: Mapping[str, _Subject], reasons: Mapping[str, str]
) -> Mapping[str, Mapping[str, Variant]]:
    needed = {name: each.variants for name, each in subjects.items() if name in reasons}
    return MappingProxyType(needed)


def _studies(
    subjects: Mapping[str, _Subject], reasons: Mapping[str, str], folder: str | Path
) -> tuple[PlannedStudy, ...]:
    """The studies that figures and controls need, in the order of the file.

    A variant is run in the first study that has it, whatever is asked for, so that one of them is
    run for a figure that shares a variant with it: for that variant alone.
    """
    needs = {v.id: name for name in reasons for v in subjects[name].study.variants}
    found: list[PlannedStudy] = []
    held: set[str] = set()
    for name, subject in subjects.items():
        study = subject.study
        ids = [variant.id for variant in study.variants]
        own = [k for k, each in enumerate(ids) if each in needs and each not in held]
        held |= set(ids)
        if own:
            why = reasons.get(name) or f"a variant of {needs[ids[own[0]]]} is run in it"
            part = StudyPart(without=frozenset(range(len(ids))) - set(own))
            found.append(PlannedStudy(study, join(folder, study.name), why, part))
    return tuple(found)


_Overrides = Callable[[Study], Mapping[str, Any]]


@dataclass(frozen=True)
class _Subject:
    """A figure or a control.

    Attributes:
        title: what it shows or asks.
        study: its preset.
        variants: of that study, by series.
    """

    title: str
    study: Study
    variants: Mapping[str, Variant]


def _all_subjects(published: Published, overrides: _Overrides) -> dict[str, _Subject]:
    """All figures and controls, by name, in the order of the file.

    Args:
        published: whose.
        overrides: says of a preset which of its fields are replaced; see `resolve_study`.

    Raises:
        UserError: a preset is not what `published.yaml` describes; put it back.
    """
    found = {}
    for figure in published.figures:
        selectors = {series.name: series.variant for series in figure.series}
        found[figure.name] = _subject(figure.title, figure.preset, selectors, overrides)
    for control in published.controls:
        found[control.name] = _subject(control.question, control.preset, control.series, overrides)
    return found


def _select(study: Study, selector: Selector) -> Variant:
    """The variant of a study that has these settings.

    Raises:
        UserError: none or several variants have these settings, or a field is not known: the
            preset or `published.yaml` was changed; put it back.
    """
    for name in selector:
        if name not in Variant.model_fields:
            raise UserError(f"published.yaml: {printable(name)}: no such field")
    wanted = selector.items()
    found = [each for each in study.variants if all(getattr(each, k) == v for k, v in wanted)]
    if len(found) != 1:
        raise UserError(
            f"{study.name}: {len(found)} variants have the settings {printable(selector)} of "
            "published.yaml, which are one's; the preset was changed"
        )
    return found[0]


def _only_series(subject: _Subject, series: Iterable[str]) -> _Subject:
    """The same one with some of its series, its study with their variants only."""
    variants = {name: each for name, each in subject.variants.items() if name in set(series)}
    study = subject.study.with_variants(variants.values())
    return replace(subject, study=study, variants=MappingProxyType(variants))


def _subject(
    title: str, preset: str, selectors: Mapping[str, Selector], overrides: _Overrides
) -> _Subject:
    study = resolve_study(preset, load_preset(preset), {})
    replaced = overrides(study)
    if replaced:
        study = resolve_study(preset, load_preset(preset), replaced)
    variants = {name: _select(study, selector) for name, selector in selectors.items()}
    return _Subject(title, study, MappingProxyType(variants))
