"""One trial from its first generation to the contents of its files."""

from __future__ import annotations

import dataclasses
import platform
import socket
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

import aes_lipi
from aes_lipi.coevolution.plan import Record, Setup
from aes_lipi.coevolution.ring import Ring, advance, initial_ring
from aes_lipi.coevolution.verdict import Verdict, judge
from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.setup import prepare, warm_start
from aes_lipi.models import Model, describe_layers, model_bytes
from aes_lipi.results.schema import settings_row
from aes_lipi.results.store import ResultStore, TrialFiles, TrialId, trial_files

OnGeneration = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Job:
    """One trial to run.

    Attributes:
        study: name of the study.
        label: the variant's name within the study.
        variant: its settings.
        trial: number of the trial.
    """

    study: str
    label: str
    variant: Variant
    trial: int

    @property
    def id(self) -> TrialId:
        """Variant and number."""
        return TrialId(self.variant.id, self.trial)


@dataclasses.dataclass(frozen=True)
class Computed:
    """A trial that ran to its end: what there is to commit."""

    files: TrialFiles


@dataclasses.dataclass(frozen=True)
class Failed:
    """A trial that failed.

    Attributes:
        error: what happened, in a line.
        row: the columns of `failures_schema`.
    """

    error: str
    row: dict[str, Any]


def jobs_of(study: Study) -> list[Job]:
    """All trials of a study: the first of every variant, then the second, and so on."""
    return [
        Job(study.name, study.label(variant), variant, trial)
        for trial in range(study.trials)
        for variant in study.variants
    ]


def run_trial(job: Job, on_generation: OnGeneration) -> Computed | Failed:
    """Run a trial.

    One thread computes, whatever the machine, so that the bits are the same everywhere.

    Args:
        job: the trial.
        on_generation: called after every generation.

    Raises:
        UserError: the trial cannot run, through no fault of its own: the same would befall the
            other trials.
    """
    started_at, started = datetime.now(UTC), time.perf_counter()
    try:
        with threadpool_limits(limits=1):
            setup = prepare(job.variant)
            ring, records = evolve(setup, job.trial, on_generation)
            verdict = judge(ring, records[-len(ring.cells) :], setup)
    except UserError:
        raise
    except Exception as error:
        return failed(job, error, started_at)
    row = _trial_row(job, setup, verdict) | {
        "wall_time_s": time.perf_counter() - started,
        "started_at": started_at,
    }
    generations = [{"variant_name": job.label, **_fields(record)} for record in records]
    model = model_bytes(_model(job, setup, ring, verdict))
    return Computed(trial_files(row, generations, model))


def settle(store: ResultStore, job: Job, ending: Computed | Failed) -> str | None:
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


def failed(job: Job, error: Exception, started_at: datetime) -> Failed:
    """How a trial ended that an error stopped."""
    told = f"{type(error).__name__}: {error}"
    row = _identity(job) | {
        "error": told,
        "traceback": "".join(traceback.format_exception(error)),
        "started_at": started_at,
    }
    return Failed(told, row)


def evolve(setup: Setup, trial: int, on_generation: OnGeneration) -> tuple[Ring, list[Record]]:
    """Run a ring from its first generation to its last.

    Returns:
        the last ring, and the records of all generations and cells in order.
    """
    ring = initial_ring(setup, trial, warm_start(setup))
    records: list[Record] = []
    while ring.generation < setup.variant.epochs:
        ring, new = advance(ring, setup)
        records += new
        on_generation()
    return ring, records


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
