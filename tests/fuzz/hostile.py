"""Files that were made to do harm, and what must come of them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aes_lipi.errors import UserError
from fuzz.mutations import varint
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


def with_footer(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """A Parquet file with another footer, whose length is right."""
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = change(content[start:-8])
    return content[:start] + footer + len(footer).to_bytes(4, "little") + b"PAR1"


def parquet_with_longer_lists() -> list[bytes]:
    """Each list of structures in the footer claims a million."""
    content = parquet_bytes({"a": [0.5, 1.0]})
    changed = []
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    for k in range(len(content) - 8 - start - 1):
        if content[start + k] == 0x19 and content[start + k + 1] & 15 == 12:
            changed.append(
                with_footer(content, lambda footer, k=k: _longer(footer, k))  # type: ignore[misc]
            )
    return changed


def _longer(footer: bytes, k: int) -> bytes:
    return footer[: k + 1] + b"\xfc" + varint(999_999) + footer[k + 2 :]


def parquet_with_a_huge_page(rows: int = 4_000_000) -> bytes:
    """A page of zeros that the footer says is of ten values."""
    content = parquet_bytes(
        {"a": np.zeros(rows)},
        compression="zstd",
        use_dictionary=False,
        row_group_size=rows,
        data_page_size=2**30,
        write_batch_size=rows,
        max_rows_per_page=rows,
        write_statistics=False,
    )
    claim = varint(2 * rows)
    ten = bytes([20 | 128, *[128] * (len(claim) - 2), 0])
    return with_footer(content, lambda footer: footer.replace(claim, ten))
