"""Matrices from Parquet files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from aes_lipi.arrays import Float64
from aes_lipi.data.arrow_columns import float64_block
from aes_lipi.data.parquet_claims import parquet_claims
from aes_lipi.data.source import (
    Source,
    check_packing,
    is_page_plausible,
    one_line,
    shown,
    unreadable,
)
from aes_lipi.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

_LONGEST_LIST = 1_000_000  # Arrow's own limit; it takes memory for a whole list at once


@contextmanager
def parquet_source(path: Path) -> Iterator[Source]:
    """Open a Parquet file whose columns are numbers or truth values.

    An index that pandas stored with the table is left out.

    Raises:
        UserError: the file cannot be read, or a column holds something else.
    """
    import pyarrow as pa  # noqa: PLC0415 - slow to import
    from pyarrow import parquet  # noqa: PLC0415

    label = shown(path)
    errors = (pa.ArrowException, OSError, ValueError, EOFError, RecursionError, OverflowError)
    with unreadable(label, "a Parquet file", OSError, ValueError):
        stream = path.open("rb")
    with stream:
        with unreadable(label, "a Parquet file", *errors):
            size = os.fstat(stream.fileno()).st_size
            table = parquet.ParquetFile(
                stream,
                pre_buffer=False,
                page_checksum_verification=True,
                thrift_container_size_limit=min(size, _LONGEST_LIST),
            )
            names = _data_columns(table.schema_arrow, label)
            claims = parquet_claims(stream)
            check_packing(label, claims.n_rows, len(names), size)
            if not is_page_plausible(claims.largest_page, size):
                raise ValueError("a page claims more than a file of this size can hold")
            n_rows = len(table.read(names[:1], use_threads=False)) if names else 0

        def read_block(start: int, stop: int) -> Float64:
            wanted = list(names[start:stop])
            with unreadable(label, "a Parquet file", *errors):
                block = table.read(wanted, use_threads=False)
                return float64_block([block.column(name) for name in wanted], n_rows)

        source = Source(label, n_rows, len(names), read_block, tuple(names))
        source.check_not_empty()
        yield source


def _data_columns(schema: pa.Schema, label: str) -> list[str]:
    """Names of the columns that hold data.

    Raises:
        UserError: a column does not hold numbers, or two have the same name.
    """
    import pyarrow as pa  # noqa: PLC0415

    index = _pandas_index(schema)
    fields = [field for field in schema if field.name not in index]
    for field in fields:
        kind = field.type
        tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_null)
        if not any(test(kind) for test in tests):
            raise UserError(
                f"{label}, column {shown(field.name)}: holds {one_line(str(kind))}, not numbers; "
                "drop the column or encode it as numbers"
            )
    names = [field.name for field in fields]
    for name, count in Counter(names).items():
        if count > 1:
            raise UserError(
                f"{label}, column {shown(name)}: {count} columns have this name; "
                "rename or drop all but one"
            )
    return names


def _pandas_index(schema: pa.Schema) -> frozenset[str]:
    """Names of the columns in which pandas stored the table's index."""
    metadata = schema.pandas_metadata
    stored = metadata.get("index_columns") if isinstance(metadata, dict) else None
    names = stored if isinstance(stored, list) else []
    return frozenset(name for name in names if isinstance(name, str))
