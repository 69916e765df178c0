"""Long and many on two CPUs: memory must stay flat, and no trial may wait for ever.

Runs 300 short trials with a cell per actor, then one trial of 4,000 generations, and prints the
memory of all processes and of the object store as they go on. `--figure FILE` draws it.
`python -m benchmarks.cluster.soak`, tests on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import ray

from aes_lipi.config import Study, StudyFile, resolve_study
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import run_study
from aes_lipi.results.reading import load_results
from benchmarks.cluster.one_node import ray_here, resident_bytes

TRIALS, TRIAL_GENERATIONS = 300, 4
GENERATIONS = 4000
INTERVAL_S = 1.0
MIB = 2**20


@dataclass
class Memory:
    """What was resident when: seconds, MiB of all processes, MiB of objects in the store."""

    seconds: list[float] = field(default_factory=list)
    processes: list[float] = field(default_factory=list)
    objects: list[float] = field(default_factory=list)


def _stored_bytes() -> float:
    """Bytes that objects take in the store of this node."""
    name = "object_store_memory"
    total = ray.cluster_resources().get(name, 0.0)  # type: ignore[no-untyped-call]
    return float(total - ray.available_resources().get(name, total))  # type: ignore[no-untyped-call]


@contextmanager
def sampled() -> Iterator[Memory]:
    """Sample memory while a block runs."""
    memory, over, started = Memory(), threading.Event(), time.monotonic()

    def sample() -> None:
        while not over.wait(INTERVAL_S):
            memory.seconds.append(time.monotonic() - started)
            memory.processes.append(sum(resident_bytes().values()) / MIB)
            memory.objects.append(_stored_bytes() / MIB)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield memory
    finally:
        over.set()
        sampler.join()


def short_trials(trials: int) -> Study:
    """A study of many short trials of the published network on few rows."""
    settings = {
        "n_clusters": 2,
        "n_examples_per_cluster": 50,
        "population_size": 4,
        "epochs": TRIAL_GENERATIONS,
    }
    return resolve_study("short", StudyFile(trials=trials, settings=settings), {})


def long_trial(generations: int) -> Study:
    """One trial of many generations."""
    settings = {
        "n_clusters": 2,
        "n_examples_per_cluster": 50,
        "population_size": 4,
        "epochs": generations,
        "record_interval": 100,
        "prune_method": "random",
    }
    return resolve_study("long", StudyFile(trials=1, settings=settings), {})


def report(name: str, memory: Memory) -> None:
    """Print the memory at the quarters of the time."""
    n = len(memory.seconds)
    marks = [max(0, min(n - 1, round(share * (n - 1)))) for share in (0.1, 0.25, 0.5, 0.75, 1.0)]
    print(f"{name}: after 10, 25, 50, 75, 100 % of {memory.seconds[-1]:.0f} s")
    print("  processes, MiB resident " + "".join(f"{memory.processes[k]:9.0f}" for k in marks))
    print("  objects in store, MiB   " + "".join(f"{memory.objects[k]:9.1f}" for k in marks))


def draw(path: Path, memories: dict[str, Memory]) -> None:
    """The memory over time."""
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, len(memories), figsize=(8, 3), layout="constrained")
    for each, (name, memory) in zip(axes, memories.items(), strict=True):
        each.plot(memory.seconds, memory.processes, label="all processes")
        each.plot(memory.seconds, memory.objects, label="objects in the store")
        each.set(xlabel="s", ylabel="MiB", title=name, ylim=(0, None))
        each.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--generations", type=int, default=GENERATIONS)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    many, long = short_trials(arguments.trials), long_trial(arguments.generations)
    options = ClusterOptions(cells_per_actor=1)
    memories = {}
    with tempfile.TemporaryDirectory() as folder, ray_here():
        root = Path(folder)
        run_study(short_trials(4), root / "warm", LocalRunner(1))
        run_study(short_trials(min(60, arguments.trials)), root / "one", LocalRunner(1))
        alone = load_results(root / "one").trials["wall_time_s"].sum() / len(
            load_results(root / "one").trials
        )
        started = time.monotonic()
        with sampled() as memory:
            summary = run_study(many, root / "many", ClusterRunner(options))
        elapsed = time.monotonic() - started
        memories[f"{arguments.trials} trials"] = memory
        assert summary.committed == arguments.trials
        print(f"{arguments.trials} trials of {TRIAL_GENERATIONS} generations, 4 cells each, a cell")
        print(f"per actor: {60 * arguments.trials / elapsed:.0f} trials a minute, all committed;")
        print(f"one takes {1e3 * alone:.0f} ms in one process, so two would make {120 / alone:.0f}")
        report("memory", memory)
        with sampled() as memory:
            run_study(long, root / "long", ClusterRunner(options))
        memories[f"{arguments.generations} generations"] = memory
        report(f"{arguments.generations} generations", memory)
    if arguments.figure:
        draw(arguments.figure, memories)


if __name__ == "__main__":
    main()
