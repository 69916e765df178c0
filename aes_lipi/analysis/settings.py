"""In which settings variants differ, which of them are swept numbers, and which noise data have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from aes_lipi.autoencoders.environments import ENVIRONMENTS
from aes_lipi.config import BUILT_IN, OPERATOR_FIELDS, Variant, label_variants, value_label
from aes_lipi.config.variant import METHODS_WITHOUT_AMOUNT
from aes_lipi.errors import UserError, nearest, printable

_NAMES = ("name", "label")  # what tells variants apart, but is no choice of an experiment


def _all_but(field: str, name: str) -> tuple[str, ...]:
    return tuple(other for other in BUILT_IN[field] if other != name)


_UNUSED: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "prune_amount": ("prune_method", METHODS_WITHOUT_AMOUNT),
    **dict.fromkeys(
        ("lexi_threshold", "lexicase_split"), ("prune_method", _all_but("prune_method", "lexicase"))
    ),
    **{
        name: ("prune_schedule", _all_but("prune_schedule", schedule))
        for name, schedule in {
            **{"final_n_start": "final_n", "exponential_rate": "exponential"},
            **{"decrease_from": "decrease", "gradual_start": "gradual"},
        }.items()
    },
}
"""Settings of operators and schedules, and the built-in ones that do not read them."""


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


def choices(settings: pd.DataFrame) -> list[str]:
    """The settings in which variants differ, without the names that a user gave them."""
    return [name for name in varying_settings(settings) if name not in _NAMES]


def unpruned(settings: pd.DataFrame) -> pd.Series[bool]:
    """Of which variants nothing is pruned, by id."""
    return settings["prune_method"] == "None"


def ruled_out(settings: pd.DataFrame, name: str) -> pd.Series[str]:
    """By variant, what makes a setting mean nothing, as labels have it; empty where it counts.

    It is None, or the variant's operator or schedule does not read it, or nothing is pruned.

    Args:
        settings: of the variants.
        name: the setting.
    """
    told = pd.Series("", settings.index, dtype=object)
    by_operator = ("prune_method", ("None",) if name in OPERATOR_FIELDS else ())
    for by, values in (_UNUSED.get(name, by_operator), by_operator):
        labels = settings[by].map(lambda value, by=by: value_label(by, value))
        told = told.mask(settings[by].isin(values), labels)
    return told.mask(settings[name].isna(), value_label(name, None))


def _counted(settings: pd.DataFrame, name: str) -> pd.Series[float]:
    """A number of every variant; NaN where it means nothing."""
    return settings[name].mask(ruled_out(settings, name) != "")


def groups_by(settings: pd.DataFrame, name: str) -> dict[str, pd.Index[str]]:
    """Variants by their value of a setting, None among them.

    What is not pruned has no settings of operators: it is in all groups by one, to compare with.

    Args:
        settings: of the variants.
        name: the setting.

    Returns:
        by what labels call the value the ids, both in the order of the variants; values that labels
        call alike, as they cut long ones, are numbered.
    """
    everywhere = unpruned(settings) & (name in OPERATOR_FIELDS)
    values = settings[name].astype(object).where(settings[name].notna(), None)
    known = list(dict.fromkeys(values[~everywhere]))
    titles = [value_label(name, value, map(str, known)) for value in known]
    return {
        title if titles.count(title) == 1 else f"{title} ({k})": settings.index[
            everywhere | (values.isna() if value is None else values == value)
        ]
        for k, (title, value) in enumerate(zip(titles, known, strict=True), 1)
    }


def swept_numbers(settings: pd.DataFrame) -> list[str]:
    """The settings that are numbers in which alone some variants differ, seeds left out.

    Variants for which a setting means nothing do not count.
    """
    return [
        name
        for name in varying_settings(settings)
        if pd.api.types.is_numeric_dtype(settings[name])
        and not pd.api.types.is_bool_dtype(settings[name])
        and not name.endswith("seed")
        and _counted(settings, name).groupby(_beside(settings, [name])).nunique().max() > 1
    ]


def are_swept_together(settings: pd.DataFrame, x: str, y: str) -> bool:
    """Whether variants differ in both of two numbers and agree in all else: they make a map."""
    counted = pd.concat([_counted(settings, name) for name in (x, y)], axis=1).dropna()
    values = counted.groupby(_beside(settings, [x, y])).nunique()
    return bool((values > 1).all(axis=1).any())


def check_swept(settings: pd.DataFrame, name: str) -> None:
    """Refuse what is no swept number.

    Raises:
        UserError: no variants differ in a setting of that name alone that is a number; those in
            which some do are told.
    """
    known = swept_numbers(settings)
    if name not in known:
        there = f"; there are {', '.join(known)}" if known else ""
        close = nearest(name, known)
        raise UserError(f"{printable(name)}: no number that is swept{close or there}")


def groups_beside(settings: pd.DataFrame, leave_out: Sequence[str]) -> dict[str, pd.Index[str]]:
    """Variants that differ in nothing but some settings, by what tells the groups from each other.

    Args:
        settings: of the variants.
        leave_out: the settings in which the variants of a group may differ.

    Returns:
        by a label, which is empty where there is one group, the ids, in the order of the variants.
    """
    keys = _beside(settings, leave_out)
    groups = {ids[0]: ids for ids in (keys.index[keys == key] for key in keys.unique())}
    names = named(settings.loc[list(groups)], leave_out)
    return {name: groups[first] for first, name in names.items()}


def _beside(settings: pd.DataFrame, leave_out: Iterable[str]) -> pd.Series[str]:
    """By variant all settings that vary but for some; the same of those that agree in them."""
    others = [name for name in choices(settings) if name not in leave_out]
    known = settings[others].map(str)
    for name in OPERATOR_FIELDS:
        if name in known:
            known.loc[unpruned(settings), name] = ""
    return known.agg("\n".join, axis=1) if others else pd.Series("", known.index)


def named(settings: pd.DataFrame, leave_out: Iterable[str]) -> Mapping[str, str]:
    """What tells variants apart, by id, besides some settings; empty for one that is alone."""
    rows = settings.drop(columns="name").astype(object).to_dict("index")
    return label_variants({str(key): row for key, row in rows.items()}, leave_out=[*leave_out])  # type: ignore[misc]


def noise_of(trials: pd.DataFrame) -> float | None:
    """The L1 of an answer without fault on generated data; None where it is not one value."""
    generated = trials["data"].isna() & trials["n_dim"].notna()
    levels = trials.loc[generated, "noise_probability"].unique()
    return float(levels[0]) if generated.all() and len(levels) == 1 and levels[0] > 0 else None


def published_baselines(trials: pd.DataFrame) -> list[str]:
    """Ids of the variants whose loss of a training batch is not that of one that is drawn.

    It is the lowest of all batches of an epoch, each before its update (algorithm section 7), and
    not to be compared with the others'.
    """
    found = trials["cell_evaluation"].eq("ann_canonical") & trials["measurement"].eq("published")
    return [str(each) for each in trials.loc[found, "variant"].unique()]


def trained_on(settings: Mapping[str, Any]) -> str:
    """Which loss a variant is trained on, by its name; of a user's environment, that one's name."""
    environment, loss = (settings.get(name) for name in ("environment", "loss"))
    if isinstance(loss, str):
        return loss
    known = ENVIRONMENTS.get(str(environment))
    return str(environment) if known is None else known.loss


def loss_kinds(trials: pd.DataFrame) -> set[str]:
    """What trials were trained on, see `trained_on`."""
    known = trials.reindex(columns=["environment", "loss"]).drop_duplicates()
    return {trained_on(each) for each in known.to_dict("records")}  # type: ignore[arg-type]


def without_batches(kinds: Collection[str]) -> str:
    """Why losses on a training batch are not drawn together, as a sentence; empty if they can be.

    Args:
        kinds: what the trials were trained on.
    """
    if len(kinds) <= 1:
        return ""
    return (
        "Losses on a training batch, known of every generation, are of several kinds "
        f"({printable(', '.join(sorted(kinds)))}), and not drawn."
    )
