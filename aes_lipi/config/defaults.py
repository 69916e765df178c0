"""What a setting may name, and what it is where it is left out and depends on others.

Of what users add, only names are looked at here: a dotted path, or what an installed package
registers. `aes_lipi.extension` imports what they stand for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from aes_lipi.config.parameters import one_name, split_name
from aes_lipi.errors import UserError, nearest, printable

GROUPS: Mapping[str, str] = {
    "prune_method": "aes_lipi.prune_methods",
    "prune_schedule": "aes_lipi.prune_schedules",
    "environment": "aes_lipi.environments",
    "loss": "aes_lipi.losses",
    "topology": "aes_lipi.topologies",
    "dataset_name": "aes_lipi.datasets",
    "metrics": "aes_lipi.metrics",
}
"""By field, the group of entry points in which packages register what it may name."""

_PATH_FORM = "package.module:attribute"


def is_path(name: str) -> bool:
    """Whether a name has the form `package.module:attribute`."""
    module, colon, attribute = name.partition(":")
    parts = [*module.split("."), *attribute.split(".")]
    return bool(colon) and all(part.isidentifier() for part in parts)


def registered(field: str) -> Mapping[str, tuple[str, ...]]:
    """What installed packages register for a field: by name the paths, more than one if at odds."""
    return _registered(GROUPS[field], tuple(sys.path))


@lru_cache(maxsize=16)
def _registered(group: str, search_path: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Of one group; remembered, for it takes some time and a study may have many variants."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to import

    found: dict[str, dict[str, None]] = {}
    for each in entry_points(group=group):
        found.setdefault(each.name, {})[f"{each.module}:{each.attr or ''}"] = None
    return {name: tuple(paths) for name, paths in found.items()}


def _is_added(field: str, name: str) -> bool:
    """Whether a name that is not built in can stand for something of a user's.

    Raises:
        ValueError: several packages register it for different things.
    """
    if is_path(name):
        return True
    paths = registered(field).get(name, ())
    if len(paths) > 1:
        raise ValueError(
            f"{printable(name)} is registered for {' and for '.join(paths)}; give one of these"
        )
    return bool(paths)


def known_name(field: str, name: object, built_in: Iterable[str]) -> str:
    """A name that a field can have.

    Raises:
        ValueError: the name is neither built in nor registered, nor a dotted path; known
            names and the nearest are listed.
    """
    built_in = tuple(built_in)
    bare, parameters = split_name(name) if isinstance(name, str) else ("", ())
    if parameters and bare in built_in:
        raise ValueError(f"{bare} is built in: what it takes are fields of their own")
    if isinstance(name, str) and (bare in built_in or _is_added(field, bare)):
        return name
    *others, last = (repr(each) for each in (*built_in, *registered(field)))
    close = nearest(name, [*built_in, *registered(field)]) if isinstance(name, str) else ""
    raise ValueError(
        f"input should be {', '.join(others)} or {last}, or {_PATH_FORM} for one of your own{close}"
    )


def known_metrics(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of metrics, each with a column of its own.

    Raises:
        ValueError: a name is no dotted path and not registered, or two have the same column.
    """
    for name in names:
        if not _is_added("metrics", name):
            close = nearest(name, registered("metrics"))
            raise ValueError(f"{printable(name)}: give {_PATH_FORM}, a function of yours{close}")
    columns = [metric_column(name) for name in names]
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(f"two would be the column {column}; give one of them another name")
    return names


METRIC_PREFIX = "metric_"


def metric_column(name: str) -> str:
    """The column of `generations` that a metric fills: its name without its module."""
    return METRIC_PREFIX + re.split("[:.]", name)[-1]


_CLUSTERING_NAME = re.compile(r"(?:binary_clustering_)?([0-9]{1,9})_([0-9]{1,9})_([0-9]{1,9})")
_CLUSTERING_FIELDS = ("n_clusters", "n_examples_per_cluster", "n_dim")
_COMPRESSED = frozenset({".gz", ".gzip", ".bz2", ".xz", ".zst", ".zip"})
_ALONE: Mapping[str, Any] = {
    "population_size": 1,
    "radius": 0,
    "topology": "ring",
    **{"grid_rows": None, "edges": None, "graph": None},
}
"""Of the baseline, whatever is given."""


TRUTHS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "y", "t", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "f", "0"), False),
}
"""How a file may write yes and no."""

_FORMER_TRUTHS = {word: "recorded" if truth else "none" for word, truth in TRUTHS.items()}

OTHER_NAMES: Mapping[str, str] = {
    "store_recorded": "store_generations",
    "calculate_test_loss": "record_test_loss",
    "data_subsample": "cell_data_fraction",
    "identical_initial_ann": "identical_initial_networks",
    "ae_quality_measures": "retrieval_measures",
}
"""Names of fields in earlier versions, and in the published code, and what they are called here."""


def in_present_words(given: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names, and with the values, that they have here.

    Raises:
        UserError: a measure of `ae_quality_measures` is neither of the two; give L1 or all. Or a
            setting has both of its names; give one.
    """
    refuse_two_names(given)
    settings = dict(given)
    for other, name in OTHER_NAMES.items():
        if other in settings:
            settings[name] = in_present_values(other, settings.pop(other))
    return settings


def refuse_two_names(given: Iterable[str]) -> None:
    """Refuse a setting by both of its names.

    Raises:
        UserError: it has both; give one.
    """
    names = set(given)
    for other, name in OTHER_NAMES.items():
        if {other, name} <= names:
            raise UserError(f"{other} and {name}: are one setting; give one of them")


def in_present_values(name: str, value: Any) -> Any:
    """What a value, or a list of values, of a field by another name is here.

    Raises:
        UserError: as `in_present_words`.
    """
    if name == "ae_quality_measures":
        return _wants_all(value if isinstance(value, list) else str(value).split(","))
    if name != "store_recorded":
        return value
    return [_stored(each) for each in value] if isinstance(value, list) else _stored(value)


def _stored(value: Any) -> Any:
    """What `store_recorded`, which was yes or no, stands for."""
    return _FORMER_TRUTHS.get(str(value).lower(), value)


def _wants_all(measures: Iterable[Any]) -> bool:
    """Whether more than the loss is measured.

    Raises:
        UserError: a measure is neither of the two.
    """
    names = [str(name).strip() for name in measures]
    for name in names:
        if name not in ("L1", "all"):
            raise UserError(f"ae_quality_measures: {printable(name)}: give L1 or all")
    return "all" in names


def resolve_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Fill in what depends on other fields, and bring names to their one spelling.

    Raises:
        ValueError: the data set's name is not of the form it must have; or the sizes of generated
            data are given with data of another kind, and must be left out.
    """
    settings = dict(given)
    if isinstance(settings.get("dataset_name"), Mapping):
        settings["dataset_name"] = one_name(settings["dataset_name"])
    if settings.get("prune_method", "None") in (None, "none", "None"):
        settings["prune_method"] = "None"
    canonical = settings.get("cell_evaluation") == "ann_canonical"
    settings |= _ALONE if canonical else {}
    for field, policy in _policies(canonical).items():
        if settings.get(field) is None:
            settings[field] = policy
    _resolve_sizes(settings)
    _resolve_topology(settings)
    _resolve_metrics(settings)
    if settings.get("data") is not None:
        _resolve_file(settings)
    elif _is_made_by_a_user(settings):
        _refuse_sizes(settings, "leave it out with data of your own")
    else:
        _resolve_clustering(settings)
    return settings


SEPARATORS: Mapping[str, str] = {
    "comma": ",",
    "semicolon": ";",
    "tab": "\t",
    "pipe": "|",
    "space": " ",
}
"""What separates the columns of a text file, by name."""


def separator_name(given: Any) -> str:
    """The one spelling of a separator: its name, or the character where it has none.

    Raises:
        ValueError: neither a name nor one character that no number holds.
    """
    text = {"\\t": "\t", "\\s+": " ", r"\|": "|"}.get(str(given), str(given))
    if text == "auto" or text in SEPARATORS:
        return text
    names = {character: name for name, character in SEPARATORS.items()}
    if text in names:
        return names[text]
    if len(text) != 1 or not text.isascii() or not text.isprintable() or text.isalnum():
        text = ""
    if text == "" or text in "+-.\"'#":
        raise ValueError(f"give auto, {', '.join(SEPARATORS)}, or one other character")
    return text


def dependent_defaults(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the fields of a variant that depend on others would be, had they been left out.

    Args:
        settings: all of the variant's.
    """
    canonical = settings["cell_evaluation"] == "ann_canonical"
    match = None if settings["data"] else _CLUSTERING_NAME.fullmatch(settings["dataset_name"])
    sizes = zip(_CLUSTERING_FIELDS, map(int, match.groups() if match else ()), strict=False)
    return {**(_ALONE if canonical else {}), **_policies(canonical), **dict(sizes)}


def _policies(canonical: bool) -> dict[str, str]:
    """Learning rate and optimiser: the baseline, a ring of one, has others than a ring."""
    return {
        "learning_rate_policy": "step" if canonical else "walk",
        "optimizer_state": "cell" if canonical else "step",
    }


NAMES_FIELDS = ("columns", "drop_columns")
"""Fields that hold names of columns."""


def _resolve_sizes(settings: dict[str, Any]) -> None:
    """Layer widths and names of columns may come as the text of a flag: `60,30`."""
    for field in NAMES_FIELDS:
        if isinstance(names := settings.get(field), str | int):
            settings[field] = [part.strip() for part in str(names).split(",") if part.strip()]
        elif isinstance(names, list | tuple):
            settings[field] = [str(name) if isinstance(name, int) else name for name in names]
        settings[field] = settings.get(field) or None
    if isinstance(settings.get("label"), int):
        settings["label"] = str(settings["label"])
    sizes = settings.get("hidden_sizes")
    if isinstance(sizes, str):
        settings["hidden_sizes"] = [part.strip() for part in sizes.split(",") if part.strip()]
    elif isinstance(sizes, int):
        settings["hidden_sizes"] = [sizes]


def _resolve_topology(settings: dict[str, Any]) -> None:
    """What edges or a graph make of a topology that is left out."""
    if settings.get("edges") is not None or settings.get("graph") is not None:
        settings.setdefault("topology", "graph")


def _resolve_metrics(settings: dict[str, Any]) -> None:
    """Names of metrics may come as the text of a flag: `mine:one,mine:other`."""
    names = settings.get("metrics")
    if isinstance(names, str):
        names = [part.strip() for part in names.split(",") if part.strip()]
    settings["metrics"] = names or None


def _resolve_file(settings: dict[str, Any]) -> None:
    path = Path(str(settings["data"]))
    inner = Path(path.stem) if path.suffix.lower() in _COMPRESSED else path
    settings["dataset_name"] = inner.stem
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
        return _is_added("dataset_name", split_name(name)[0])
    except ValueError as error:
        raise ValueError(f"dataset_name: {error}") from None


def _resolve_clustering(settings: dict[str, Any]) -> None:
    name = str(settings.get("dataset_name", "binary_clustering_10_100_1000"))
    match = _CLUSTERING_NAME.fullmatch(name)
    if match is None:
        raise ValueError(
            f"dataset_name: {name[:60]!r} is not binary_clustering_{{clusters}}_{{examples}}_"
            "{dimensions}, such as binary_clustering_10_100_1000, nor "
            f"{_PATH_FORM}{nearest(name, registered('dataset_name'))}; for a file use --data FILE"
        )
    for field, digits in zip(_CLUSTERING_FIELDS, match.groups(), strict=True):
        if settings.get(field) is None:
            settings[field] = int(digits)
    settings["dataset_name"] = "binary_clustering_" + "_".join(
        str(settings[field]) for field in _CLUSTERING_FIELDS
    )
