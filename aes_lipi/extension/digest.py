"""Plug-ins known by the files that they come from."""

from __future__ import annotations

import hashlib

from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.extension.loading import load


def plugins_digest(variant: Variant) -> str | None:
    """What a variant's plug-ins are and were when they were imported; None where it has none.

    Returns:
        SHA-256, in hexadecimal digits, of a line for each plug-in: the field that names it, its
        path, and the SHA-256 of its module's file. What that file imports does not count.

    Raises:
        UserError: a plug-in cannot be imported.
    """
    if not variant.added:
        return None
    plugins = [load(field, name) for field, name in sorted(variant.added.items())]
    lines = [f"{plugin.field} {plugin.path} {plugin.digest}\n" for plugin in plugins]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_same_plugins(variant: Variant) -> None:
    """Make sure that a variant's plug-ins are here what they were where its study was made.

    Raises:
        UserError: they are not, or cannot be imported.
    """
    if variant.plugins_digest in (None, plugins_digest(variant)):
        return
    named = " and ".join(f"{field} {name}" for field, name in sorted(variant.added.items()))
    raise UserError(
        f"{named}: not the file that the study was begun with; choose another --output_dir, or "
        "bring every node of a cluster the same file"
    )
