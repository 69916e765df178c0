"""Small JSON files of a study: read without trust."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

LONGEST = 256 * 1024 * 1024  # bytes; of a study with the most variants there may be, a tenth


def encode(document: Mapping[str, Any]) -> bytes:
    """A JSON document as the content of its file."""
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def decode(content: bytes | None) -> dict[str, Any] | None:
    """A file's JSON object; None if there is no file, or it holds none."""
    if content is None:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
