"""How trials end: the contents of their files, or the row of a failure."""

from __future__ import annotations

import dataclasses
import math
import socket
import traceback
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np

from aes_lipi._version import __version__
from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.baselines import blocks
from aes_lipi.coevolution.measure import pair_of
from aes_lipi.coevolution.records import Record, in_order, with_front_alone
from aes_lipi.coevolution.result import TrialResult, judge, pairs_by_number, reconstructing
from aes_lipi.coevolution.state import Held, Setup, TrialState
from aes_lipi.config.parameters import parameter_row
from aes_lipi.engine.processor import kernel_target, processor_name
from aes_lipi.engine.protocol import Engine
from aes_lipi.errors import without_folders
from aes_lipi.execution.messages import Computed, Failed, Job
from aes_lipi.models import Model, Place, describe_layers, model_bytes, percentiles
from aes_lipi.optional import installed_version
from aes_lipi.results.schema import METRICS, NESTED, WEIGHTS, metric_values, settings_row
from aes_lipi.results.trial_files import trial_files


def conclude(
    job: Job,
    setup: Setup,
    last: TrialState[Held],
    *,
    started_at: datetime,
    wall_time_s: float,
) -> Computed:
    """Judge a trial's last state and encode its results.

    Args:
        job: the trial.
        setup: what its cells shared.
        last: after the last generation that it ran.
        started_at: when the trial started.
        wall_time_s: how long it took.
    """
    records = sorted(last.records, key=in_order)
    result, pairs = judge(last, records, setup)
    row = _trial_row(job, setup, result) | parameter_row(vars(job.variant), job.parameters)
    row |= {
        "wall_time_s": wall_time_s,
        "cpu_time_s": math.fsum(record.cpu_time_s for record in records),
        "started_at": started_at,
    }
    generations = [
        {
            "variant_name": job.label,
            **_fields(record, (*WEIGHTS, *METRICS)),
            **dict.fromkeys(job.metrics),
            **metric_values(record, job.variant),
        }
        for record in records
    ]
    best = result.best_cell
    others = pairs_by_number(pairs, [r for r in records if r.generation == result.best_generation])
    model = scored(model_of(setup, pairs[best], others, _provenance(job, setup, best)), setup)
    stored = model_bytes(model, _recorded(records, setup))
    files = trial_files(row, generations, stored, job.parameters)
    return Computed(files, result.epochs_run)


def failed(job: Job, error: Exception, started_at: datetime, told: str | None = None) -> Failed:
    """How a trial ended that an error stopped.

    Args:
        job: the trial.
        error: what stopped it.
        started_at: when the trial started.
        told: the traceback, if it is not the error's own.
    """
    line = f"{type(error).__name__}: {error}"
    return failure(job, line, told or "".join(traceback.format_exception(error)), started_at)


def failure(job: Job, error: str, details: str, started_at: datetime) -> Failed:
    """How a trial failed: the error in a line, and what is known of it at length.

    Where files lie is told on the terminal, and not written down: results travel.
    """
    told = {"error": without_folders(error), "traceback": without_folders(details)}
    return Failed(error, _identity(job) | told | {"started_at": started_at})


def model_of(setup: Setup, pair: Pair, others: Sequence[Pair], provenance: dict[str, Any]) -> Model:
    """A pair as a model, with the others where the variant stores them.

    Args:
        setup: what the cells shared.
        pair: whose model it is.
        others: of all cells, see `pairs_by_number`.
        provenance: where it comes from, as JSON has it; the version of the package is added.
    """
    return Model(
        architecture=setup.architecture,
        pair=pair,
        others=tuple(others) if setup.variant.store_all_nodes else (),
        scaling=setup.dataset.scaling,
        columns=setup.dataset.columns,
        encoding=setup.dataset.encoding,
        provenance={**provenance, "aes_lipi_version": __version__},
    )


_MOST_SCORED = 10_000


def scored(model: Model, setup: Setup) -> Model:
    """The same model, with the quantiles of the training rows' scores.

    They are of at most 10,000 rows, which lie evenly among all. A model that diverged has none.

    Args:
        model: of the best pair.
        setup: what the cells shared.
    """
    train = setup.dataset.train
    reconstruct = reconstructing(model.pair, setup, "train")
    step = -(-len(train) // _MOST_SCORED)
    parts = [slice(p.start * step, p.stop * step, step) for p in blocks(train[::step])]
    scores = [np.abs(train[p] - reconstruct(p)).mean(axis=1, dtype=np.float64) for p in parts]
    return dataclasses.replace(model, score_quantiles=percentiles(np.concatenate(scores)))


def _provenance(job: Job, setup: Setup, cell: int) -> dict[str, Any]:
    return {
        "study": job.study,
        "variant": job.variant.id,
        "variant_name": job.label,
        "trial": job.trial,
        "cell": cell,
        "settings": job.variant.portable(),
        **({"data_read": setup.dataset.read} if setup.dataset.read else {}),
    }


def _recorded(records: Sequence[Record], setup: Setup) -> dict[Place, Pair]:
    """The centres that the study stores: all, or those of recorded generations on the front."""
    stored = setup.variant.store_generations
    return {
        Place(record.generation, record.cell): pair_of(record.centre, setup.architecture)
        for record in (records if stored == "all" else with_front_alone(records))
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


def _trial_row(job: Job, setup: Setup, result: TrialResult) -> dict[str, Any]:
    parts = [getattr(result, name) for name in NESTED]
    return {
        **_identity(job),
        "architecture": describe_layers(setup.architecture),
        **_fields(result, tuple(NESTED)),
        **{k: v for part in parts if part is not None for k, v in _fields(part).items()},
        "engine_used": setup.engine.name,
        "device_used": setup.engine.device,
        "aes_lipi_version": __version__,
        "numpy_version": np.__version__,
        "torch_version": installed_version("torch"),
        "processor": _computed_by(setup.engine),
        "data_read": setup.dataset.read or None,
    }


def _fields(value: Any, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """A dataclass instance's fields, not copied and not converted."""
    names = [field.name for field in dataclasses.fields(value)]
    return {name: getattr(value, name) for name in names if name not in leave_out}


def _computed_by(engine: Engine) -> str:
    """The kind of processor, and the GPU if one was used, else what kernels were compiled for."""
    if engine.device == "cpu":
        return f"{processor_name()}, kernels for {_kernels_for(engine)}"
    import torch  # noqa: PLC0415 - slow to import

    return f"{processor_name()} with {torch.cuda.get_device_name()}"


def _kernels_for(engine: Engine) -> str:
    """The instruction set of an engine's kernels, and how wide its vectors are."""
    if engine.name == "dense":
        return kernel_target()
    import torch  # noqa: PLC0415 - slow to import

    capability = torch.backends.cpu.get_cpu_capability()
    bits = {"AVX512": ", 512 bits", "AVX2": ", 256 bits", "DEFAULT": ", 128 bits"}
    return f"{capability}{bits.get(capability, '')}"
