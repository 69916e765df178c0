"""Which variants share a panel, and what each of its lines is called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aes_lipi.config import Variant
from aes_lipi.config.study import value_label
from aes_lipi.config.variant import OPERATOR_FIELDS

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
    varying = [name for name in varying_settings(settings) if name != setting]
    values = settings[setting].copy()
    everywhere = unpruned(settings) if setting in OPERATOR_FIELDS else values.isna()
    groups = list(dict.fromkeys(values[~everywhere]))
    if len(groups) < 2:
        return None
    panels = []
    for value in groups:
        inside = settings[(values == value) | everywhere]
        lines = {
            variant: _line_name(inside.loc[variant], varying, labels[variant])
            for variant in inside.index
        }
        panels.append(Panel(value_label(setting, value), lines))
    most = max(len(set(panel.lines) - set(values.index[everywhere])) for panel in panels)
    return tuple(panels) if most > 1 else None


def settings_of(trials: pd.DataFrame, labels: Iterable[str]) -> pd.DataFrame:
    """The settings of the variants that have trials, by id, in the order of the labels."""
    first = trials.drop_duplicates("variant").set_index("variant")
    known = [variant for variant in labels if variant in first.index]
    return first.loc[known, list(Variant.model_fields)]


def varying_settings(settings: pd.DataFrame) -> list[str]:
    """The settings in which the variants differ; those of operators among variants with one."""
    pruned = settings[~unpruned(settings)]
    return [
        name
        for name in settings.columns
        if (pruned if name in OPERATOR_FIELDS else settings)[name].nunique(dropna=False) > 1
    ]


def unpruned(settings: pd.DataFrame) -> pd.Series[bool]:
    """Of which variants nothing is pruned, by id."""
    return settings["prune_method"] == "None"


def _line_name(settings: pd.Series[Any], varying: Sequence[str], label: str) -> str:
    """What tells a variant from the others of its panel."""
    if settings["prune_method"] == "None":
        others = [name for name in varying if name not in {*OPERATOR_FIELDS, "prune_method"}]
        return ", ".join([UNPRUNED, *(value_label(name, settings[name]) for name in others)])
    return ", ".join(value_label(name, settings[name]) for name in varying) or label
