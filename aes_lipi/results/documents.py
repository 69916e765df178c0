"""Small JSON files of a study: read without trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aes_lipi.errors import UserError

LONGEST = 256 * 1024 * 1024  # bytes; of a study with the most variants there may be, a tenth


def encode(document: Mapping[str, Any]) -> bytes:
    """A JSON document as the content of its file.

    Raises:
        UserError: it holds text that cannot be written, as the names of some files are.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        line = text[text.rfind("\n", 0, error.start) + 1 :].partition("\n")[0].strip(" ,")
        raise UserError(f"{line[:200]}: is not Unicode; rename the file, or change it") from None


def decode(content: bytes | None) -> dict[str, Any] | None:
    """A file's JSON object; None if there is no file, or it holds none."""
    if content is None:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
