"""A trial's files: those of one that is done, with the marker that commits them, and checkpoints.

The marker is written last and says what the others hold. Of a trial on its way the last two
checkpoints are kept, until it is committed:
checkpoints/variant=<id>/trial=<nnnn>/generation=<gggggggg>.safetensors
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.config.parameters import Parameters
from aes_lipi.errors import UserError
from aes_lipi.io.files import TEMPORARY_PREFIX, decode_json, encode_json
from aes_lipi.results.schema import generations_schema, trials_schema
from aes_lipi.results.storage import Storage

Row = Mapping[str, Any]

RESULTS = {"models": "safetensors", "generations": "parquet", "trials": "parquet"}
"""The folders that hold a committed trial's files, in the order of writing, and their suffixes."""

MODELS = "models"
TABLES = ("generations", "trials")
"""What a committed trial cannot be without; it can be without its model."""

FAILURES, MARKERS = "failures", "committed"
FOLDERS = {**RESULTS, FAILURES: "parquet", MARKERS: "json"}
"""All folders of a study, and the suffixes of their files."""

_FILE = re.compile(r"([a-z]+)/variant=(v[0-9a-f]{10})/trial=([0-9]{4})\.([a-z]+)")


class TrialId(NamedTuple):
    """Which trial of which variant."""

    variant: str
    trial: int

    def file(self, suffix: str) -> str:
        """Path of the trial's file inside a folder of the study."""
        return f"variant={self.variant}/trial={self.trial:04d}.{suffix}"

    def path(self, folder: str) -> str:
        """Path of the trial's file of one folder inside the study."""
        return f"{folder}/{self.file(FOLDERS[folder])}"


def trial_of(path: str) -> tuple[str, TrialId] | None:
    """The folder and the trial of a file of a study; None if no study makes such a file."""
    found = _FILE.fullmatch(path)
    if found is None or FOLDERS.get(found[1]) != found[4]:
        return None
    return found[1], TrialId(found[2], int(found[3]))


@dataclass(frozen=True)
class TrialFiles:
    """A finished trial as the contents of its files: computed anywhere, committed by the driver.

    Attributes:
        generations: Parquet, a row per generation and cell.
        model: safetensors, the best pair.
        trial: Parquet, one row.
    """

    generations: bytes
    model: bytes
    trial: bytes

    def contents(self) -> dict[str, bytes]:
        """The contents by folder, in the order of writing."""
        return {"models": self.model, "generations": self.generations, "trials": self.trial}

    def marker(self, trial: TrialId) -> bytes:
        """The content of the marker of a trial whose files are written."""
        facts = {
            folder: _facts(trial.path(folder), content)._asdict()
            for folder, content in self.contents().items()
        }
        return encode_json(
            {
                "format": _MARKER_FORMAT,
                "variant": trial.variant,
                "trial": trial.trial,
                "files": facts,
            }
        )


def trial_files(
    row: Row, generations: Sequence[Row], model: bytes, parameters: Parameters = ()
) -> TrialFiles:
    """Encode a finished trial.

    Args:
        row: the columns of `trials_schema`, and of the parameters.
        generations: rows with the columns of `generations_schema`, each with the same metrics.
        model: the content of the model's file.
        parameters: columns of the parameters of the study's plug-ins.
    """
    return TrialFiles(
        generations=parquet(generations, generations_schema(generations[0])),
        model=model,
        trial=parquet([row], trials_schema(parameters)),
    )


def parquet(rows: Sequence[Row], schema: pa.Schema) -> bytes:
    """Encode rows as a Parquet file."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    stream = io.BytesIO()
    if len(table) > 1:
        pq.write_table(table, stream, compression="zstd")
    else:  # a third less to read and to keep, for there is nothing to compress
        options = {"compression": "none", "use_dictionary": False, "write_statistics": False}
        pq.write_table(table, stream, **options)
    return stream.getvalue()


_MARKER_FORMAT = 1
_LONGEST_MARKER = 64 * 1024  # bytes


class FileFacts(NamedTuple):
    """What a marker says of a file.

    Attributes:
        path: inside the study's folder.
        rows: of a Parquet file; None of a model.
        size: in bytes.
        sha256: of the content, in hexadecimal digits.
    """

    path: str
    rows: int | None
    size: int
    sha256: str

    def match(self, content: bytes | None) -> bool:
        """Whether this is the content that was committed."""
        return content is not None and hashlib.sha256(content).hexdigest() == self.sha256


Marker = Mapping[str, FileFacts]
"""What a trial's files hold, by folder."""


def _read_marker(content: bytes | None, trial: TrialId) -> Marker | None:
    """What a marker says; None if there is none, or the content is not this trial's marker."""
    document = decode_json(content)
    if document is None or not isinstance(document.get("files"), dict):
        return None
    if (document.get("format"), document.get("variant"), document.get("trial")) != (
        _MARKER_FORMAT,
        trial.variant,
        trial.trial,
    ):
        return None
    facts = {folder: _read_facts(document["files"].get(folder)) for folder in RESULTS}
    known = {folder: each for folder, each in facts.items() if each is not None}
    paths_fit = all(each.path == trial.path(folder) for folder, each in known.items())
    return known if paths_fit and len(known) == len(RESULTS) else None


def stored_marker(storage: Storage, trial: TrialId) -> Marker | None:
    """What the marker of a trial says in a study's folder; None if it has none that can be read.

    Raises:
        UserError: the folder cannot be read; the message says why.
    """
    return _read_marker(storage.read(trial.path(MARKERS), _LONGEST_MARKER), trial)


def committed_content(storage: Storage, facts: FileFacts) -> bytes | None:
    """A file's content as it was committed; None if it is gone, or is another.

    Whatever hands a committed file on reads it here.

    Args:
        storage: the study's folder.
        facts: what the trial's marker says of the file.

    Raises:
        UserError: the folder cannot be read; the message says why.
    """
    content = storage.read(facts.path, facts.size + 1)
    return content if facts.match(content) else None


def handed_on(storage: Storage, trial: TrialId, folder: str) -> bytes:
    """The content of a committed trial's file, for use outside of the study.

    Args:
        storage: the study's folder.
        trial: which trial.
        folder: which of its files, as in `RESULTS`.

    Raises:
        UserError: the trial is not committed, or the file is missing or not what was committed; the
            line says how it is made again.
    """
    marker = stored_marker(storage, trial)
    path = f"{storage.shown}/{trial.path(folder)}"
    if marker is None:
        raise UserError(f"{path}: no committed trial; give the folder of a study that holds it")
    content = committed_content(storage, marker[folder])
    if content is None:
        again = "run its study again with --restore_models"
        if folder != MODELS:
            again = "remove it and run its study again"
        raise UserError(f"{path}: is missing, or is not what was committed; {again}")
    return content


def _facts(path: str, content: bytes) -> FileFacts:
    rows = None
    if path.endswith(".parquet"):
        rows = pq.read_metadata(pa.BufferReader(content)).num_rows
    return FileFacts(path, rows, len(content), hashlib.sha256(content).hexdigest())


_DIGEST = re.compile("[0-9a-f]{64}")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def _read_facts(facts: Any) -> FileFacts | None:
    if not isinstance(facts, dict) or tuple(facts) != FileFacts._fields:
        return None
    fits = (
        isinstance(facts["path"], str)
        and (facts["rows"] is None or _is_count(facts["rows"]))
        and _is_count(facts["size"])
        and isinstance(facts["sha256"], str)
        and _DIGEST.fullmatch(facts["sha256"]) is not None
    )
    return FileFacts(**facts) if fits else None


CHECKPOINTS = "checkpoints"
_KEPT = 2

_TRIAL = rf"{CHECKPOINTS}/variant=(v[0-9a-f]{{10}})/trial=([0-9]{{4}})"
_CHECKPOINT = re.compile(rf"{_TRIAL}/generation=[0-9]{{8}}\.safetensors")
_HALF_WRITTEN = re.compile(rf"{_TRIAL}/{re.escape(TEMPORARY_PREFIX)}[0-9a-f]{{32}}")


class CheckpointFiles:
    """The checkpoints in a study's folder.

    Args:
        storage: the folder.

    Attributes:
        half_written: files that a killed driver was writing.

    Raises:
        UserError: the folder cannot be read; mend its permissions.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self.half_written: list[str] = []
        self._paths: dict[TrialId, list[str]] = {}
        self._sizes: dict[str, int] = {}
        for entry in storage.files(CHECKPOINTS):
            found = _CHECKPOINT.fullmatch(entry.name)
            if found is not None and entry.size <= _most_bytes():
                self._sizes[entry.name] = entry.size
                self._paths.setdefault(TrialId(found[1], int(found[2])), []).append(entry.name)
            elif _HALF_WRITTEN.fullmatch(entry.name):
                self.half_written.append(entry.name)

    def trials(self) -> list[TrialId]:
        """All trials that have some."""
        return sorted(self._paths)

    def paths(self, trial: TrialId) -> list[str]:
        """The places of a trial's checkpoints, in order of generations."""
        return list(self._paths.get(trial, ()))

    def write(self, trial: TrialId, generations: int, content: bytes) -> None:
        """Write one down; of older ones all but the last are removed.

        Args:
            trial: whose.
            generations: that its ring has behind it.
            content: of the file.

        Raises:
            UserError: the folder cannot be written.
        """
        path = (
            f"{CHECKPOINTS}/variant={trial.variant}/trial={trial.trial:04d}/"
            f"generation={generations:08d}.safetensors"
        )
        self._storage.write(path, content)
        self._sizes[path] = len(content)
        known = self._paths.setdefault(trial, [])
        later = [each for each in known if each > path]  # of a course that was given up
        earlier = [each for each in known if each < path]
        for old in [*later, *earlier[: 1 - _KEPT]]:
            self._storage.remove(old)
            del self._sizes[old]
        self._paths[trial] = [*earlier[1 - _KEPT :], path]

    def newest_first(self, trial: TrialId) -> Iterator[tuple[str, bytes]]:
        """A trial's checkpoints: place and content of the file.

        Raises:
            UserError: one cannot be read.
        """
        for path in reversed(self.paths(trial)):
            content = self._storage.read(path, self._sizes[path])
            if content is not None:
                yield path, content

    def remove(self, trial: TrialId) -> None:
        """Remove a trial's checkpoints.

        Raises:
            UserError: a file cannot be removed; mend the folder's permissions.
        """
        for path in self._paths.pop(trial, ()):
            self._storage.remove(path)
            del self._sizes[path]


def _most_bytes() -> int:
    """No checkpoint is larger than half of the memory that its ring must fit into."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
