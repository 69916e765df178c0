"""Figures and controls with the studies and variants that are behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from aes_lipi.api import load_study
from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError, printable
from aes_lipi.reproduction.published import Published, Selector

Overrides = Callable[[Study], Mapping[str, Any]]


@dataclass(frozen=True)
class Subject:
    """A figure or a control.

    Attributes:
        title: what it shows or asks.
        study: its preset.
        variants: of that study, by series.
    """

    title: str
    study: Study
    variants: Mapping[str, Variant]


def all_subjects(published: Published, overrides: Overrides) -> dict[str, Subject]:
    """All figures and controls, by name, in the order of the file.

    Args:
        published: whose.
        overrides: says of a preset which of its fields are replaced; see `load_study`.

    Raises:
        UserError: a preset is not what `published.yaml` describes.
    """
    found = {}
    for figure in published.figures:
        selectors = {series.name: series.variant for series in figure.series}
        found[figure.name] = _subject(figure.title, figure.preset, selectors, overrides)
    for control in published.controls:
        found[control.name] = _subject(control.question, control.preset, control.series, overrides)
    return found


def select(study: Study, selector: Selector) -> Variant:
    """The variant of a study that has these settings.

    Raises:
        UserError: there is none, there are several, or a field is not known.
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


def only_series(subject: Subject, series: Iterable[str]) -> Subject:
    """The same one with some of its series, its study with their variants only."""
    variants = {name: each for name, each in subject.variants.items() if name in set(series)}
    study = _with_variants(subject.study, variants.values())
    return replace(subject, study=study, variants=MappingProxyType(variants))


def holders(subjects: Mapping[str, Subject]) -> dict[str, str]:
    """By the id of each variant, the name of the first subject whose study has it."""
    found: dict[str, str] = {}
    for name, subject in subjects.items():
        for variant in subject.study.variants:
            found.setdefault(variant.id, name)
    return found


def without_repetitions(subjects: Mapping[str, Subject]) -> dict[str, Subject]:
    """The same ones, their studies without the variants that those of earlier ones have."""
    holder = holders(subjects)
    return {
        name: replace(
            subject,
            study=_with_variants(
                subject.study,
                [each for each in subject.study.variants if holder[each.id] == name],
            ),
        )
        for name, subject in subjects.items()
    }


def _subject(
    title: str, preset: str, selectors: Mapping[str, Selector], overrides: Overrides
) -> Subject:
    study = load_study(preset)
    replaced = overrides(study)
    if replaced:
        study = load_study(preset, replaced)
    variants = {name: select(study, selector) for name, selector in selectors.items()}
    return Subject(title, study, MappingProxyType(variants))


def _with_variants(study: Study, variants: Iterable[Variant]) -> Study:
    """A new study: a copy would keep the labels that the old one has worked out."""
    return Study.model_validate({**dict(study), "variants": tuple(variants)})
