"""What tables and figures call the variants of one or several studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import pandas as pd


def variant_labels(order: Iterable[str], tried: pd.DataFrame) -> dict[str, str]:
    """Names that are different for different variants.

    A variant is called what its study calls it; where several studies use one name, the study's
    name is put before it, and where that does not tell them apart, the variant's id behind it.

    Args:
        order: ids of variants, in the order wanted.
        tried: the columns `variant`, `variant_name` and `study` of trials; the first row of a
            variant counts.

    Returns:
        by id, in that order, those that were tried.
    """
    first = tried.drop_duplicates("variant").set_index("variant").astype(object)
    named = first.where(first.notna(), "")
    names = {
        variant: shown_name(named["variant_name"][variant])
        for variant in order
        if variant in named.index
    }
    studies = {variant: shown_name(named["study"][variant]) for variant in names}
    within = {variant: f"{studies[variant]}: {name}" for variant, name in names.items()}
    unique = {variant: f"{name} ({variant})" for variant, name in within.items()}
    return told_apart(names, within, unique)


def shown_name(text: object) -> str:
    """A name from a file as pages and figures can show it: without what no font has."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(text))


def told_apart(names: Mapping[str, str], *longer: Mapping[str, str]) -> dict[str, str]:
    """The names, the longer ones where several share one, and so on."""
    found = dict(names)
    for each in longer:
        counts = Counter(found.values())
        found = {key: each[key] if counts[name] > 1 else name for key, name in found.items()}
    return found
