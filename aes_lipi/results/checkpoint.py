"""A checkpoint's file: safetensors with a few arrays, and in its metadata what they belong to.

The SHA-256 in the metadata covers everything else, so that a file that was cut short, or in which a
bit has flipped, is known for what it is. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.numpy import load, save

from aes_lipi._version import __version__
from aes_lipi.arrays import Array
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.coevolution.records import RecordLog, in_order
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Held, Reads, TrialState
from aes_lipi.config import Variant
from aes_lipi.optional import installed_version
from aes_lipi.results.checkpoint_tensors import (
    Tensors,
    newest_mean_l1,
    records_batch,
    records_from_tensors,
    records_to_tensors,
    states_from_tensors,
    states_to_tensors,
    take,
)
from aes_lipi.results.trial_files import TrialId

_CHECKPOINT_FORMAT: Literal[2] = 2
_KEY = "aes_lipi"
_MALFORMED = (
    *(SafetensorError, struct.error, LookupError, TypeError, RecursionError),
    AttributeError,  # of safetensors, for types that numpy does not have
)
_LONGEST_HEADER = 1024 * 1024  # bytes; ours take some four thousand


@dataclass(frozen=True)
class Checkpoint:
    """A trial on its way, written down.

    Attributes:
        state: the trial.
        started_at: when it began.
        wall_time_s: seconds that were spent on it.
    """

    state: TrialState[Held]
    started_at: datetime
    wall_time_s: float


class Identity(BaseModel):
    """What a checkpoint says of itself.

    Attributes:
        format: version of the file's layout.
        variant: whose trial it is of.
        trial: the trial's number.
        generations: that the whole ring has behind it.
        software: what computed them; other versions may round differently.
        processor: on which it was written, and what its kernels were compiled for.
        replay: digest of the reads that the trial repeats; empty of one that repeats none.
        started_at: when the trial began.
        wall_time_s: seconds that were spent on it.
        sha256: of all this but the digest itself, and of the arrays.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    format: Literal[2]
    variant: Annotated[str, Field(max_length=64)]
    trial: Annotated[int, Field(ge=0)]
    generations: Annotated[int, Field(ge=0)]
    software: Annotated[str, Field(max_length=1024)]
    processor: Annotated[str, Field(max_length=1024)]
    replay: Annotated[str, Field(pattern=r"^([0-9a-f]{64})?$")]
    started_at: Annotated[float, Field(ge=0, lt=1e11)]
    wall_time_s: Annotated[float, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def check_of(self, trial: TrialId, replay: Reads | None) -> None:
        """Make sure that a trial can go on from the checkpoint with the same bits.

        Args:
            trial: which.
            replay: the reads that it repeats.

        Raises:
            ValueError: the checkpoint is of another trial, of other reads, or of other versions of
                the packages.
        """
        if (self.variant, self.trial) != (trial.variant, trial.trial):
            raise ValueError(f"is of variant={self.variant} trial={self.trial:04d}")
        if self.replay != _digest_of_reads(replay):
            raise ValueError("is of a trial that repeats other reads, or none")
        if self.software != _software():
            raise ValueError(f"was written by {self.software}, and this is {_software()}")


@cache
def _software() -> str:
    """The packages that decide bits, with their versions."""
    others = " ".join(f"{name} {installed_version(name)}" for name in ("numpy", "numba", "torch"))
    return f"aes_lipi {__version__} {others}"


def _digest_of_reads(replay: Reads | None) -> str:
    """What tells the reads that a trial repeats from others; empty if it repeats none."""
    if replay is None:
        return ""
    return hashlib.sha256(np.ascontiguousarray(replay, np.int32).tobytes()).hexdigest()


def encode_checkpoint(
    checkpoint: Checkpoint, variant: Variant, processor: str, replay: Reads | None = None
) -> bytes:
    """A checkpoint as the content of its file.

    Args:
        checkpoint: the trial on its way.
        variant: its settings.
        processor: the kind that computes it, and what its kernels are compiled for.
        replay: the reads that the trial repeats.
    """
    state = checkpoint.state
    tensors = {
        "rates": np.array(list(state.rates.values()), np.float64),
        "rates.of": np.array(list(state.rates), np.int64).reshape(len(state.rates), 2),
        **states_to_tensors(state.held),
        **records_to_tensors(sorted(state.records, key=in_order)),
    }
    identity = Identity(
        format=_CHECKPOINT_FORMAT,
        variant=variant.id,
        trial=state.trial,
        generations=state.generations,
        software=_software(),
        processor=processor,
        replay=_digest_of_reads(replay),
        started_at=checkpoint.started_at.timestamp(),
        wall_time_s=checkpoint.wall_time_s,
        sha256="0" * 64,
    )
    whole = identity.model_copy(update={"sha256": _digest(identity, tensors)})
    return save(tensors, metadata={_KEY: whole.model_dump_json()})


def identify(content: bytes) -> Identity:
    """What a checkpoint is of.

    Raises:
        ValueError: the content is no checkpoint, or was cut short or changed.
    """
    return _read(content)[0]


def glance(content: bytes) -> tuple[int, float | None]:
    """How far a checkpoint's trial has come.

    Returns:
        the generations that its ring has behind it, and the mean over its cells of `mean_L1` when
        that was measured last; None if it was not.

    Raises:
        ValueError: the content is no checkpoint, or was cut short or changed.
    """
    identity, tensors = _read(content)
    return identity.generations, newest_mean_l1(tensors)


def recorded_so_far(content: bytes, columns: Sequence[str]) -> pa.Table:
    """What a checkpoint's trial has recorded, as the table of generations will have it.

    Args:
        content: of the file.
        columns: of the table of generations, none of a metric of a user's.

    Returns:
        a row per cell of every generation that the whole ring has behind it.

    Raises:
        ValueError: the content is no checkpoint, or was cut short or changed.
    """
    identity, tensors = _read(content)
    rows = pa.Table.from_batches([records_batch(tensors)]).select(list(columns))
    return rows.filter(pc.less(rows["generation"], identity.generations))


def decode_checkpoint(content: bytes, variant: Variant, architecture: Architecture) -> Checkpoint:
    """A checkpoint from the content of its file.

    Args:
        content: of the file.
        variant: the settings of its trial.
        architecture: the layouts of its networks.

    Raises:
        ValueError: the content is no checkpoint, was cut short or changed, or is of another
            variant;
            what is wrong is named.
    """
    identity, tensors = _read(content)
    if identity.variant != variant.id:
        raise ValueError(f"variant: {identity.variant}, not {variant.id}")
    schedule = Schedule(variant)
    of = take(tensors, "rates.of", np.int64, (None, 2)).tolist()
    rates = take(tensors, "rates", np.float64, (len(of),)).tolist()
    n_members = [len(each) for each in schedule.members]
    state = TrialState(
        trial=identity.trial,
        held=states_from_tensors(tensors, architecture, variant.batch_size),
        rates={(who, t): rate for (who, t), rate in zip(of, rates, strict=True)},
        records=RecordLog(
            records_from_tensors(
                *(tensors, n_members, 4 * architecture.n_parameters),
                n_metrics=len(variant.metrics or ()),
            ),
            keeps_all=variant.store_generations == "all",
        ),
    )
    _check(state, schedule)
    state = schedule.settled(state)
    if any(version not in state.held for version in schedule.restored_later(state)):
        raise ValueError("versions: not those of the best generation")
    started_at = datetime.fromtimestamp(identity.started_at, UTC)
    return Checkpoint(state, started_at, identity.wall_time_s)


def _check(state: TrialState[Held], schedule: Schedule) -> None:
    """Whether these are the states and records of one trial, none missing and none too many."""
    variant, first = schedule.variant, schedule.first_versions
    if state.newest.keys() != {(part, number) for part, number, _ in first}:
        raise ValueError("versions: not those of the ring's cells")
    last = variant.epochs * state.steps_per_generation
    if not all(-1 <= age < last for _, _, age in state.held):
        raise ValueError("versions: of generations that there are not")
    if [(record.generation, record.cell) for record in state.records] != schedule.behind(state):
        raise ValueError("records: not those of the generations behind")
    if any(record.trial != state.trial for record in state.records):
        raise ValueError("records: of another trial")
    if not all(0 <= rate < np.inf for rate in state.rates.values()):
        raise ValueError("rates: not finite")
    if schedule.rates_of(state) - state.rates.keys():
        raise ValueError("rates.of: not those of the generations to come")


def _read(content: bytes) -> tuple[Identity, Tensors]:
    """The parts of a file, found to be whole."""
    try:
        header_bytes = struct.unpack_from("<Q", content)[0]
        if header_bytes > min(_LONGEST_HEADER, len(content) - 8):
            raise ValueError("its header is longer than any checkpoint's")
        header = json.loads(content[8 : 8 + header_bytes])
        identity = Identity.model_validate_json(header["__metadata__"][_KEY])
        tensors: dict[str, Array] = load(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "metadata"
        raise ValueError(f"{place}: {first['msg']}") from None
    except _MALFORMED as error:
        reason = " ".join(str(error).split())[:100]
        raise ValueError(f"not a checkpoint ({reason})") from None
    if _digest(identity, tensors) != identity.sha256:
        raise ValueError("its content is not what was written")
    return identity, tensors


def _digest(identity: Identity, tensors: Tensors) -> str:
    """SHA-256 over an identity but its digest, and over arrays by name, type, shape and bytes."""
    digest = hashlib.sha256(identity.model_dump_json(exclude={"sha256"}).encode())
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()
