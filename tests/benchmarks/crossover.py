"""Where BLAS overtakes the dense engine: hidden width against batch size.

Run with `make bench`. The choice of the engine (`aes_lipi/engine/auto.py`) follows this table.
"""

from __future__ import annotations

import argparse

import torch

from aes_lipi.engine.dense import DenseEngine
from aes_lipi.engine.torch import TorchEngine
from benchmarks.settings import Setting
from benchmarks.timing import Contender, measure, ratio

WIDTHS = (30, 100, 300, 1000)
BATCHES = (5, 20, 100, 400)
STEPS = 10


def main() -> None:
    """Print the table: time of torch over time of dense, for an X-width-10 network, X = 1000."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("\ntorch over dense; below 1, torch is faster")
    print("hidden / batch" + "".join(f"{size:8d}" for size in BATCHES))
    for width in WIDTHS:
        cells = []
        for size in BATCHES:
            setting = Setting.of(
                hidden_sizes=(width,),
                batch_size=size,
                n_examples_per_cluster=-(-size * STEPS // 100) * 10,
            )
            dense = DenseEngine(setting.architecture, setting.dataset, size)
            engine = TorchEngine(setting.architecture, setting.dataset, size)
            task, steps = setting.task(), len(setting.batches)
            measured = measure(
                [
                    Contender("dense", lambda e=dense, t=task: e.train([t]), steps),  # type: ignore[misc]
                    Contender("torch", lambda e=engine, t=task: e.train([t]), steps),  # type: ignore[misc]
                ],
                arguments.rounds,
            )
            cells.append(ratio(measured[1], measured[0]))
        print(f"{width:14d}" + "".join(f"{cell:8.2f}" for cell in cells), flush=True)


if __name__ == "__main__":
    main()
