"""The marker that commits a trial: written last, it says what the trial's files hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.results.documents import decode, encode
from aes_lipi.results.trial_files import MARKERS, RESULTS, TrialFiles, TrialId

MARKER_FORMAT = 1
LONGEST_MARKER = 64 * 1024  # bytes


@dataclass(frozen=True)
class FileFacts:
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


def make_marker(trial: TrialId, files: TrialFiles) -> bytes:
    """The content of the marker of a trial whose files are written."""
    facts = {
        folder: asdict(_facts(trial.path(folder), content))
        for folder, content in files.contents().items()
    }
    return encode(
        {"format": MARKER_FORMAT, "variant": trial.variant, "trial": trial.trial, "files": facts}
    )


def read_marker(content: bytes | None, trial: TrialId) -> Marker | None:
    """What a marker says; None if there is none, or the content is not this trial's marker."""
    document = decode(content)
    if document is None or not isinstance(document.get("files"), dict):
        return None
    if (document.get("format"), document.get("variant"), document.get("trial")) != (
        MARKER_FORMAT,
        trial.variant,
        trial.trial,
    ):
        return None
    facts = {folder: _read_facts(document["files"].get(folder)) for folder in RESULTS}
    known = {folder: each for folder, each in facts.items() if each is not None}
    paths_fit = all(each.path == trial.path(folder) for folder, each in known.items())
    return known if paths_fit and len(known) == len(RESULTS) else None


def marker_path(trial: TrialId) -> str:
    """Where a trial's marker is."""
    return trial.path(MARKERS)


def _facts(path: str, content: bytes) -> FileFacts:
    rows = None
    if path.endswith(".parquet"):
        rows = pq.read_metadata(pa.BufferReader(content)).num_rows
    return FileFacts(path, rows, len(content), hashlib.sha256(content).hexdigest())


def _read_facts(facts: Any) -> FileFacts | None:
    if not isinstance(facts, dict) or facts.keys() != FileFacts.__dataclass_fields__.keys():
        return None
    fits = (
        isinstance(facts["path"], str)
        and isinstance(facts["rows"], int | None)
        and isinstance(facts["size"], int)
        and isinstance(facts["sha256"], str)
    )
    return FileFacts(**facts) if fits else None
