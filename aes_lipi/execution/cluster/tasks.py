"""Whole trials as Ray tasks: the ring runs inside one process, as on a laptop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import ray

from aes_lipi.autoencoders.networks import Pair
from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.execution.cluster.calibration import costs_of, seconds_per_cell
from aes_lipi.execution.cluster.forecast import Costs
from aes_lipi.execution.cluster.metrics import TrialMetrics
from aes_lipi.execution.cluster.nodes import NodeFacts, facts_of_this_node, use_only_what_is_ours
from aes_lipi.execution.jobs import Advanced, Job, Message, now_and_then
from aes_lipi.execution.setup import Materials, prepare_with
from aes_lipi.execution.trial import run_trial

PROGRESS_INTERVAL_S = 0.5

_materials_at_hand: dict[Variant, Materials] = {}


def run_whole_trial(job: Job, materials: Materials, n_gpus: float) -> Iterator[Message | NodeFacts]:
    """Run a trial in this worker process, which Ray uses again for the next.

    Yields:
        where it runs, its progress, and last how it ended.
    """
    use_only_what_is_ours(n_gpus)
    yield facts_of_this_node()

    def provide(variant: Variant) -> tuple[Setup, Sequence[Pair]]:
        _materials_at_hand[variant] = materials
        try:
            return _setup(variant), materials.warm_start
        finally:
            del _materials_at_hand[variant]

    metrics = TrialMetrics(job)
    for message in now_and_then(run_trial(job, provide), PROGRESS_INTERVAL_S):
        if isinstance(message, Advanced):
            metrics.advanced(message.generations)
        yield message


@lru_cache(maxsize=4)
def _setup(variant: Variant) -> Setup:
    """A variant's engine and data, kept between the trials of a process."""
    return prepare_with(variant, _materials_at_hand[variant])


RemoteTrial: Any = ray.remote(max_retries=0, num_returns="streaming")(run_whole_trial)


def measure_costs(variant: Variant, materials: Materials) -> Costs:
    """What the parts of a generation of a variant cost on this worker."""
    use_only_what_is_ours(0.0)
    setup = prepare_with(variant, materials)
    n_weights = setup.architecture.encoder.size + setup.architecture.decoder.size
    return costs_of(seconds_per_cell(setup), 4 * n_weights)


RemoteTiming: Any = ray.remote(measure_costs)
