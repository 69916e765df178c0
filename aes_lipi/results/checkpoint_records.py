"""Records as one Arrow message, every value with its bits.

The columns are the fields of `Record`, in the types of the result tables. The message is read
without trust: its body must not be compressed, so that it takes no more memory than the file, and
Arrow checks all of it before any of it is used.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import typing
from collections.abc import Sequence
from operator import attrgetter

import numpy as np
import pyarrow as pa

from aes_lipi.arrays import Array
from aes_lipi.coevolution.records import Record
from aes_lipi.results.checkpoint_states import Tensors, take
from aes_lipi.results.schema import records_schema

_FIELDS = [field.name for field in dataclasses.fields(Record)]
_OPTIONAL = [
    name
    for name, hint in typing.get_type_hints(Record).items()
    if type(None) in typing.get_args(hint)
]
_MALFORMED = (pa.ArrowException, EOFError, OSError, struct.error)

# Places in flatbuffers: the header of a message, and in that of a batch its compression, in
# https://github.com/apache/arrow/blob/main/format/Message.fbs
_HEADER, _COMPRESSION = 2, 3


def records_to_tensors(records: Sequence[Record]) -> dict[str, Array]:
    """All records of a trial as an array.

    Returns:
        `records`, uint8: an Arrow record batch with the columns of `records_schema`.
    """
    schema = records_schema()
    rows = map(attrgetter(*_FIELDS), records)
    columns = list(zip(*rows, strict=True)) or [()] * len(_FIELDS)
    batch = pa.record_batch(
        [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)],
        schema=schema,
    )
    return {"records": np.frombuffer(batch.serialize(), np.uint8)}


def records_from_tensors(tensors: Tensors, n_members: int, n_bytes: int) -> list[Record]:
    """Records from an array.

    Args:
        tensors: the array among others.
        n_members: size of a neighbourhood.
        n_bytes: of a centre's weights.

    Raises:
        ValueError: the array is not one of records; the message says which column is wrong.
    """
    batch = _batch(tensors)
    lengths = {
        "read_generations": n_members,
        "selection_losses": n_members**2,
        "centre": n_bytes,
    }
    columns = [_values(name, batch[name], lengths.get(name)) for name in _FIELDS]
    return [Record(*row) for row in zip(*columns, strict=True)]


def newest_mean_l1(tensors: Tensors) -> float | None:
    """Mean over the cells of `mean_L1`, of the newest generation in which all of them have it.

    Args:
        tensors: the array of records among others; they are not made into records again.

    Returns:
        the mean; None if there is no such generation, or it is not finite.

    Raises:
        ValueError: the array is not one of records.
    """
    batch = _batch(tensors)
    known = batch["mean_L1"].is_valid().to_numpy(zero_copy_only=False)
    losses = batch["mean_L1"].to_numpy(zero_copy_only=False)[known]
    generations = batch["generation"].to_numpy()[known]
    n_cells = len(np.unique(batch["cell"].to_numpy()))
    found, counts = np.unique(generations, return_counts=True)
    full = found[counts == n_cells]
    if not len(full):
        return None
    with np.errstate(all="ignore"):
        mean = float(losses[generations == full[-1]].mean())
    return mean if math.isfinite(mean) else None


def _batch(tensors: Tensors) -> pa.RecordBatch:
    """The columns of records, in the memory of their array, found to be sound.

    Raises:
        ValueError: the array is not one of records, or is compressed.
    """
    content = pa.py_buffer(take(tensors, "records", np.uint8, (None,)))
    try:
        message = pa.ipc.read_message(content)
        if message.type != "record batch" or _is_compressed(message.metadata.to_pybytes()):
            raise ValueError("records: not a plain record batch")
        batch = pa.ipc.read_record_batch(message, records_schema())
        batch.validate(full=True)
    except _MALFORMED as error:
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"records: not a record batch ({reason})") from None
    for name in _FIELDS:
        if name not in _OPTIONAL and batch[name].null_count:
            raise ValueError(f"records: {name} is not known")
    return batch


def _is_compressed(metadata: bytes) -> bool:
    """Whether a batch's body is compressed: a few bytes of that could be unpacked to terabytes.

    Args:
        metadata: of the message, a flatbuffer that Arrow has verified.
    """

    def number(kind: str, at: int) -> int:
        return int(struct.unpack_from(kind, metadata, at)[0])

    def offset(table: int, field: int) -> int:
        """Where a field is from the start of its table; 0 if it was left out."""
        layout = table - number("<i", table)
        is_known = 4 + 2 * field < number("<H", layout)
        return number("<H", layout + 4 + 2 * field) if is_known else 0

    root = number("<I", 0)
    header = root + offset(root, _HEADER)
    return offset(header + number("<I", header), _COMPRESSION) != 0


def _values(name: str, column: pa.Array, length: int | None) -> list[typing.Any]:
    """A column's values.

    Args:
        name: of the column.
        column: its values; lists or bytes if they have a length.
        length: of each of them that is known.

    Raises:
        ValueError: one has another length, or a list lacks numbers.
    """
    values: list[typing.Any] = column.to_pylist()
    if length is None:
        return values
    is_list = pa.types.is_list(column.type)
    if any(each is not None and len(each) != length for each in values) or (
        is_list and column.flatten().null_count
    ):
        raise ValueError(f"records: {name} has not {length} values")
    return [each and tuple(each) for each in values] if is_list else values
