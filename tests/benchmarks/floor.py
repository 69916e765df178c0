"""How far a step is from what the machine allows: matrix products' speed, and that of the cache."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from benchmarks.settings import Setting
from benchmarks.timing import Measured

SIDE, CACHED = 512, 1 << 15  # rows of a matrix; floats of an array, two of which fit into L2


def print_floor(setting: Setting, dense: Measured) -> None:
    """One line: the least that arithmetic and traffic of a step take here, and what it took.

    Arithmetic: every weight forwards, in its gradient and, but for the first layer, backwards, at
    the speed of a large matrix product; nothing for losses, and nothing saved on silent units.
    Traffic: every weight read twice and written once, at the speed of copying within the cache.
    """
    side = np.ones((SIDE, SIDE), np.float32)
    source, target = np.ones(CACHED, np.float32), np.ones(CACHED, np.float32)
    flops = 2 * SIDE**3 / _seconds(lambda: side @ side, 5)
    traffic = 2 * source.nbytes / _seconds(lambda: np.copyto(target, source), 1000)
    weights = setting.architecture.n_parameters
    first = setting.architecture.encoder.layers[0].size
    work = 2 * setting.variant.batch_size * (3 * weights - first) / flops
    moved = 3 * 4 * weights / traffic
    larger, both = dense.median / max(work, moved), dense.median / (work + moved)
    print(
        f"floor: {work * 1e6:.1f} us at sgemm's {flops / 1e9:.0f} GFLOP/s, "
        f"{moved * 1e6:.1f} us at the cache's {traffic / 1e9:.0f} GB/s; "
        f"dense takes {larger:.1f} times the larger, {both:.1f} times both"
    )


def _seconds(work: Callable[[], object], times: int) -> float:
    """The least processor time of some rounds of a call, by call."""
    rounds = []
    for _ in range(15):
        started = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - started) / times)
    return min(rounds)
