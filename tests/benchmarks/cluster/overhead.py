"""Time per generation of a ring on two CPUs, over what its computing alone takes.

The published network (61,670 weights, 247 KB), as many training rows as give a cell so much work.
The bound is what two processes without Ray do side by side: one trial each, per generation of one
trial, so that it holds whatever two busy processes cost each other; what ten of them do side by
side shows how much of the rest is the crowd's on two CPUs, not Ray's. A time is taken while trials
run, from their first third on until the first of them ends, so that beginnings and ends do not
count. The ways come in turn, round after round. `python -m benchmarks.cluster.overhead`, tests on
PYTHONPATH.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from studies import Listener

from aes_lipi.config import Study, StudyFile, resolve_study
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import Runner, run_study
from aes_lipi.execution.study import TrialProgress
from aes_lipi.results.trial_files import TrialId
from benchmarks.cluster.one_node import PAGE, ray_here

N_CELLS = 10
SECONDS = {"2 ms": 0.002, "10 ms": 0.01, "100 ms": 0.1, "1 s": 1.0}
ROUND_S = 6.0


@dataclass(frozen=True)
class Way:
    """A way of running trials: so many at a time on two CPUs."""

    name: str
    runner: Callable[[], Runner]
    at_a_time: int


WAYS = (
    Way("no Ray, two trials side by side", lambda: LocalRunner(2), 2),
    Way("no Ray, ten trials side by side", lambda: LocalRunner(N_CELLS), N_CELLS),
    Way("1 cell per actor, barrier", lambda: ClusterRunner(_with(window=1, cells=1)), 1),
    Way("1 cell per actor, data flow", lambda: ClusterRunner(_with(window=4, cells=1)), 1),
    Way("auto", lambda: ClusterRunner(ClusterOptions(trials_at_a_time=1)), 1),
    Way("placement trial", lambda: ClusterRunner(ClusterOptions(placement="trial")), 2),
)


def _with(window: int, cells: int) -> ClusterOptions:
    return ClusterOptions(cells_per_actor=cells, window=window, trials_at_a_time=1)


def study_of(n_rows: int, epochs: int, way: Way, order: str, n_cells: int = N_CELLS) -> Study:
    """The published network on so many training rows, a trial for every place."""
    settings = {
        "update_order": order,
        "population_size": n_cells,
        "n_clusters": 1,
        "n_examples_per_cluster": n_rows,
        "record_interval": epochs,
        "epochs": epochs,
        "engine": "dense",
    }
    return resolve_study("overhead", StudyFile(trials=way.at_a_time, settings=settings), {})


class Pulse(Listener):
    """When trials advanced, and how far they were then."""

    def __init__(self) -> None:
        self._beats: dict[TrialId, list[tuple[float, int]]] = {}

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        """Note it."""
        beats = self._beats.setdefault(trial.id, [])
        beats.append((time.perf_counter(), generations + (beats[-1][1] if beats else 0)))

    def seconds_per_generation(self, epochs: int) -> float:
        """Of one trial in the middle of a study, all trials running."""
        end = min(beats[-1][0] for beats in self._beats.values())
        slopes = []
        for beats in self._beats.values():
            (t0, g0), *_, (t1, g1) = [(t, g) for t, g in beats if 3 * g >= epochs and t <= end]
            slopes.append((t1 - t0) / (g1 - g0))
        return statistics.mean(slopes)


def seconds_per_generation(
    way: Way, n_rows: int, epochs: int, order: str, n_cells: int = N_CELLS
) -> float:
    """Of one trial in the long run, when as many run as the two CPUs hold."""
    pulse = Pulse()
    with tempfile.TemporaryDirectory() as folder:
        study = study_of(n_rows, epochs, way, order, n_cells)
        run_study(study, Path(folder) / "s", way.runner(), pulse)
    return pulse.seconds_per_generation(epochs) / way.at_a_time


def rows_for(seconds: float, order: str) -> int:
    """Training rows with which a cell works so long on a generation, two busy at a time."""
    n_rows = max(10, round(seconds / 5e-6))
    for _ in range(2):
        epochs = max(6, round(3 / (seconds * N_CELLS)))
        found = seconds_per_generation(WAYS[0], n_rows, epochs, order) / (N_CELLS / 2)
        n_rows = max(10, round(n_rows * seconds / found / 5) * 5)
    return n_rows


def fits(way: Way, n_rows: int) -> bool:
    """Whether half of the memory holds the data of so many trials, each with its own."""
    splits, width, float32 = 3, 1000, 4
    memory = os.sysconf("SC_PHYS_PAGES") * PAGE
    return 2 * way.at_a_time * splits * n_rows * width * float32 < memory


def table(work: dict[str, float], order: str, rounds: int) -> None:
    """Print the medians of the rounds' ratios."""
    print(f"\n{order}: ms a generation, and over the bound")
    for label, seconds in work.items():
        n_rows = rows_for(seconds, order)
        epochs = max(9, round(ROUND_S / (seconds * N_CELLS / 2)))
        ways = [way for way in WAYS if fits(way, n_rows)]
        times: dict[str, list[float]] = {way.name: [] for way in ways}
        for _ in range(rounds):
            for way in ways:
                times[way.name].append(seconds_per_generation(way, n_rows, epochs, order))
        bound = times[WAYS[0].name]
        print(f"{label} of work ({n_rows} rows, {epochs} generations)")
        for name, taken in times.items():
            ratio = statistics.median(t / b for t, b in zip(taken, bound, strict=True))
            ms = statistics.median(taken) * 1e3
            print(f"  {name:34s}{ms:10.1f}{100 * (ratio - 1):+8.0f} %", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", nargs="+", choices=SECONDS, default=list(SECONDS))
    parser.add_argument("--orders", nargs="+", default=["synchronous", "sequential"])
    arguments = parser.parse_args()
    with ray_here():
        for order in arguments.orders:
            table({label: SECONDS[label] for label in arguments.work}, order, arguments.rounds)


if __name__ == "__main__":
    main()
