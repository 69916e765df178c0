"""One trial from its first generation to the contents of its files."""

from __future__ import annotations

import dataclasses
import platform
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import aes_lipi
from aes_lipi.autoencoders.network import Pair
from aes_lipi.checkpoints import Checkpoint, decode_checkpoint, encode_checkpoint
from aes_lipi.coevolution.front import with_front_alone
from aes_lipi.coevolution.plan import Record, Setup
from aes_lipi.coevolution.quality import pair_of
from aes_lipi.coevolution.ring import Evolution, Ring, initial_ring
from aes_lipi.coevolution.verdict import Verdict, judge
from aes_lipi.config import Variant
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import UserError
from aes_lipi.execution.cadence import Cadence
from aes_lipi.execution.inputs import inputs_of, prepare
from aes_lipi.execution.job import (
    Checkpointed,
    Computed,
    Ending,
    Failed,
    Job,
    Leaving,
    Message,
    Reached,
    Refused,
)
from aes_lipi.execution.notice import Notice, never
from aes_lipi.models import Model, Place, describe_layers, model_bytes
from aes_lipi.results.schema import WEIGHTS, settings_row
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import trial_files

Provide = Callable[[Variant], tuple[Setup, Sequence[Pair]]]
"""Gives what a variant's trials share, and the saved pairs that they start from."""


def from_files(variant: Variant) -> tuple[Setup, Sequence[Pair]]:
    """Data and saved models as this machine's files hold them.

    Raises:
        UserError: they cannot be had.
    """
    return prepare(variant), inputs_of(variant).warm_start


def run_trial(job: Job, provide: Provide = from_files, notice: Notice = never) -> Iterator[Message]:
    """Run a trial in this process, from its checkpoint if it has one.

    One thread computes, whatever the machine, so that the bits are the same everywhere.

    Args:
        job: the trial.
        provide: where data and saved models come from.
        notice: that the process will soon be stopped: the trial is written down, and stops.

    Yields:
        its progress, and last how it ended: `Leaving` after a notice; `Refused` where it cannot run
        through no fault of its own, so that the same would befall the other trials.
    """
    started_at = datetime.now(UTC)
    try:
        setup, warm = provide(job.variant)  # loads the libraries whose threads are limited
        with threadpool_limits(limits=1):
            yield from _generations(job, setup, warm, started_at, notice)
    except UserError as error:
        yield Refused(str(error))
    except Exception as error:
        yield failed(job, error, started_at)


def _generations(
    job: Job, setup: Setup, warm: Sequence[Pair], started_at: datetime, notice: Notice
) -> Iterator[Message]:
    """All generations that are left, and the results."""
    start = _starting_point(job, setup, warm, started_at)
    started = time.perf_counter() - start.wall_time_s
    cadence = Cadence(job.interval, start.snapshot.generations)
    evolution = Evolution(setup, start.snapshot, job.replay)

    def written_down(generations: int) -> Checkpointed:
        elapsed = time.perf_counter() - started
        now = Checkpoint(evolution.snapshot(), start.started_at, elapsed)
        content = encode_checkpoint(now, job.variant, processor_name(), job.replay)
        return Checkpointed(generations, content)

    for generations in evolution:
        yield Reached(generations)
        if generations == job.variant.epochs:
            break
        if notice():
            yield written_down(generations)
            yield Leaving()
            return
        if cadence.is_due(generations):
            yield written_down(generations)
            cadence.made()
    last = evolution.snapshot()
    elapsed = time.perf_counter() - started
    at = start.started_at
    yield conclude(job, setup, Ring.of(last), last.records, started_at=at, wall_time_s=elapsed)


def _starting_point(
    job: Job, setup: Setup, warm: Sequence[Pair], started_at: datetime
) -> Checkpoint:
    if job.checkpoint is not None:
        return resumed(job, setup)
    return Checkpoint(initial_ring(setup, job.trial, warm).snapshot(), started_at, 0.0)


def resumed(job: Job, setup: Setup) -> Checkpoint:
    """A trial as its checkpoint has it.

    Raises:
        UserError: the checkpoint is not one of this trial.
    """
    try:
        return decode_checkpoint(job.checkpoint or b"", job.variant, setup.architecture)
    except ValueError as error:
        raise UserError(
            f"checkpoints/variant={job.id.variant}/trial={job.trial:04d}: holds something that is "
            f"no checkpoint of it ({error}); remove it, and run the same command again"
        ) from None


def conclude(
    job: Job,
    setup: Setup,
    ring: Ring,
    records: Sequence[Record],
    *,
    started_at: datetime,
    wall_time_s: float,
) -> Computed:
    """Judge a trial's last ring and encode its results.

    Args:
        job: the trial.
        setup: what its cells shared.
        ring: after the last generation.
        records: of all generations and cells, in order.
        started_at: when the trial started.
        wall_time_s: how long it took.
    """
    verdict = judge(ring, records, setup)
    row = _trial_row(job, setup, verdict) | {"wall_time_s": wall_time_s, "started_at": started_at}
    generations = [{"variant_name": job.label, **_fields(record, WEIGHTS)} for record in records]
    model = model_bytes(_model(job, setup, ring, verdict), _recorded(records, setup))
    return Computed(trial_files(row, generations, model))


def settle(store: ResultStore, job: Job, ending: Ending) -> str | None:
    """Commit a trial, or write down that it failed.

    Returns:
        None, or the error of a trial that failed.

    Raises:
        UserError: the results cannot be written.
    """
    if isinstance(ending, Computed):
        store.commit(job.id, ending.files)
        return None
    store.record_failure(job.id, ending.row)
    return ending.error


def failed(job: Job, error: Exception, started_at: datetime, told: str | None = None) -> Failed:
    """How a trial ended that an error stopped.

    Args:
        job: the trial.
        error: what stopped it.
        started_at: when the trial started.
        told: the traceback, if it is not the error's own.
    """
    line = f"{type(error).__name__}: {error}"
    row = _identity(job) | {
        "error": line,
        "traceback": told or "".join(traceback.format_exception(error)),
        "started_at": started_at,
    }
    return Failed(line, row)


def _model(job: Job, setup: Setup, ring: Ring, verdict: Verdict) -> Model:
    pairs = tuple(cell.pair for cell in ring.cells)
    return Model(
        architecture=setup.architecture,
        pair=pairs[verdict.best_cell],
        others=pairs if job.variant.store_all_nodes else (),
        scaling=setup.dataset.scaling,
        columns=setup.dataset.columns,
        provenance={
            "study": job.study,
            "variant": job.variant.id,
            "variant_name": job.label,
            "trial": job.trial,
            "cell": verdict.best_cell,
            "settings": job.variant.model_dump(mode="json"),
            "aes_lipi_version": aes_lipi.__version__,
        },
    )


def _recorded(records: Sequence[Record], setup: Setup) -> dict[Place, Pair]:
    """The centres of recorded generations that a choice can fall on, if the study stores them."""
    return {
        Place(record.generation, record.cell): pair_of(record.centre, setup.architecture)
        for record in with_front_alone(records)
        if record.centre is not None
    }


def _identity(job: Job) -> dict[str, Any]:
    return {
        "study": job.study,
        "variant_name": job.label,
        "trial": job.trial,
        "host": socket.gethostname(),
        **settings_row(job.variant),
    }


def _trial_row(job: Job, setup: Setup, verdict: Verdict) -> dict[str, Any]:
    results = _fields(verdict)
    retrieval = results.pop("retrieval")
    return {
        **_identity(job),
        "architecture": describe_layers(setup.architecture),
        **results,
        **(_fields(retrieval) if retrieval else {}),
        "engine_used": setup.engine.name,
        "device_used": setup.engine.device,
        "aes_lipi_version": aes_lipi.__version__,
        "numpy_version": np.__version__,
        "torch_version": version("torch"),
        "processor": _computed_by(setup.engine),
    }


def _fields(value: Any, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """A dataclass instance's fields, not copied and not converted."""
    names = [field.name for field in dataclasses.fields(value)]
    return {name: getattr(value, name) for name in names if name not in leave_out}


def _computed_by(engine: Engine) -> str:
    """The kind of processor, and of GPU if one was used."""
    if engine.device == "cpu":
        return processor_name()
    import torch  # noqa: PLC0415 - slow to import

    return f"{processor_name()} with {torch.cuda.get_device_name()}"


def processor_name() -> str:
    """The kind of processor: bits are promised for the same kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
