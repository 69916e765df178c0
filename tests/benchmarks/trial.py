"""A whole trial against its bare kernel, two processes against one, and cost against size.

Run with `make bench`. `--figure FILE` draws the scaling tables too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from rings import begun, course_of

from aes_lipi.coevolution.state import Setup
from aes_lipi.config import Variant, load_preset, resolve_study
from aes_lipi.engine.protocol import Trained, TrainTask
from aes_lipi.execution.inputs import prepare
from aes_lipi.execution.process import one_thread_per_process
from benchmarks.settings import Setting

POPULATIONS = (5, 10, 20, 40)
WIDTHS = (500, 1000, 2000, 4000)
GENERATIONS, SHORT = 400, 30


class Stopwatch:
    """An engine that does what another does and adds up the time of training."""

    def __init__(self, setup: Setup) -> None:
        self._engine = setup.engine
        self.name = setup.engine.name
        self.device = setup.engine.device
        self.loss_matrices = setup.engine.loss_matrices
        self.batch_losses = setup.engine.batch_losses
        self.activations = setup.engine.activations
        self.hold = setup.engine.hold
        self.fetch = setup.engine.fetch
        self.release = setup.engine.release
        self.is_lost = setup.engine.is_lost
        self.training_s = 0.0
        self.steps = 0

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Train, and note how long it took."""
        started = time.perf_counter()
        trained = self._engine.train(tasks)
        self.training_s += time.perf_counter() - started
        self.steps += sum(len(task.updates.rows) for task in tasks)
        return trained


def random_exponential(**overrides: object) -> Variant:
    """The last variant of `best_of_lipi`, with fields replaced."""
    variants = resolve_study("bench", load_preset("best_of_lipi"), overrides).variants
    return variants[-1]


def timed_trial(variant: Variant) -> tuple[float, float]:
    """Microseconds per training step: of a whole trial, and of its training passes alone."""
    prepared = prepare(variant)
    watch = Stopwatch(prepared)
    setup = Setup(prepared.variant, prepared.architecture, prepared.dataset, watch)
    start = begun(setup)
    started = time.perf_counter()
    course_of(setup, start)
    elapsed = time.perf_counter() - started
    return elapsed / watch.steps * 1e6, watch.training_s / watch.steps * 1e6


def whole_trial(generations: int) -> None:
    """Everything that is not training, as a share of it."""
    timed_trial(random_exponential(epochs=2))
    whole, training = timed_trial(random_exponential(epochs=generations))
    print(f"\nwhole trial of best_of_lipi (RANDOM exponential), {generations} generations")
    print(f"  {whole:.1f} us a step, of which the training passes {training:.1f}: ", end="")
    print(f"ratio {whole / training:.2f}")


def _throughput(barrier: object, results: object, seconds: float) -> None:
    """Training steps a second of one process; all start together."""
    setting = Setting.of()
    engine = prepare(setting.variant).engine
    engine.train([setting.task()])
    barrier.wait()  # type: ignore[attr-defined]
    started, passes = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        engine.train([setting.task()])
        passes += 1
    elapsed = time.perf_counter() - started
    results.put(passes * len(setting.batches) / elapsed)  # type: ignore[attr-defined]


def throughput(processes: int, seconds: float) -> float:
    """Training steps a second of some processes together."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(processes), context.Queue()
    workers = [
        context.Process(target=_throughput, args=(barrier, results, seconds))
        for _ in range(processes)
    ]
    for worker in workers:
        worker.start()
    total = sum(results.get() for _ in workers)
    for worker in workers:
        worker.join()
    return float(total)


def two_processes(rounds: int) -> None:
    """How much two processes do in the time of one."""
    ratios = []
    for _ in range(rounds):
        one, two = throughput(1, 3.0), throughput(2, 3.0)
        ratios.append(two / one)
    listed = ", ".join(f"{each:.2f}" for each in ratios)
    print(f"\ntwo processes over one: median {statistics.median(ratios):.2f} ({listed})")


def scaling(rounds: int) -> tuple[list[float], list[float]]:
    """Seconds per generation against population size, and per step against width."""
    print("\npopulation   ms a generation   per cell")
    populations = []
    for size in POPULATIONS:
        variant = random_exponential(population_size=size, epochs=SHORT)
        rows = len(prepare(variant).dataset.train) // variant.batch_size
        us = min(timed_trial(variant)[0] for _ in range(rounds))
        populations.append(us * rows * size / 1e3)
        print(f"{size:10d}{populations[-1]:18.1f}{populations[-1] / size:11.2f}")
    print("\n         X   us a step   per 1000 dimensions")
    widths = []
    for width in WIDTHS:
        variant = random_exponential(n_dim=width, population_size=5, epochs=SHORT)
        widths.append(min(timed_trial(variant)[1] for _ in range(rounds)))
        print(f"{width:10d}{widths[-1]:12.1f}{widths[-1] / width * 1e3:22.1f}")
    return populations, widths


def draw(path: Path, populations: list[float], widths: list[float]) -> None:
    """The scaling tables as a figure, each with the line through the origin and its last point."""
    import matplotlib.pyplot as plt  # noqa: PLC0415 - not a dependency yet

    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axes, x, y, label, unit in (
        (left, POPULATIONS, populations, "population size", "ms a generation"),
        (right, WIDTHS, widths, "dimensions X", "us a training step"),
    ):
        axes.plot(x, y, "o-", label="measured")
        axes.plot((0, x[-1]), (0, y[-1]), "--", color="0.6", label="proportional")
        axes.set(xlabel=label, ylabel=unit, xlim=(0, None), ylim=(0, None))
        axes.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    one_thread_per_process()
    whole_trial(arguments.generations)
    two_processes(arguments.rounds)
    populations, widths = scaling(arguments.rounds)
    if arguments.figure:
        draw(arguments.figure, populations, widths)


if __name__ == "__main__":
    main()
