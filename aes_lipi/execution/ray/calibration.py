"""How many cells one actor should hold, from what was measured."""

from __future__ import annotations

import time
from collections.abc import Callable

from threadpoolctl import threadpool_limits

from aes_lipi.coevolution.evolution import InProcess, first_states
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Setup
from aes_lipi.coevolution.topology import neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.execution.ray.forecast import Costs, seconds_per_generation

CALL_S, SEND_S = 0.0020, 0.0006
"""Processor time of a call of a step beyond the step, at the actor and at the driver, for networks
of the published size (tests/benchmarks/NOTES.md)."""

SECONDS_PER_BYTE = 1.3e-9
"""Processor time of exchanging centres per byte of a pair's weights (tests/benchmarks/NOTES.md)."""

DECIDE_S = 2e-5
"""Processor time of one cell's plan at the driver (tests/benchmarks/NOTES.md)."""

SAMPLE_S = 0.2
CELLS_TO_SIMULATE = 4000
SIZES_TO_COMPARE = 8


def seconds_per_cell(setup: Setup, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that one cell takes for a generation without recording, after a first one.

    Args:
        setup: what cells share.
        clock: that the seconds are of.
    """
    schedule, executor = Schedule(setup.variant), InProcess([setup])
    start = schedule.start(0, first_states(setup, 0, schedule.first_versions))
    chosen = schedule.ready(start, {}, 1)[:1]

    def perform() -> None:
        executor.submit(0, chosen, start.held)
        executor.wait(())

    with threadpool_limits(limits=1):
        perform()
        started, rounds = clock(), 0
        while rounds == 0 or clock() - started < SAMPLE_S:
            perform()
            rounds += 1
    return (clock() - started) / rounds


def costs_of(cell_s: float, pair_bytes: int) -> Costs:
    """What the parts of a generation cost.

    Args:
        cell_s: seconds that one cell takes for a generation.
        pair_bytes: of its encoder and decoder.
    """
    return Costs(cell_s, CALL_S + SECONDS_PER_BYTE * pair_bytes, SEND_S, DECIDE_S)


def choose_cells_per_actor(
    variant: Variant, costs: Costs, processors: float, trials_waiting: int
) -> int:
    """The divisor of a ring that makes a study's trials end soonest.

    With at least as many trials as processors, whole rings side by side leave nothing idle and pay
    for no exchange. With fewer, rings are cut, as far as what runs at the same time saves more than
    the calls cost.

    Args:
        variant: settings of the ring.
        costs: of a generation's parts.
        processors: of the cluster.
        trials_waiting: trials to run.
    """
    n_cells = variant.population_size
    if trials_waiting >= processors:
        return n_cells
    share = max(1.0, processors // max(1, trials_waiting))
    n_steps = len(neighbourhoods(variant))
    generations = max(2, min(20, CELLS_TO_SIMULATE // n_steps))

    def forecast(k: int) -> float:
        if k == n_cells:
            return n_steps * costs.cell
        return seconds_per_generation(variant, k, share, costs, generations=generations)

    divisors = [k for k in range(1, n_cells + 1) if n_cells % k == 0]
    every = -(-len(divisors) // SIZES_TO_COMPARE)
    return min({*divisors[::every], n_cells}, key=lambda k: (forecast(k), -k))
