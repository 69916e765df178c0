"""What the parts of a generation cost on Ray, in processor time: a busy machine matters little.

`python -m benchmarks.cluster.costs`, tests on PYTHONPATH. The constants of
`aes_lipi/execution/ray/calibration.py` come from here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from studies import Listener

from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.config import Study, StudyFile, resolve_study
from aes_lipi.execution.inputs import prepare
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.forecast import seconds_per_cell
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import run_study
from aes_lipi.execution.study import TrialProgress
from benchmarks.cluster.one_node import processor_seconds, ray_here

N_CELLS = 10
WIDTHS = (250, 1000, 4000, 16_000, 64_000)


@dataclass(frozen=True)
class Measured:
    """Seconds of processor time.

    Attributes:
        pair_bytes: of a cell's weights.
        cell: a cell's generation without Ray.
        actor: the actor's side of a call, without the cell's generation.
        driver: the trial driver's side of a call.
        rest: all other processes, per call.
    """

    pair_bytes: int
    cell: float
    actor: float
    driver: float
    rest: float


class _Meter(Listener):
    """Reads the meters between the first and the last news of the second trial."""

    def __init__(self) -> None:
        self.first: tuple[Counter[str], int] | None = None
        self.last: tuple[Counter[str], int] | None = None
        self._generations = 0

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        if trial.id.trial == 1:
            self._generations += generations
            self.last = processor_seconds(), self._generations
            self.first = self.first or self.last


def ring_study(n_dim: int, epochs: int, n_cells: int = N_CELLS) -> Study:
    """A ring with next to no training rows, so that what remains is Ray's."""
    settings = {
        "update_order": "synchronous",
        "population_size": n_cells,
        "n_clusters": 1,
        "n_examples_per_cluster": 10,
        "n_dim": n_dim,
        "hidden_sizes": [30],
        "latent_size": 10,
        "record_interval": epochs,
        "epochs": epochs,
        "engine": "dense",
    }
    return resolve_study("costs", StudyFile(trials=2, settings=settings), {})


def measure(n_dim: int, seconds: float) -> Measured:
    """Costs for networks of a width."""
    probe = prepare(ring_study(n_dim, 1).variants[0])
    pair_bytes = 4 * (probe.architecture.encoder.size + probe.architecture.decoder.size)
    cell = seconds_per_cell(probe, time.process_time)
    epochs = max(20, round(seconds / (N_CELLS / 2 * (cell + 0.004 + 1e-8 * pair_bytes))))
    meter = _Meter()
    with tempfile.TemporaryDirectory() as folder:
        runner = ClusterRunner(ClusterOptions(cells_per_actor=1, trials_at_a_time=1))
        run_study(ring_study(n_dim, epochs), Path(folder) / "s", runner, meter)
    assert meter.first is not None
    assert meter.last is not None
    calls = (meter.last[1] - meter.first[1]) * N_CELLS
    used = {kind: s / calls for kind, s in (meter.last[0] - meter.first[0]).items()}
    actor, driver = used.pop("CellActor"), used.pop("TrialDriver")
    return Measured(pair_bytes, cell, actor - cell, driver, sum(used.values()))


def decide_s(generations: int = 200) -> float:
    """Seconds that the driver takes to decide one cell's generation."""
    variant = ring_study(1000, generations).variants[0]
    schedule = Schedule(variant)
    start = schedule.start(0, dict.fromkeys(schedule.first_versions))
    started = time.perf_counter()
    steps = schedule.ready(start, {}, generations)
    return (time.perf_counter() - started) / len(steps)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=12.0)
    arguments = parser.parse_args()
    print(f"deciding a cell's generation: {decide_s() * 1e6:.0f} us")
    print("\nms of processor time   cell itself      actor     driver   all others   (per call)")
    with ray_here():
        for n_dim in WIDTHS:
            m = measure(n_dim, arguments.seconds)
            parts = (m.cell, m.actor, m.driver, m.rest)
            columns = "".join(f"{1e3 * part:13.2f}" for part in parts)
            print(f"{m.pair_bytes / 1e6:12.2f} MB{columns}", flush=True)


if __name__ == "__main__":
    main()
