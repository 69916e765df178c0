"""Names of what users can add: a dotted path, or what an installed package registers.

Only names are looked at here; `aes_lipi.extension` imports what they stand for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import entry_points

from aes_lipi.errors import nearest, printable

GROUPS: Mapping[str, str] = {
    "prune_method": "aes_lipi.prune_methods",
    "prune_schedule": "aes_lipi.prune_schedules",
    "environment": "aes_lipi.environments",
    "dataset_name": "aes_lipi.datasets",
}
"""By field, the group of entry points in which packages register what it may name."""

PATH_FORM = "package.module:attribute"


def is_path(name: str) -> bool:
    """Whether a name has the form `package.module:attribute`."""
    module, colon, attribute = name.partition(":")
    parts = [*module.split("."), *attribute.split(".")]
    return bool(colon) and all(part.isidentifier() for part in parts)


def short_name(name: str, among: Iterable[str]) -> str:
    """A dotted path without its module, unless that is what tells it from one of the others."""
    short = name.rpartition(":")[2]
    alike = (other for other in among if other != name and other.rpartition(":")[2] == short)
    return name if any(alike) else short


def registered(field: str) -> Mapping[str, tuple[str, ...]]:
    """What installed packages register for a field: by name the paths, more than one if at odds."""
    return _registered(GROUPS[field], tuple(sys.path))


@lru_cache(maxsize=16)
def _registered(group: str, search_path: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Of one group; remembered, for it takes some time and a study may have many variants."""
    found: dict[str, dict[str, None]] = {}
    for each in entry_points(group=group):
        found.setdefault(each.name, {})[f"{each.module}:{each.attr or ''}"] = None
    return {name: tuple(paths) for name, paths in found.items()}


def is_added(field: str, name: str) -> bool:
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
        ValueError: it is neither built in nor registered, nor has it the form of a dotted path.
    """
    built_in = tuple(built_in)
    if isinstance(name, str) and (name in built_in or is_added(field, name)):
        return name
    *others, last = (repr(each) for each in (*built_in, *registered(field)))
    close = nearest(name, [*built_in, *registered(field)]) if isinstance(name, str) else ""
    raise ValueError(
        f"input should be {', '.join(others)} or {last}, or {PATH_FORM} for one of your own{close}"
    )
