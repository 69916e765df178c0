"""One trial from its first generation to the contents of its files."""

from __future__ import annotations

import dataclasses
import platform
import socket
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import aes_lipi
from aes_lipi.autoencoders.networks import Pair
from aes_lipi.coevolution.plan import Record, Setup
from aes_lipi.coevolution.ring import Ring, advance, initial_ring, replayed
from aes_lipi.coevolution.verdict import Verdict, judge
from aes_lipi.config import Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.jobs import Advanced, Computed, Ending, Failed, Job, Message, Refused
from aes_lipi.execution.setup import materials_of, prepare
from aes_lipi.models import Model, describe_layers, model_bytes
from aes_lipi.results.schema import settings_row
from aes_lipi.results.store import ResultStore
from aes_lipi.results.trial_files import trial_files

Provide = Callable[[Variant], tuple[Setup, Sequence[Pair]]]
"""Gives what a variant's trials share, and the saved pairs that they start from."""


def from_files(variant: Variant) -> tuple[Setup, Sequence[Pair]]:
    """Data and saved models as this machine's files hold them.

    Raises:
        UserError: they cannot be had.
    """
    return prepare(variant), materials_of(variant).warm_start


def run_trial(job: Job, provide: Provide = from_files) -> Iterator[Message]:
    """Run a trial in this process.

    One thread computes, whatever the machine, so that the bits are the same everywhere.

    Args:
        job: the trial.
        provide: where data and saved models come from.

    Yields:
        its progress, and last how it ended: `Refused` where it cannot run through no fault of its
        own, so that the same would befall the other trials.
    """
    started_at, started = datetime.now(UTC), time.perf_counter()
    try:
        with threadpool_limits(limits=1):
            setup, warm = provide(job.variant)
            ring, records = yield from _evolve(job, setup, warm)
            elapsed = time.perf_counter() - started
            yield conclude(job, setup, ring, records, started_at=started_at, wall_time_s=elapsed)
    except UserError as error:
        yield Refused(str(error))
    except Exception as error:
        yield failed(job, error, started_at)


def _evolve(
    job: Job, setup: Setup, warm: Sequence[Pair]
) -> Generator[Advanced, None, tuple[Ring, list[Record]]]:
    """The last ring, and the records of all generations and cells in order."""
    ring = initial_ring(setup, job.trial, warm)
    if job.replay is not None:
        again = replayed(ring, setup, job.replay)
        while True:
            try:
                yield Advanced(next(again))
            except StopIteration as end:
                last, all_records = end.value
                return last, all_records
    records: list[Record] = []
    while ring.generation < setup.variant.epochs:
        ring, new = advance(ring, setup)
        records += new
        yield Advanced(1)
    return ring, records


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
    verdict = judge(ring, records[-len(ring.cells) :], setup)
    row = _trial_row(job, setup, verdict) | {"wall_time_s": wall_time_s, "started_at": started_at}
    generations = [{"variant_name": job.label, **_fields(record)} for record in records]
    model = model_bytes(_model(job, setup, ring, verdict))
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
        "processor": processor_name(),
    }


def _fields(value: Any) -> dict[str, Any]:
    """A dataclass instance's fields, not copied and not converted."""
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def processor_name() -> str:
    """The kind of processor: bits are promised for the same kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
