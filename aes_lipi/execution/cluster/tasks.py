"""Whole trials as Ray tasks: the ring runs inside one process, as on a laptop."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import ray

from aes_lipi.autoencoders.networks import Pair
from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.execution.cluster.calibration import costs_of, seconds_per_cell
from aes_lipi.execution.cluster.draining import DrainNotice, this_node
from aes_lipi.execution.cluster.forecast import Costs
from aes_lipi.execution.cluster.metrics import TrialMetrics
from aes_lipi.execution.cluster.nodes import (
    NodeFacts,
    facts_of_this_node,
    memory_share,
    use_only_what_is_ours,
)
from aes_lipi.execution.cluster.setups import SetupCache
from aes_lipi.execution.jobs import Job, Leaving, Message, Reached, now_and_then
from aes_lipi.execution.setup import Materials, prepare_with
from aes_lipi.execution.trial import run_trial

PROGRESS_INTERVAL_S = 0.5
STAY_S = 120.0


@cache
def _setups(n_cpus: float) -> SetupCache:
    """What this process keeps at hand."""
    return SetupCache(memory_share(n_cpus))


def run_whole_trial(
    job: Job, materials: Materials, n_cpus: float, n_gpus: float
) -> Iterator[Message | NodeFacts]:
    """Run a trial in this worker process, which Ray uses again for the next.

    Yields:
        where it runs, its progress, and last how it ended.
    """
    use_only_what_is_ours(n_gpus)
    yield facts_of_this_node()

    def provide(variant: Variant) -> tuple[Setup, Sequence[Pair]]:
        return _setups(n_cpus).setup(variant, materials), materials.warm_start

    metrics, reached = TrialMetrics(job), None
    notice = DrainNotice(lambda: {this_node()})
    for message in now_and_then(run_trial(job, provide, notice), PROGRESS_INTERVAL_S):
        if isinstance(message, Reached):
            metrics.advanced(0 if reached is None else message.generations - reached)
            reached = message.generations
        yield message
        if isinstance(message, Leaving):
            time.sleep(STAY_S)  # a drained node without work ends at once, and its objects with it


RemoteTrial: Any = ray.remote(max_retries=0, num_returns="streaming")(run_whole_trial)


def measure_costs(variant: Variant, materials: Materials) -> Costs:
    """What the parts of a generation of a variant cost on this worker."""
    use_only_what_is_ours(0.0)
    setup = prepare_with(variant, materials)
    n_weights = setup.architecture.encoder.size + setup.architecture.decoder.size
    return costs_of(seconds_per_cell(setup), 4 * n_weights)


RemoteTiming: Any = ray.remote(measure_costs)
