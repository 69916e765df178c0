"""A trial on its way as a few arrays, read without trust: its states, and its records.

States of cells and networks are matrices with a row each. Records are one Arrow message, every
value with its bits: the columns are the fields of `Record`, in the types of the result tables. Its
body must not be compressed, so that it takes no more memory than the file, and Arrow checks all of
it before any of it is used.
"""

from __future__ import annotations

import dataclasses
import math
import struct
import typing
from collections.abc import Mapping, Sequence
from operator import attrgetter

import numpy as np
import pyarrow as pa

from aes_lipi.arrays import Array
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import ActivationStatistics, Network, NetworkLayout
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.state import Held, NetworkState, Part, Version, joined, parts_of
from aes_lipi.engine.protocol import Moments
from aes_lipi.results.schema import records_schema

_NONE = -1
"""In place of a count, where there is nothing to count."""

_PARTS: tuple[Part, ...] = ("pair", "encoder", "decoder")

Tensors = Mapping[str, Array]


def take(
    tensors: Tensors, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> Array:
    """One of the arrays, of the type and shape that it must have.

    Args:
        tensors: all of them, read without trust.
        name: which.
        dtype: its type.
        shape: its shape; None where any length will do.

    Raises:
        ValueError: the array is missing, or of another type or shape, which is named.
    """
    if name not in tensors:
        raise ValueError(f"{name}: missing")
    array = tensors[name]
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, length) for length, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(
            f"{name}: {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of {shape}"
        )
    return array


def states_to_tensors(held: Mapping[Version, Held]) -> dict[str, Array]:
    """States as arrays.

    `versions`, int64 (n, 3), are parts (their place in `_PARTS`), numbers and ages. Of those that
    have an encoder (`pair`, `encoder`), and of those that have a decoder, of P weights, U recorded
    nodes and B batch slots, for `encoder` and `decoder` each, in the order of `versions`:
    `.genomes` float32 (n, P); `.n_pruned` int64 (n,); `.frozen` uint8 (n,), 1 where there is a
    mask, and `.masks` uint8 (those, P); `.steps` int64 (n,) of the optimiser, -1 where none is
    kept, and `.first`, `.second` float32 (those, P); `.observed` uint8 (n,), 1 where activations
    were gathered, and `.counts` float64 (those, B), `.means`, `.m2s` float64 (those, B, U).
    """
    parts = [parts_of(state, version.part) for version, state in held.items()]
    rows = [[_PARTS.index(part), number, age] for part, number, age in held]
    encoders, decoders = (
        [each[part] for each in parts if part in each] for part in ("encoder", "decoder")
    )
    return {
        "versions": np.array(rows, np.int64).reshape(len(rows), 3),
        **_parts_to_tensors("encoder", encoders),
        **_parts_to_tensors("decoder", decoders),
    }


def _parts_to_tensors(name: str, parts: Sequence[NetworkState]) -> dict[str, Array]:
    networks = [network for network, _, _ in parts]
    masks = [network.mask for network in networks if network.mask is not None]
    moments = [kept for _, kept, _ in parts if kept is not None]
    seen = [statistics for _, _, statistics in parts if statistics is not None]
    steps = [_NONE if kept is None else kept.steps for _, kept, _ in parts]
    tensors: dict[str, Array] = {
        "genomes": np.stack([network.genome for network in networks]),
        "n_pruned": np.array([network.n_pruned for network in networks], np.int64),
        "frozen": np.array([network.mask is not None for network in networks], np.uint8),
        "steps": np.array(steps, np.int64),
        "observed": np.array([statistics is not None for _, _, statistics in parts], np.uint8),
    }
    if masks:
        tensors["masks"] = np.stack(masks).astype(np.uint8)
    if moments:
        tensors["first"] = np.stack([kept.first for kept in moments])
        tensors["second"] = np.stack([kept.second for kept in moments])
    if seen:
        tensors["counts"] = np.stack([statistics.count for statistics in seen])
        tensors["means"] = np.stack([statistics.mean for statistics in seen])
        tensors["m2s"] = np.stack([statistics.m2 for statistics in seen])
    return {f"{name}.{key}": array for key, array in tensors.items()}


def states_from_tensors(
    tensors: Tensors, architecture: Architecture, batch_size: int
) -> dict[Version, Held]:
    """States from arrays.

    Raises:
        ValueError: an array is missing, or its type or shape is not that of this architecture.
    """
    rows = take(tensors, "versions", np.int64, (None, 3)).tolist()
    if not all(0 <= part < len(_PARTS) for part, _, _ in rows):
        raise ValueError("versions: of parts that there are not")
    versions = [Version(_PARTS[part], number, age) for part, number, age in rows]
    encoders, decoders = (
        iter(
            _parts_from_tensors(
                tensors, part, layout, batch_size, sum(v.part in ("pair", part) for v in versions)
            )
        )
        for part, layout in (("encoder", architecture.encoder), ("decoder", architecture.decoder))
    )
    return {
        version: joined(next(encoders), next(decoders))
        if version.part == "pair"
        else next(encoders if version.part == "encoder" else decoders)
        for version in versions
    }


def _parts_from_tensors(
    tensors: Tensors, name: str, layout: NetworkLayout, batch_size: int, n: int
) -> list[NetworkState]:
    size = layout.size
    genomes = take(tensors, f"{name}.genomes", np.float32, (n, size))
    n_pruned = take(tensors, f"{name}.n_pruned", np.int64, (n,)).tolist()
    networks = [
        Network(genome, mask, pruned)
        for genome, mask, pruned in zip(
            genomes, _masks(tensors, name, size, n), n_pruned, strict=True
        )
    ]
    moments = _moments(tensors, name, size, n)
    statistics = _statistics(tensors, name, batch_size, n)
    return [NetworkState(*each) for each in zip(networks, moments, statistics, strict=True)]


def _masks(tensors: Tensors, name: str, size: int, n: int) -> list[Array | None]:
    present = take(tensors, f"{name}.frozen", np.uint8, (n,)) != 0
    if not present.any():
        return [None] * n
    masks = take(tensors, f"{name}.masks", np.uint8, (int(present.sum()), size))
    rows = iter(masks.astype(np.bool_))
    return [next(rows) if there else None for there in present]


def _moments(tensors: Tensors, name: str, size: int, n: int) -> list[Moments | None]:
    steps = take(tensors, f"{name}.steps", np.int64, (n,)).tolist()
    kept = sum(count != _NONE for count in steps)
    if not kept:
        return [None] * n
    first = iter(take(tensors, f"{name}.first", np.float32, (kept, size)))
    second = iter(take(tensors, f"{name}.second", np.float32, (kept, size)))
    return [None if s == _NONE else Moments(next(first), next(second), s) for s in steps]


def _statistics(
    tensors: Tensors, name: str, batch_size: int, n: int
) -> list[ActivationStatistics | None]:
    present = take(tensors, f"{name}.observed", np.uint8, (n,)) != 0
    if not present.any():
        return [None] * n
    k = int(present.sum())
    counts = take(tensors, f"{name}.counts", np.float64, (k, batch_size))
    means = take(tensors, f"{name}.means", np.float64, (k, batch_size, None))
    m2s = take(tensors, f"{name}.m2s", np.float64, means.shape)
    rows = iter(zip(counts, means, m2s, strict=True))
    return [ActivationStatistics(*next(rows)) if there else None for there in present]


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


def records_from_tensors(
    tensors: Tensors, n_members: Sequence[int], n_bytes: int, n_metrics: int = 0
) -> list[Record]:
    """Records from an array.

    Args:
        tensors: the array among others.
        n_members: sizes of the cells' neighbourhoods.
        n_bytes: of a centre's weights.
        n_metrics: of a recorded generation.

    Raises:
        ValueError: the array is not one of records; the message says which column is wrong.
    """
    batch = records_batch(tensors)
    cells = batch["cell"].to_numpy()
    if len(cells) and not 0 <= cells.min() <= cells.max() < len(n_members):
        raise ValueError("records: of cells that there are not")
    members = np.array(n_members, np.int64)[cells]
    lengths = {
        "read_generations": members,
        "selection_losses": members**2,
        "centre": np.full(len(cells), n_bytes),
        "metrics": np.full(len(cells), n_metrics),
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
    batch = records_batch(tensors)
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


def records_batch(tensors: Tensors) -> pa.RecordBatch:
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


def _values(name: str, column: pa.Array, lengths: Array | None) -> list[typing.Any]:
    """A column's values.

    Args:
        name: of the column.
        column: its values; lists or bytes if they have a length.
        lengths: of each of them that is known, shape (rows,).

    Raises:
        ValueError: one has another length, or a list lacks numbers.
    """
    values: list[typing.Any] = column.to_pylist()
    if lengths is None:
        return values
    is_list = pa.types.is_list(column.type)
    pairs = zip(values, lengths.tolist(), strict=True)
    if any(each is not None and len(each) != length for each, length in pairs) or (
        is_list and column.flatten().null_count
    ):
        raise ValueError(f"records: {name} has another number of values than its cell")
    return [each and tuple(each) for each in values] if is_list else values
