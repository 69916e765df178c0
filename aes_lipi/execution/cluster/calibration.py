"""How many cells one actor should hold, from what was measured."""

from __future__ import annotations

import time

from threadpoolctl import threadpool_limits

from aes_lipi.coevolution.order import Flow
from aes_lipi.coevolution.plan import Setup
from aes_lipi.coevolution.ring import initial_ring, perform

CALL_CPU_S = 0.004
"""Processor time that Ray spends on one call of a step, over all processes
(tests/benchmarks/NOTES.md)."""

CHAIN_PER_CELL = 0.45
"""Share of a sequential generation's cells that lie on its longest chain, for rings of about ten
(tests/benchmarks/NOTES.md)."""

SAMPLE_S = 0.2


def seconds_per_cell(setup: Setup) -> float:
    """Seconds that one cell takes for a generation without recording, after a first one."""
    ring = initial_ring(setup, 0)
    steps = next(iter(Flow(setup.variant, 0, 0, ring.learning_rates)))
    known = {(i, -1): cell for i, cell in enumerate(ring.cells)}
    chosen = steps if setup.variant.cell_evaluation == "all_vs_all" else steps[:1]
    with threadpool_limits(limits=1):
        perform(chosen, known, setup)
        started, rounds = time.perf_counter(), 0
        while rounds == 0 or time.perf_counter() - started < SAMPLE_S:
            perform(chosen, known, setup)
            rounds += 1
    return (time.perf_counter() - started) / rounds / len(chosen)


def choose_cells_per_actor(
    n_cells: int, cell_s: float, cpus: float, trials_waiting: int, sequential: bool
) -> int:
    """The divisor of a ring that makes a study's trials end soonest.

    With at least as many trials as processors, whole rings side by side leave nothing idle and pay
    for no exchange. With fewer, rings are cut, as far as what runs at the same time saves more than
    the calls cost.

    Args:
        n_cells: cells of the ring.
        cell_s: seconds that one cell takes for a generation.
        cpus: processors of the cluster.
        trials_waiting: trials to run.
        sequential: whether cells wait for neighbours of the same generation.
    """
    if trials_waiting >= cpus:
        return n_cells
    share = max(1.0, cpus // max(1, trials_waiting))
    divisors = [k for k in range(1, n_cells + 1) if n_cells % k == 0]
    return min(divisors, key=lambda k: (_generation_s(n_cells, k, cell_s, share, sequential), -k))


def _generation_s(n_cells: int, k: int, cell_s: float, cpus: float, sequential: bool) -> float:
    """Seconds of a generation when actors hold k cells each, by a simple model."""
    groups = n_cells // k
    if groups == 1:
        return n_cells * cell_s
    side_by_side = min(cpus, groups)
    if sequential:
        side_by_side = min(side_by_side, max(1.0, groups / (1 + CHAIN_PER_CELL * (groups - 1))))
    calls = groups * (2 if sequential and k > 1 else 1)
    rounds = -(-groups // side_by_side)
    return rounds * k * cell_s + calls * CALL_CPU_S / side_by_side
