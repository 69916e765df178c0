"""What a reproduction runs: the presets as they are, or some of them scaled down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.reproduction.published import Published, load_published
from aes_lipi.reproduction.subjects import (
    Subject,
    all_subjects,
    holders,
    only_series,
    without_repetitions,
)
from aes_lipi.results.storage import join


@dataclass(frozen=True)
class Scale:
    """How far a reproduction is scaled down.

    Attributes:
        trials: replicates of every variant.
        epochs: generations of every trial.
        population_size: cells of every ring; the baseline has one as ever.
    """

    trials: int
    epochs: int
    population_size: int = 5

    def overrides(self, study: Study) -> Mapping[str, int]:
        """Which fields of a preset are replaced, by what."""
        replaced = {"trials": self.trials, "epochs": self.epochs}
        largest = max(variant.population_size for variant in study.variants)
        if largest > self.population_size:
            replaced["population_size"] = self.population_size
        return replaced


QUICK = Scale(trials=9, epochs=400, population_size=4)
"""What ends within 15 minutes on two cores: few trials and small rings, but all generations.

Random pruning pulls ahead on the ring late, when learning rates have drifted up: with half of the
generations the paper's main claim cannot be seen.
"""

QUICK_FIGURES = ("best_of_lipi", "best_of_canonical")
"""What is run scaled down, besides the controls, unless figures are named."""

QUICK_CONTROL_SERIES = ("none",)
"""What is run of a control that is scaled down."""

QUICK_FOLDER = "quick"
DEFAULT_RESULTS = Path("results")


@dataclass(frozen=True)
class PlannedStudy:
    """A study to run, to go on with, or to read.

    Attributes:
        study: what is run.
        location: its output folder or address.
        why: what needs it, in a line.
    """

    study: Study
    location: str | Path
    why: str


@dataclass(frozen=True)
class Plan:
    """What a reproduction runs and looks at.

    Attributes:
        published: what it is compared with.
        scale: how far it is scaled down; None if it is not.
        asked: names of the figures and controls that were asked for.
        variants: of the figures and controls that are run, those asked for and those that controls
            are compared with: by name, the variants by series.
        studies: what to run, in this order.
    """

    published: Published
    scale: Scale | None
    asked: tuple[str, ...]
    variants: Mapping[str, Mapping[str, Variant]]
    studies: tuple[PlannedStudy, ...]


def full_plan(output_dir: str | Path = DEFAULT_RESULTS, names: Sequence[str] | None = None) -> Plan:
    """Every preset as it is, where `run.py --rq` puts it.

    Args:
        output_dir: the folder or address in which every preset has a folder.
        names: figures and controls; by default all.

    Raises:
        UserError: a name is not known, or a preset is not what `published.yaml` describes.
    """
    published = load_published()
    asked = _asked(published, names)
    subjects = all_subjects(published, lambda _: {})
    reasons = _reasons(published, subjects, asked)
    return Plan(
        published=published,
        scale=None,
        asked=asked,
        variants=_variants(subjects, reasons),
        studies=_studies(subjects, reasons, output_dir),
    )


def quick_plan(
    output_dir: str | Path = DEFAULT_RESULTS,
    names: Sequence[str] | None = None,
    scale: Scale | None = None,
) -> Plan:
    """Some presets scaled down, in a folder of their own.

    A variant that several presets have in common is run in the first of them only. Which one that
    is does not depend on the names, so that a folder always holds the same study. Of controls, only
    the variants without pruning are run.

    Args:
        output_dir: the folder or address in which there is the folder `quick`.
        names: figures and controls; by default `QUICK_FIGURES` and all controls are run.
        scale: how far it is scaled down; by default as far as `QUICK`.

    Raises:
        UserError: as `full_plan`.
    """
    published = load_published()
    asked = _asked(published, names)
    scale = scale or QUICK
    subjects = _scaled(published, scale)
    run = asked if names else (*QUICK_FIGURES, *(each.name for each in published.controls))
    reasons = _reasons(published, subjects, run)
    own = without_repetitions(subjects)
    return Plan(
        published=published,
        scale=scale,
        asked=asked,
        variants=_variants(subjects, reasons),
        studies=_studies(own, _with_holders(subjects, reasons), join(output_dir, QUICK_FOLDER)),
    )


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


def _scaled(published: Published, scale: Scale) -> dict[str, Subject]:
    """All figures and controls scaled down, controls without the series that are left out."""
    subjects = all_subjects(published, scale.overrides)
    for control in published.controls:
        subjects[control.name] = only_series(subjects[control.name], QUICK_CONTROL_SERIES)
    return subjects


def _reasons(
    published: Published, subjects: Mapping[str, Subject], names: Iterable[str]
) -> dict[str, str]:
    """What these figures and controls need, and why."""
    reasons = {name: subjects[name].title for name in names}
    if any(control.name in reasons for control in published.controls):
        for figure in (published.reference("baseline"), published.reference("ring")):
            reasons.setdefault(figure.name, "controls are compared with it")
    return reasons


def _with_holders(subjects: Mapping[str, Subject], reasons: Mapping[str, str]) -> dict[str, str]:
    """The same, and what runs a variant for these."""
    holder = holders(subjects)
    extended = dict(reasons)
    for name in reasons:
        for variant in subjects[name].variants.values():
            extended.setdefault(holder[variant.id], f"a variant of {name} is run in it")
    return extended


def _variants(
    subjects: Mapping[str, Subject], reasons: Mapping[str, str]
) -> Mapping[str, Mapping[str, Variant]]:
    needed = {name: each.variants for name, each in subjects.items() if name in reasons}
    return MappingProxyType(needed)


def _studies(
    subjects: Mapping[str, Subject], reasons: Mapping[str, str], folder: str | Path
) -> tuple[PlannedStudy, ...]:
    """The studies that there is a reason for, in the order of the file."""
    return tuple(
        PlannedStudy(each.study, join(folder, each.study.name), reasons[name])
        for name, each in subjects.items()
        if name in reasons and each.study.variants
    )
