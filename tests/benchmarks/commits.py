"""Two checkouts of the project against each other: processor time of the dense engine's step.

Run as `python -m benchmarks.step --against PATH`. One process for each checkout trains the same
passes in turn, so that a noisy moment hits both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parents[2]
PASSES, WARM_PASSES, WARM_RATE = 5, 50, 1e-4


class _Checkout:
    """A process that trains with the code of one checkout, and says what a step took."""

    def __init__(self, path: Path, fields: Mapping[str, object]) -> None:
        environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{path / 'tests'}"}
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(fields)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def step(self) -> float:
        """Processor time of a step, in seconds."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("train\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def compare(other: Path, settings: Mapping[str, Mapping[str, object]], rounds: int) -> None:
    """Print, for each setting, a step of the other checkout's engine and of this one's."""
    print(f"\nprocessor time of a step, us, medians of {rounds}: {other} and this checkout")
    for name, fields in settings.items():
        checkouts = [_Checkout(path, fields) for path in (other, HERE)]
        for checkout in checkouts:
            checkout.step()
        times = [[checkout.step() for checkout in checkouts] for _ in range(rounds)]
        for checkout in checkouts:
            checkout.close()
        before, after = (statistics.median(column) * 1e6 for column in zip(*times, strict=True))
        ratio = statistics.median(new / old for old, new in times)
        print(f"{name:36}{before:8.1f}{after:8.1f}   ratio {ratio:.3f}", flush=True)


def _answer() -> None:
    """What a checkout's process does: a line of seconds for each line that it reads."""
    from aes_lipi.engine.dense import DenseEngine  # noqa: PLC0415 - of the checkout on the path
    from benchmarks.settings import Setting  # noqa: PLC0415

    fresh = Setting.of(**json.loads(sys.argv[1]))
    engine = DenseEngine(fresh.architecture, fresh.dataset, fresh.variant.batch_size)
    setting = fresh.trained(engine, WARM_PASSES, WARM_RATE)
    task, steps = setting.task(), len(setting.batches) * PASSES
    for _ in sys.stdin:
        started = time.process_time()
        for _ in range(PASSES):
            engine.train([task])
        print((time.process_time() - started) / steps, flush=True)


if __name__ == "__main__":
    _answer()
