"""Which variants share a panel, and what each of its lines is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aes_lipi.config import LABELLED_BY_VALUE, OPERATOR_FIELDS, Variant, value_label

PANEL_SETTINGS: Mapping[str, str] = {
    "prune_method": "operator",
    "prune_schedule": "schedule",
    "environment": "environment",
    "cell_evaluation": "cell evaluation",
    "population_size": "population size",
    "dataset_name": "data set",
}
"""The settings by which a study's curves are set side by side, and what titles call them."""

UNPRUNED = "no pruning"


@dataclass(frozen=True)
class Panel:
    """Variants that are drawn together.

    Attributes:
        title: above the panel; empty if there is one panel only.
        lines: by variant id, what its line is called; the same name looks the same in all panels.
    """

    title: str
    lines: Mapping[str, str]


def one_panel(labels: Mapping[str, str]) -> tuple[Panel, ...]:
    """All variants together."""
    return (Panel("", labels),)


def panels_by(
    setting: str, trials: pd.DataFrame, labels: Mapping[str, str]
) -> tuple[Panel, ...] | None:
    """A panel for each value of a setting, with a line for each of its variants.

    A variant without pruning has no schedule: it is in all panels by schedule, to compare with.

    Args:
        setting: one of `PANEL_SETTINGS`.
        trials: the table of trials.
        labels: of the variants.

    Returns:
        in the order of the variants; None where the setting does not vary, or where every panel
        would have one line.
    """
    settings = settings_of(trials, labels)
    values = settings[setting]
    everywhere = _unpruned(settings) if setting in OPERATOR_FIELDS else values.isna()
    groups = list(dict.fromkeys(values[~everywhere]))
    if len(groups) < 2:
        return None
    panels = [
        Panel(
            value_label(setting, value, map(str, groups)),
            _lines(settings[(values == value) | everywhere], labels),
        )
        for value in groups
    ]
    most = max(len(set(panel.lines) - set(values.index[everywhere])) for panel in panels)
    return tuple(panels) if most > 1 else None


def settings_of(trials: pd.DataFrame, labels: Iterable[str]) -> pd.DataFrame:
    """The settings of the variants that have trials, by id, in the order of the labels."""
    first = trials.drop_duplicates("variant").set_index("variant")
    known = [variant for variant in labels if variant in first.index]
    return first.loc[known, list(Variant.model_fields)]


def varying_settings(settings: pd.DataFrame) -> list[str]:
    """The settings in which the variants differ; those of operators among variants with one."""
    pruned = settings[~_unpruned(settings)]
    return [
        name
        for name in settings.columns
        if (pruned if name in OPERATOR_FIELDS else settings)[name].nunique(dropna=False) > 1
    ]


def _unpruned(settings: pd.DataFrame) -> pd.Series[bool]:
    """Of which variants nothing is pruned, by id."""
    return settings["prune_method"] == "None"


def _lines(settings: pd.DataFrame, labels: Mapping[str, str]) -> dict[str, str]:
    """What tells the variants of a panel apart, by id.

    Settings that are the same for all of them are left out, and those that tell no more apart than
    the ones before them: named choices come first.
    """
    alone = _unpruned(settings)
    columns = {name: settings[name].map(repr) for name in settings.columns}
    for name in (*OPERATOR_FIELDS, "prune_method"):
        columns[name] = columns[name].where(~alone, "")
    telling: list[str] = []
    known = 1
    for name in sorted(columns, key=lambda each: each not in LABELLED_BY_VALUE):
        groups = len(set(zip(*(columns[each] for each in (*telling, name)), strict=True)))
        if groups > known:
            telling.append(name)
            known = groups
    among = {name: settings[name].map(str).unique().tolist() for name in telling}
    return {
        variant: _line_name(settings.loc[variant], among, labels[variant])
        for variant in settings.index
    }


def _line_name(settings: pd.Series[Any], among: Mapping[str, list[str]], label: str) -> str:
    """A variant's values of the settings that tell it from the others of its panel.

    Args:
        settings: of the variant.
        among: the settings that tell the variants apart, and the values that there are.
        label: of the variant, where none does.
    """
    if settings["prune_method"] == "None":
        others = [name for name in among if name not in {*OPERATOR_FIELDS, "prune_method"}]
        names = [value_label(name, settings[name], among[name]) for name in others]
        return ", ".join([UNPRUNED, *names])
    return ", ".join(value_label(name, settings[name], among[name]) for name in among) or label
