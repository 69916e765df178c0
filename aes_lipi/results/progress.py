"""What a driver at work says of its trials: `progress.json`, at the top of the study's folder.

It is of use only as long as its driver lives, and nobody but `aes-lipi status` reads it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from aes_lipi.errors import UserError
from aes_lipi.io.files import encode_json
from aes_lipi.results.storage import Storage

PROGRESS_FILE = "progress.json"
_LONGEST = 16 * 1024 * 1024  # bytes; a running trial takes some two hundred

_Count = Annotated[int, Field(ge=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class RunningTrial(_Strict):
    """A trial on its way.

    Attributes:
        variant: id of its variant.
        label: name of its variant.
        trial: its number.
        generations: that it has behind it.
        epochs: generations of a whole trial.
        mean_L1: mean over its cells when it was written down last; None if it was not measured.
    """

    variant: str
    label: str
    trial: _Count
    generations: _Count
    epochs: _Count
    mean_L1: float | None = None  # noqa: N815 - the column's name for it


class Progress(_Strict):
    """What a driver knows beyond its study's files.

    Attributes:
        format: version of the file's layout.
        claim: token of the driver's claim; of no other driver is this true.
        generations_per_second: of all trials together; None before that can be known.
        generations_left: of all trials that the driver is to run.
        running: the trials on their way, in the order in which they started.
    """

    format: Literal[1] = 1
    claim: str
    generations_per_second: Annotated[float, Field(gt=0)] | None
    generations_left: _Count
    running: tuple[RunningTrial, ...]

    @property
    def seconds_left(self) -> float | None:
        """Time that the rest will take; None before that can be known."""
        rate = self.generations_per_second
        return None if rate is None else self.generations_left / rate


def encode_progress(progress: Progress) -> bytes:
    """The content of `progress.json`.

    Raises:
        UserError: a label cannot be written.
    """
    return encode_json(progress.model_dump())


def read_progress(storage: Storage) -> Progress | None:
    """What a folder's `progress.json` says; None if there is none, or it is not one of ours.

    Raises:
        UserError: the folder cannot be read.
    """
    content = storage.read(PROGRESS_FILE, _LONGEST)
    try:
        return None if content is None else Progress.model_validate_json(content)
    except ValidationError:
        return None


def holds_progress(storage: Storage) -> bool:
    """Whether a folder has a `progress.json` that a driver wrote."""
    try:
        return read_progress(storage) is not None
    except UserError:  # a link, say, or a folder
        return False
