"""Files that were made to do harm, and what must come of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aes_lipi.errors import UserError
from fuzz.watch import failure_of


def refusal(read: Callable[[], Any]) -> str:
    """The one line that an input is refused with, soon and in little memory."""
    messages: list[str] = []

    def watched(_: bytes) -> None:
        with pytest.raises(UserError) as caught:
            read()
        messages.append(str(caught.value))
        raise caught.value

    assert failure_of(watched, b"") is None
    return messages[0]


def harmless(read: Callable[[], Any]) -> None:
    """It ends, soon and in little memory."""
    assert failure_of(lambda _: read(), b"") is None


class Payload:
    """What makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self._place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self._place,)


def parquet_bytes(columns: dict[str, Any], **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream, **options)
    return stream.getvalue()
