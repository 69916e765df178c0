"""What variants are called in tables, tests and legends: what tells them from each other."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from aes_lipi.config.variant import BUILT_IN, OPERATOR_FIELDS, Variant
from aes_lipi.errors import printable

_Settings = Mapping[str, Any]

_BY_VALUE = frozenset(
    {
        "prune_method",
        "prune_schedule",
        "environment",
        "cell_evaluation",
        "dataset_name",
        "update_order",
        "topology",
        "initial_weights",
    }
)
"""Choices whose value says which field it is of. They come first, wherever they differ."""

_DIGESTS = tuple(name for name in Variant.model_fields if name.endswith("_digest"))
_LAST = (*_DIGESTS, "graph")
_FIELDS = sorted(
    (name for name in Variant.model_fields if name not in ("name", "is_control")),
    key=lambda name: (name not in _BY_VALUE) + 2 * (name in _LAST),
)
"""In the order in which they tell variants apart."""

_LONGEST = 60  # characters of a value
_DIGEST_SHOWN = 8
_CONTROL = "control: a plain network"
_DRAWN = "random weights"  # told only of variants of which there is nothing else to tell


def label_variants(
    variants: Mapping[str, _Settings], alone: str = "", leave_out: Collection[str] = ()
) -> dict[str, str]:
    """Names that are different for different variants, and say what differs.

    Choices such as the pruning operator are named wherever they differ, other settings only where
    they tell more apart. Of variants that a user gave one name, it comes first, and then what tells
    these from each other. What is the same for all is not named.

    Args:
        variants: their settings by id, as `Variant` or a table of results has them; a setting that
            is missing has its default.
        alone: what a variant is called that differs in nothing.
        leave_out: settings that are told elsewhere.

    Returns:
        by id, in the order given.
    """
    names = {key: _given_name(settings) for key, settings in variants.items()}
    found = dict.fromkeys(variants, "")
    fields = [name for name in _FIELDS if name not in leave_out]
    for name in dict.fromkeys(names.values()):
        among = [
            key for key in variants if names[key] == name or (not name and names[key] != _CONTROL)
        ]
        columns = _telling(fields, [variants[key] for key in among])
        values = {field: set(column) for field, column in columns.items()}
        for place, key in enumerate(among):
            if names[key] == name:
                parts = [
                    value_label(field, column[place], values[field])
                    for field, column in columns.items()
                    if field not in OPERATOR_FIELDS or _is_pruned(variants[key])
                ]
                parts = [part for part in parts if part != _DRAWN] or parts
                found[key] = printable(", ".join(filter(None, [name, *parts])) or alone, None)
    return told_apart(found, {key: f"{name} ({key})" for key, name in found.items()})


def value_label(field: str, value: Any, among: Iterable[str] = ()) -> str:
    """What a setting's value is called in the label of a variant.

    Args:
        field: the setting.
        value: its value.
        among: its values in other variants, from which the label tells it.
    """
    text = _text(value)
    if field == "prune_method" and text == "None":
        return "no pruning"
    if field == "initial_weights":
        return "from PCA" if text == "pca" else _DRAWN
    if field in _BY_VALUE:
        return printable(_short_name(text, (*among, *BUILT_IN.get(field, ()))), _LONGEST)
    if field == "graph" and value is not None:
        text = hashlib.sha256(text.encode()).hexdigest()
    shown = text[:_DIGEST_SHOWN] if field in _LAST else printable(text, _LONGEST)
    return f"{field}={shown}"


def told_apart(names: Mapping[str, str], *longer: Mapping[str, str]) -> dict[str, str]:
    """The names, the longer ones where several share one, and so on."""
    found = dict(names)
    for each in longer:
        counts = Counter(found.values())
        found = {key: each[key] if counts[name] > 1 else name for key, name in found.items()}
    return found


def _given_name(settings: _Settings) -> str:
    """What a user, or being a control, gives a variant for a name; empty for most."""
    name = settings.get("name")
    if settings.get("is_control") is True:
        return _CONTROL
    return name if isinstance(name, str) else ""


def _is_pruned(settings: _Settings) -> bool:
    return _text(settings.get("prune_method")) != "None"


def _texts(field: str, variants: Iterable[_Settings]) -> list[str]:
    """A setting of each variant as a text that is equal where the setting is."""
    values = [settings.get(field) for settings in variants]
    if all(value is values[0] for value in values):
        return []
    default = Variant.model_fields[field].default
    return [_text(default if _is_missing(value) else value) for value in values]


def _is_missing(value: object) -> bool:
    return value is None or value != value  # noqa: PLR0124 - NaN, as tables have it


def _text(value: object) -> str:
    """A value as text, whether a variant, JSON or a table has it."""
    if isinstance(value, list | tuple):
        return ",".join(map(_text, value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _telling(fields: Iterable[str], variants: Sequence[_Settings]) -> dict[str, list[str]]:
    """The settings that tell variants apart, as texts: choices that differ, others where needed."""
    telling: dict[str, list[str]] = {}
    groups, n_groups = [0] * len(variants), 1
    for field in fields:
        column = _texts(field, variants)
        if not column or len(set(column)) == 1:
            continue
        codes: dict[tuple[int, str], int] = {}
        refined = [codes.setdefault(pair, len(codes)) for pair in zip(groups, column, strict=True)]
        if field in _BY_VALUE or len(codes) > n_groups:
            telling[field] = column
            groups, n_groups = refined, len(codes)
    return telling


def _short_name(name: str, among: Iterable[str]) -> str:
    """A dotted path without its module, unless that is what tells it from one of the others."""
    short = name.rpartition(":")[2]
    alike = (other for other in among if other != name and other.rpartition(":")[2] == short)
    return name if any(alike) else short
