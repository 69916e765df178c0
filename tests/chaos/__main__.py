"""`python -m chaos [--modes jobs,trial,cell] [--kills N] [--seed N]`."""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from chaos.places import place
from chaos.rounds import MOST_KILLS, Chaos, prepare


def main() -> None:
    """Kill until there are enough kills in every mode, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modes", default="jobs,trial,cell")
    parser.add_argument("--kills", type=int, default=70, help="of every mode")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        prepare(Path(folder))
        for mode in options.modes.split(","):
            started = time.monotonic()
            with place(mode) as where:
                rng = random.Random(f"{options.seed} {mode}")
                chaos = Chaos(Path(folder), mode, where, rng)
                while (left := options.kills - chaos.figures.kills.total()) > 0:
                    chaos.round(min(left, MOST_KILLS))
                    print(f"  {mode}: {chaos.figures.line()}", flush=True)
            print(f"{mode}: {chaos.figures.line()}, {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
