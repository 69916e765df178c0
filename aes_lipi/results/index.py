"""The index of committed trials: a cache of what was read of them, and never a second truth.

index/<kind>-<format>-<sha256>.parquet

A piece of the index holds rows of many trials, and of each trial the digest and the *stamp* (size
and times of change) of the file that they are of. A row is taken from it only where the folder's
listing shows that file with that stamp, a piece only where its content has the digest in its name,
and only by the version whose columns it has. So what is lost, stale, foreign or garbage costs time
and nothing else. A stamp has the time at which the file itself was last touched, which nobody can
set: a file that was changed is read, and compared with its marker's digest, as if there were no
index; so is every file of a folder that was copied, though its rows are not decoded again. Of large
tables and of models no rows are kept, but that they were compared.

Whoever has read enough that no piece holds writes it down as one more piece, together with what
smaller pieces hold, and removes those (a log-structured merge), so that there are few. Nobody locks
anything. Two writers at once leave pieces that hold the same; who finds a piece gone that was there
looks again; a writer killed at any moment leaves both the old pieces and the new one, or a
temporary file, as `aes-lipi clean` removes. Only the user whose folder it is writes there.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.arrays import Int64
from aes_lipi.errors import UserError
from aes_lipi.results.schema import generations_schema, trials_schema
from aes_lipi.results.storage import Entry, Storage
from aes_lipi.results.trial_files import MARKERS, MODELS, RESULTS, TABLES, TrialId

INDEX = "index"

MALFORMED = (pa.ArrowException, OSError, LookupError, ValueError, RecursionError)
"""What pyarrow raises for a file that is not what it should be."""

_FORMAT = 1
_WORTH = 16  # files; fewer are read again sooner than written down
_RECENT_S = 2.0  # the coarsest clock of a file system or store
_ATTEMPTS = 3
_GROWTH = 2
_NAME = re.compile(rf"{INDEX}/([a-z]+)-([0-9a-f]{{8}})-([0-9a-f]{{64}})\.parquet")

_MARKER_SCHEMA = pa.schema(
    [
        pa.field(f"{folder}_{name}", kind)
        for folder in RESULTS
        for name, kind in (("rows", pa.int64()), ("size", pa.int64()), ("sha256", pa.string()))
    ]
)

SchemaOf = Callable[[Sequence[str]], pa.Schema]
"""Which columns to have, given those that there are."""

CHECKED = {folder: f"checked{folder}" for folder in TABLES} | {MODELS: MODELS}
"""The kind that keeps which files of a folder were compared with their digests, and no rows."""


def _checked(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([pa.field("size", pa.int64())])


KINDS: Mapping[str, SchemaOf] = {
    MARKERS: lambda columns: _MARKER_SCHEMA,
    "trials": lambda columns: trials_schema(),
    "generations": generations_schema,
    **dict.fromkeys(CHECKED.values(), _checked),
}
"""What is kept of the files of a folder: the columns, given those that a file has."""


class FileVersion(NamedTuple):
    """The file that rows are of.

    Attributes:
        trial: whose.
        sha256: of its content; empty of a marker.
        stamp: see `Entry`; changes whenever the file does.
    """

    trial: TrialId
    sha256: str
    stamp: str


class RowRange(NamedTuple):
    """Where the rows of a trial are.

    Attributes:
        part: number of the table.
        start: of the first.
        length: how many.
    """

    part: int
    start: int
    length: int


@dataclass(frozen=True)
class _Piece:
    """Rows of many trials.

    Attributes:
        name: of its file; empty of one that is not written down.
        columns: that it has.
        versions: the files that its rows are of.
        lengths: how many rows each has, one after another.
        read: gives some of the columns.
    """

    name: str
    columns: Sequence[str]
    versions: Sequence[FileVersion]
    lengths: Sequence[int]
    read: Callable[[Sequence[str]], pa.Table]


class Index:
    """What is known of the files of a study's folder without reading them.

    Args:
        storage: the folder.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._opened: dict[str, _Piece | None] = {}

    @property
    def is_kept(self) -> bool:
        """Whether what is read here is to be written down."""
        return self._storage.is_own

    def rows_of(self, kind: str) -> KeptRows:
        """What is known of one kind of file, by what stands in the folder now.

        Raises:
            UserError: the folder cannot be read.
        """
        for _ in range(_ATTEMPTS):
            names = [entry.name for entry in self._storage.files(INDEX)]
            ours = [name for name in names if _is_of(name, kind)]
            pieces = {name: self._piece(name, kind) for name in ours}
            if all(name in self._opened for name in ours):
                break
        return KeptRows(self._storage, kind, pieces)

    def _piece(self, name: str, kind: str) -> _Piece | None:
        if name not in self._opened:
            content = self._storage.read(name)
            if content is None:  # merged with others since
                return None
            self._opened[name] = _opened(name, content, kind)
        return self._opened[name]


class KeptRows:
    """What is known of one kind of file of trials; filled up with what is read besides.

    Args:
        storage: the study's folder.
        kind: see `KINDS`.
        pieces: that are written down, by name; None where the file is not what was written.
    """

    def __init__(self, storage: Storage, kind: str, pieces: Mapping[str, _Piece | None]) -> None:
        self._storage = storage
        self._kind = kind
        self._pieces: list[_Piece] = []
        self._exact: dict[FileVersion, RowRange] = {}
        self._same: dict[tuple[TrialId, str], RowRange] = {}
        self._fresh: list[FileVersion] = []
        self._broken = [name for name, piece in pieces.items() if piece is None]
        for piece in filter(None, pieces.values()):
            self._take(piece)

    def find(self, version: FileVersion) -> RowRange | None:
        """The rows of a file, which need not be read; None if it must."""
        return self._exact.get(version)

    def find_content(self, version: FileVersion) -> RowRange | None:
        """The rows of a file whose content has the digest; None if it must be decoded."""
        return self._same.get((version.trial, version.sha256))

    def add(self, tables: Mapping[FileVersion, pa.Table], lasts: bool = True) -> None:
        """Know what was read of files.

        Args:
            tables: of files whose content has the digest.
            lasts: whether they have all columns, to be written down.
        """
        alike: dict[tuple[str, ...], dict[FileVersion, pa.Table]] = {}
        for version, table in tables.items():
            alike.setdefault(tuple(table.column_names), {})[version] = table
        for columns, those in alike.items():
            whole = pa.concat_tables(list(those.values())).combine_chunks()
            lengths = [len(table) for table in those.values()]
            self._take(_Piece("", columns, list(those), lengths, whole.select))
        self._fresh += tables if lasts else ()

    def see(self, version: FileVersion) -> None:
        """Know that a file, which has changed by its stamp, has the content that is known."""
        self._exact[version] = self._same[version.trial, version.sha256]
        self._fresh.append(version)

    def rows(self, ranges: Sequence[RowRange], schema_of: SchemaOf) -> pa.Table:
        """Rows in one table.

        Args:
            ranges: where they are, in the order wanted.
            schema_of: which columns to have, given those that there are; a column that there is not
                is empty.
        """
        used = list(dict.fromkeys(each.part for each in ranges))
        parts, starts, total = [], {}, 0
        for number in used:
            piece = self._pieces[number]
            schema = schema_of(piece.columns)
            there = [name for name in schema.names if name in piece.columns]
            parts.append(with_schema(piece.read(there), schema, sum(piece.lengths)))
            starts[number], total = total, total + sum(piece.lengths)
        if not parts:
            return schema_of(()).empty_table()
        whole = pa.concat_tables(parts, promote_options="default")
        firsts = np.array([starts[each.part] + each.start for each in ranges], np.int64)
        return _taken(whole, firsts, np.array([each.length for each in ranges], np.int64))

    def save(self, recent: Callable[[FileVersion], bool]) -> None:
        """Write down what no piece holds, if it is worth it; what cannot be written is left out.

        Args:
            recent: whether a file was changed so shortly ago that a further change may leave its
                stamp as it is.
        """
        lasting = [version for version in dict.fromkeys(self._fresh) if not recent(version)]
        if len(lasting) < _WORTH or not self._storage.is_own:
            return
        self._fresh = []
        by_columns: dict[tuple[str, ...], list[FileVersion]] = {}
        for version in lasting:
            columns = tuple(self._pieces[self._exact[version].part].columns)
            by_columns.setdefault(columns, []).append(version)
        for columns, versions in by_columns.items():
            with suppress(UserError):  # a reader without the right, a full disk
                self._write(columns, versions)

    def _take(self, piece: _Piece) -> None:
        number, start = len(self._pieces), 0
        self._pieces.append(piece)
        for version, length in zip(piece.versions, piece.lengths, strict=True):
            found = RowRange(number, start, length)
            self._exact[version] = self._same[version.trial, version.sha256] = found
            start += length

    def _write(self, columns: Sequence[str], versions: Sequence[FileVersion]) -> None:
        """Write a piece that has the versions' rows and those of all pieces not much larger."""
        known = {version.trial: version for version in versions}
        merged, self._broken = self._broken, []
        alike = [each for each in self._pieces if each.name and tuple(each.columns) == columns]
        for piece in sorted(alike, key=lambda each: len(each.versions)):
            if len(piece.versions) > _GROWTH * len(known):
                break
            merged.append(piece.name)
            for version in piece.versions:
                known.setdefault(version.trial, version)
        ordered = [known[trial] for trial in sorted(known)]
        ranges = [self._exact[version] for version in ordered]
        content = _encoded(ordered, ranges, self.rows(ranges, KINDS[self._kind]))
        digest = hashlib.sha256(content).hexdigest()
        name = f"{INDEX}/{self._kind}-{_format_of(self._kind)}-{digest}.parquet"
        self._storage.write(name, content)
        for old in merged:
            if old != name:
                self._storage.remove(old)


def is_piece(name: str) -> bool:
    """Whether a file of a study's folder is a piece of an index, of whatever version."""
    return _NAME.fullmatch(name) is not None


def is_outdated(name: str) -> bool:
    """Whether a piece is of a version that this one does not read."""
    return not any(_is_of(name, kind) for kind in KINDS)


def is_recent(entry: Entry | None) -> bool:
    """Whether a further change of a file may leave its stamp as it is: not to be written down."""
    return entry is None or entry.modified > time.time() - _RECENT_S


def with_schema(table: pa.Table, schema: pa.Schema, length: int) -> pa.Table:
    """A table with the columns of a schema; those that it lacks are empty.

    Args:
        table: its columns.
        schema: wanted.
        length: of the table, which may have no column.

    Raises:
        Exception: one of `MALFORMED`, if a column is none of the schema's.
    """
    if table.schema.equals(schema):
        return table
    there = set(table.column_names)
    columns = [
        _cast(table[field.name], field.type)
        if field.name in there
        else pa.nulls(length, field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type == kind else column.cast(kind)


def _is_of(name: str, kind: str) -> bool:
    found = _NAME.fullmatch(name)
    return found is not None and found[1] == kind and found[2] == _format_of(kind)


def _format_of(kind: str) -> str:
    """What changes where a kind's columns do."""
    told = f"{_FORMAT} {KINDS[kind](()).to_string()}"
    return hashlib.sha256(told.encode()).hexdigest()[:8]


def _opened(name: str, content: bytes, kind: str) -> _Piece | None:
    """A piece from its file; None if the content is not what was written, or not of the kind."""
    if hashlib.sha256(content).hexdigest() not in name:
        return None
    try:
        file = pq.ParquetFile(pa.BufferReader(content))
        told = json.loads(file.metadata.metadata[_VERSIONS])
        versions = [
            FileVersion(TrialId(variant, trial), *rest) for variant, trial, *rest, _ in told
        ]
        lengths = [length for *_, length in told]
        columns = file.schema_arrow.names
        if not file.schema_arrow.equals(KINDS[kind](columns)):
            return None
        if sum(lengths) != file.metadata.num_rows:
            return None
    except (*MALFORMED, TypeError):
        return None
    read = partial(file.read, use_threads=False)  # threads keep memory of their own
    return _Piece(name, columns, versions, lengths, read)


_VERSIONS = b"versions"


def _encoded(versions: Sequence[FileVersion], ranges: Sequence[RowRange], rows: pa.Table) -> bytes:
    told = [
        [*version.trial, version.sha256, version.stamp, each.length]
        for version, each in zip(versions, ranges, strict=True)
    ]
    stream = io.BytesIO()
    with pq.ParquetWriter(
        stream, rows.schema, compression="zstd", write_statistics=False
    ) as writer:
        writer.write_table(rows)
        writer.add_key_value_metadata({_VERSIONS: json.dumps(told)})
    return stream.getvalue()


def _taken(table: pa.Table, starts: Int64, lengths: Int64) -> pa.Table:
    """Stretches of rows, one after another."""
    before = np.cumsum(lengths) - lengths
    rows = np.repeat(starts - before, lengths) + np.arange(int(lengths.sum()))
    if len(rows) and (np.diff(rows) == 1).all():
        return table.slice(int(rows[0]), len(rows))
    return table.take(rows)
