"""Whole trials as Ray tasks: the ring runs inside one process, as on a laptop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import ray

from aes_lipi.coevolution.state import Setup
from aes_lipi.config import Variant
from aes_lipi.engine.auto import choose_device
from aes_lipi.execution.inputs import Inputs, SetupCache, architecture_of, prepare_with
from aes_lipi.execution.messages import Job, Leaving, Reached, Said, now_and_then
from aes_lipi.execution.ray.forecast import Costs, costs_of, seconds_per_cell
from aes_lipi.execution.ray.metrics import TrialMetrics
from aes_lipi.execution.ray.nodes import (
    DrainNotice,
    NodeFacts,
    facts_of_this_node,
    memory_share,
    this_node,
    use_only_what_is_ours,
)
from aes_lipi.execution.stacks import gpu_memory, trials_that_fit
from aes_lipi.execution.trial import run_trials
from aes_lipi.results.trial_files import TrialId

_PROGRESS_INTERVAL_S = 0.5
_STAY_S = 120.0


@cache
def _setups(n_cpus: float) -> SetupCache:
    """What this process keeps at hand."""
    return SetupCache(memory_share(n_cpus))


def run_whole_trials(
    jobs: Sequence[Job], inputs: Inputs, n_cpus: float, n_gpus: float
) -> Iterator[Said | NodeFacts]:
    """Run a trial, or a stack of them, in this worker process, which Ray uses again for the next.

    Args:
        jobs: trials of one variant.
        inputs: what it starts from.
        n_cpus: processors that are reserved for this task.
        n_gpus: GPUs that are.

    Yields:
        where it runs, the trials' progress, and last how each of them ended.
    """
    use_only_what_is_ours(n_gpus)
    yield facts_of_this_node()

    def provide(variant: Variant) -> Setup:
        setup = _setups(n_cpus).setup(variant, lambda _: inputs.dataset)
        return replace(setup, warm_start=inputs.warm_start)

    metrics = {job.id: TrialMetrics(job) for job in jobs}
    reached: dict[TrialId, int] = {}
    leaving = False
    notice = _lasting(DrainNotice(lambda: {this_node()}))
    for job, message in now_and_then(run_trials(jobs, provide, notice), _PROGRESS_INTERVAL_S):
        if isinstance(message, Reached):
            now = message.generations
            metrics[job.id].advanced(now - reached.get(job.id, now))
            reached[job.id] = now
        leaving = leaving or isinstance(message, Leaving)
        yield job.id, message
    if leaving:
        time.sleep(_STAY_S)  # a drained node without work ends at once, and its objects with it


def _lasting(notice: Callable[[], bool]) -> Callable[[], bool]:
    """The same for many who ask: once given to one of them, it is given to all."""
    given = threading.Event()

    def was_given() -> bool:
        if not given.is_set() and notice():
            given.set()
        return given.is_set()

    return was_given


RemoteTrials: Any = ray.remote(max_retries=0, num_returns="streaming")(run_whole_trials)
RemoteTrialsOnGpu: Any = ray.remote(max_retries=0, num_returns="streaming", max_calls=1)(
    run_whole_trials
)
"""In a process of its own: one that has used a GPU holds on to its memory, and to that GPU."""


def measure_room(variant: Variant, inputs: Inputs, n_gpus: float) -> int:
    """Trials of a variant that this worker's share of a GPU can train side by side.

    Raises:
        UserError: this node has no GPU; use --device cpu.
    """
    use_only_what_is_ours(n_gpus)
    choose_device(variant)
    architecture = architecture_of(variant, inputs.dataset.n_dim)
    free = int(gpu_memory() * min(1.0, n_gpus))
    return trials_that_fit(variant, architecture, len(inputs.dataset.train), free)


RemoteRoom: Any = ray.remote(max_calls=1)(measure_room)


def measure_costs(variant: Variant, inputs: Inputs) -> Costs:
    """What the parts of a generation of a variant cost on this worker."""
    use_only_what_is_ours(0.0)
    setup = prepare_with(variant, inputs)
    n_weights = setup.architecture.encoder.size + setup.architecture.decoder.size
    return costs_of(seconds_per_cell(setup), 4 * n_weights)


RemoteTiming: Any = ray.remote(measure_costs)
