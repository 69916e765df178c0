"""Where results may lie: folders of this machine, and addresses of object stores."""

from __future__ import annotations

import re
from pathlib import Path

from aes_lipi.errors import UserError
from aes_lipi.results.local_storage import LocalStorage
from aes_lipi.results.storage import Storage

_MANGLED = re.compile(r"[a-z][a-z0-9+]+:/[^/]")


def is_address(location: str | Path) -> bool:
    """Whether a location is an address, as in `s3://bucket/results`, and not a folder.

    Raises:
        UserError: it was an address before `Path` took a slash from it.
    """
    if isinstance(location, Path):
        if _MANGLED.match(str(location)):
            raise UserError(f"{location}: give the address as text, not as a Path")
        return False
    return "://" in location


def join(location: str | Path, name: str) -> str | Path:
    """A folder below a location; the options of an address stay at its end."""
    if not is_address(location):
        return Path(location) / name
    address, mark, options = str(location).partition("?")
    return f"{address.rstrip('/')}/{name}{mark}{options}"


def shown(location: str | Path) -> str:
    """A location for messages: without the options of an address, nor keys in front of its host."""
    if not is_address(location):
        return str(location)
    scheme, _, rest = str(location).partition("?")[0].partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}".rstrip("/")


def open_storage(location: str | Path) -> Storage:
    """The storage at a location; nothing is made yet.

    Args:
        location: a folder, or an address that pyarrow understands, as in `s3://bucket/results`.

    Raises:
        UserError: the address is none that pyarrow understands.
    """
    if not is_address(location):
        return LocalStorage(Path(location))
    from aes_lipi.results.object_storage import open_address  # noqa: PLC0415 - slow to import

    return open_address(str(location))
