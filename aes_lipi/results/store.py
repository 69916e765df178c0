"""The folder of a study's results.

study.json                                     what was asked for
generations/variant=<id>/trial=<nnnn>.parquet  a row per generation and cell
models/variant=<id>/trial=<nnnn>.safetensors   the best pair
trials/variant=<id>/trial=<nnnn>.parquet       one row; written last, it commits the trial
failures/variant=<id>/trial=<nnnn>.parquet     one row for a trial that failed
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from aes_lipi.atomic import TEMPORARY_PREFIX, write_atomically
from aes_lipi.config import Study
from aes_lipi.config.study import printable
from aes_lipi.errors import UserError
from aes_lipi.results.schema import failures_schema, generations_schema, trials_schema

STUDY_FILE = "study.json"
STUDY_FORMAT = 1

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TrialId:
    """Which trial of which variant."""

    variant: str
    trial: int

    def file(self, suffix: str) -> str:
        """Path of the trial's file inside a folder of the store."""
        return f"variant={self.variant}/trial={self.trial:04d}.{suffix}"


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


def trial_files(row: Row, generations: Sequence[Row], model: bytes) -> TrialFiles:
    """Encode a finished trial.

    Args:
        row: the columns of `trials_schema`.
        generations: rows with the columns of `generations_schema`.
        model: the content of the model's file.
    """
    return TrialFiles(
        generations=_parquet(generations, generations_schema()),
        model=model,
        trial=_parquet([row], trials_schema()),
    )


class ResultStore:
    """Writes and finds the results of one study in a folder.

    Args:
        directory: the study's output folder; made when the study is opened.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def open(self, study: Study) -> None:
        """Claim the folder for a study, or find that it already holds it.

        Raises:
            UserError: the folder holds a different study, or cannot be written.
        """
        try:
            self._open(study)
        except OSError as error:
            raise UserError(
                f"{printable(self.directory)}: {error.strerror}; choose another --output_dir"
            ) from None

    def _open(self, study: Study) -> None:
        path = self.directory / STUDY_FILE
        if path.exists():
            self._check_same(study, path)
        elif self.directory.exists() and not self.directory.is_dir():
            raise UserError(f"{self.directory}: is a file; choose another --output_dir")
        elif self.directory.exists() and any(map(_is_foreign, self.directory.iterdir())):
            raise UserError(
                f"{self.directory}: not empty and holds no study; choose another --output_dir"
            )
        text = json.dumps(_description(study), indent=1, ensure_ascii=False) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            write_atomically(path, lambda temporary: _write_text(temporary, text))

    def _check_same(self, study: Study, path: Path) -> None:
        """Refuse a study whose variants differ from those the folder was made for."""
        known = _read_study(path)
        asked = _description(study)["variants"]
        if known.keys() == asked.keys():
            return
        raise UserError(
            f"{self.directory}: holds a different study ({_difference(known, asked)}); choose "
            "another --output_dir, or run it with the settings it was made with"
        )

    def is_committed(self, trial: TrialId) -> bool:
        """Whether the trial's results are all there."""
        return (self.directory / "trials" / trial.file("parquet")).exists()

    def has_failed(self, trial: TrialId) -> bool:
        """Whether the trial is recorded as failed, and was not committed since."""
        recorded = (self.directory / "failures" / trial.file("parquet")).exists()
        return recorded and not self.is_committed(trial)

    def commit(self, trial: TrialId, files: TrialFiles) -> None:
        """Write a finished trial's files; its row in `trials` comes last.

        Raises:
            UserError: the disk is full, or the folder cannot be written.
        """
        self._write("models", trial.file("safetensors"), files.model)
        self._write("generations", trial.file("parquet"), files.generations)
        self._write("trials", trial.file("parquet"), files.trial)
        (self.directory / "failures" / trial.file("parquet")).unlink(missing_ok=True)

    def record_failure(self, trial: TrialId, row: Row) -> None:
        """Write down that a trial failed, and why."""
        self._write("failures", trial.file("parquet"), _parquet([row], failures_schema()))

    def _write(self, folder: str, name: str, content: bytes) -> None:
        write_atomically(
            self.directory / folder / name, lambda temporary: _write_bytes(temporary, content)
        )


def _is_foreign(path: Path) -> bool:
    """Whether a file is not one that a killed run left half written."""
    return not path.name.startswith(TEMPORARY_PREFIX)


def _description(study: Study) -> dict[str, Any]:
    return {
        "format": STUDY_FORMAT,
        "name": study.name,
        "description": study.description,
        "trials": study.trials,
        "variants": {
            variant.id: {"name": study.label(variant), **variant.model_dump(mode="json")}
            for variant in study.variants
        },
    }


def _read_study(path: Path) -> dict[str, dict[str, Any]]:
    try:
        variants = json.loads(path.read_text(encoding="utf-8"))["variants"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        variants = None
    if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
        raise UserError(f"{path}: not a study description; choose another --output_dir")
    return variants


def _difference(known: dict[str, dict[str, Any]], asked: dict[str, dict[str, Any]]) -> str:
    """The first few fields in which two sets of variants differ."""
    differences = []
    fields = dict.fromkeys(
        field for variant in [*known.values(), *asked.values()] for field in variant
    )
    for field in fields:
        before, after = (
            sorted({str(variant.get(field)) for variant in variants.values()})
            for variants in (known, asked)
        )
        if before != after and field != "name":
            differences.append(f"{field}: {', '.join(before)} there, {', '.join(after)} asked for")
    return "; ".join(differences[:3]) or f"{len(known)} variants there, {len(asked)} asked for"


def _parquet(rows: Sequence[Row], schema: pa.Schema) -> bytes:
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=schema)
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("xb") as stream:
        stream.write(content)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
