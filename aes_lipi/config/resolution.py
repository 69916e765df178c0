"""Settings that follow from other settings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aes_lipi.config.names import PATH_FORM, is_added, registered
from aes_lipi.errors import nearest

_CLUSTERING_NAME = re.compile(r"(?:binary_clustering_)?([0-9]{1,9})_([0-9]{1,9})_([0-9]{1,9})")
_CLUSTERING_FIELDS = ("n_clusters", "n_examples_per_cluster", "n_dim")


def resolve_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what depends on other fields, and bring names to their one spelling.

    Raises:
        ValueError: the data set's name is not of the form it must have.
    """
    settings = dict(given)
    if settings.get("prune_method", "None") in (None, "none", "None"):
        settings["prune_method"] = "None"
    _resolve_canonical(settings)
    _resolve_sizes(settings)
    if settings.get("data") is not None:
        _resolve_file(settings)
    elif _is_made_by_a_user(settings):
        _refuse_sizes(settings, "leave it out with data of your own")
    else:
        _resolve_clustering(settings)
    return settings


def _resolve_canonical(settings: dict[str, Any]) -> None:
    """The baseline is a ring of one with its own optimiser and learning-rate policy."""
    canonical = settings.get("cell_evaluation") == "ann_canonical"
    if canonical:
        settings |= {"population_size": 1, "radius": 0, "topology": "ring", "grid_rows": None}
    if settings.get("learning_rate_policy") is None:
        settings["learning_rate_policy"] = "step" if canonical else "walk"
    if settings.get("optimizer_state") is None:
        settings["optimizer_state"] = "cell" if canonical else "step"


def _resolve_sizes(settings: dict[str, Any]) -> None:
    """Layer widths may come as the text of a flag: `60,30`."""
    sizes = settings.get("hidden_sizes")
    if isinstance(sizes, str):
        settings["hidden_sizes"] = [part.strip() for part in sizes.split(",") if part.strip()]
    elif isinstance(sizes, int):
        settings["hidden_sizes"] = [sizes]


def _resolve_file(settings: dict[str, Any]) -> None:
    settings["dataset_name"] = Path(str(settings["data"])).stem
    _refuse_sizes(settings, "leave it out with --data")


def _refuse_sizes(settings: Mapping[str, Any], remedy: str) -> None:
    for field in _CLUSTERING_FIELDS:
        if settings.get(field) is not None:
            raise ValueError(f"{field}: describes generated data; {remedy}")


def _is_made_by_a_user(settings: Mapping[str, Any]) -> bool:
    """Whether the data set's name is that of a function of a user's."""
    name = settings.get("dataset_name")
    if not isinstance(name, str) or _CLUSTERING_NAME.fullmatch(name):
        return False
    try:
        return is_added("dataset_name", name)
    except ValueError as error:
        raise ValueError(f"dataset_name: {error}") from None


def _resolve_clustering(settings: dict[str, Any]) -> None:
    name = str(settings.get("dataset_name", "binary_clustering_10_100_1000"))
    match = _CLUSTERING_NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"dataset_name: {name[:60]!r} is not binary_clustering_{{clusters}}_{{examples}}_"
            "{dimensions}, such as binary_clustering_10_100_1000, nor "
            f"{PATH_FORM}{nearest(name, registered('dataset_name'))}; for a file use --data FILE"
        )
    for field, digits in zip(_CLUSTERING_FIELDS, match.groups(), strict=True):
        if settings.get(field) is None:
            settings[field] = int(digits)
    settings["dataset_name"] = "binary_clustering_" + "_".join(
        str(settings[field]) for field in _CLUSTERING_FIELDS
    )
