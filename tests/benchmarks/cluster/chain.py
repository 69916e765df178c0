"""How much of a sequential generation must go one after another, against the ring's size.

A cell waits for the neighbours before it in this generation's order, so that the longest chain of
waiting cells bounds what any number of processors can gain. Generations overlap: a cell that is
done goes on to its next generation as soon as its neighbours allow it, so the chain is counted over
many generations and divided by their number. The first generation, which goes through the cells by
index, is one chain and is left out. Nothing is timed here; the same steps are counted that a trial
would compute. `python -m benchmarks.cluster.chain`, tests on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import statistics

from aes_lipi.coevolution.evolution import waves
from aes_lipi.coevolution.schedule import Schedule
from aes_lipi.coevolution.state import Version
from aes_lipi.config import Variant

SIZES = (5, 10, 20, 40, 100, 1000)


def chains(variant: Variant, trial: int) -> tuple[float, float]:
    """Cells on the longest chain: mean of single generations, and of all per generation."""
    schedule = Schedule(variant)
    start = schedule.start(trial, dict.fromkeys(schedule.first_versions))
    steps = [step for step in schedule.ready(start, {}, variant.epochs) if step.generation]
    depth: dict[Version, int] = {}
    for step in steps:
        depth[step.key] = 1 + max(depth.get(need, 0) for need in step.needs)
    single = [
        len(waves([(0, step) for step in steps if step.generation == t]))
        for t in range(1, variant.epochs)
    ]
    return statistics.mean(single), max(depth.values()) / len(single)


def row(size: int, radius: int, generations: int, trials: int) -> tuple[float, float]:
    """Both chains, means over trials."""
    settings = {"population_size": size, "radius": radius, "epochs": generations}
    variant = Variant.model_validate(settings)
    both = [chains(variant, trial) for trial in range(trials)]
    return statistics.mean(one for one, _ in both), statistics.mean(all_ for _, all_ in both)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--generations", type=int, default=200)
    parser.add_argument("--trials", type=int, default=5)
    arguments = parser.parse_args()
    for radius in (1, 2):
        print(f"\nradius {radius}: cells on the longest chain of a sequential generation")
        print("  cells   one generation   overlapping   most it can gain")
        for size in SIZES:
            if size < 2 * radius + 1:
                continue
            alone, overlapping = row(size, radius, arguments.generations, arguments.trials)
            print(f"{size:7d}{alone:17.2f}{overlapping:14.2f}{size / overlapping:19.1f}")


if __name__ == "__main__":
    main()
