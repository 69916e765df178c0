"""Microseconds per training step: torch as users write it, JAX, and the project's engines.

Run with `make bench`; `--against PATH` compares dense with that of another checkout. Weights
have been trained for some passes first, since the dense engine skips units that a batch leaves
silent: skipping is measured where training takes the weights. `--losses` compares losses and
activations instead.
"""

from __future__ import annotations

import argparse
import importlib.util
from functools import partial
from pathlib import Path

import torch

from aes_lipi.engine.dense import DenseEngine
from aes_lipi.engine.torch import TorchEngine
from benchmarks.baselines import compiled_steps, plain_loop, scanned_pass
from benchmarks.commits import compare
from benchmarks.floor import print_floor
from benchmarks.settings import Setting
from benchmarks.timing import Contender, Measured, measure, ratio

STACK = 10
PUBLISHED = "published (X 1000, 30-10, batch 5)"
SHAPES: dict[str, dict[str, object]] = {
    PUBLISHED: {},
    "X 4000": {"n_dim": 4000},
    "Small": {"environment": "AutoencoderBinaryClustering_Small"},
    "Large": {"environment": "AutoencoderBinaryClustering_Large"},
}
OWN_DATA: dict[str, object] = {
    "environment": "LinearCodeAutoencoder",
    "n_dim": 64,
    "hidden_sizes": (128,),
    "latent_size": 16,
    "batch_size": 16,
    "optimizer_state": "generation",
}
WARM_PASSES, WARM_RATE = 50, 1e-4
OTHERWISE: dict[str, dict[str, object]] = {
    "l1": {},
    **{loss: {"loss": loss} for loss in ("mse", "huber", "bce")},
    **{f"{loss}, linear": {"loss": loss, "output_activation": "linear"} for loss in ("l1", "mse")},
    **{name: {"hidden_activation": name} for name in ("leaky_relu", "tanh", "gelu")},
}
"""Losses and activations, beside the published ones."""


def contenders(setting: Setting, everything: bool) -> list[Contender]:
    """The ways of training one pass of a setting."""
    architecture, pair = setting.architecture, setting.pair
    data, batches = torch.from_numpy(setting.dataset.train), setting.batches
    steps = len(batches)
    dense = DenseEngine(architecture, setting.dataset, setting.variant.batch_size)
    found = [
        Contender("dense", lambda: dense.train([setting.task()]), steps),
        Contender("torch.compile", compiled_steps(architecture, pair, data, batches, 1), steps),
    ]
    if not everything:
        return found
    engine = TorchEngine(architecture, setting.dataset, setting.variant.batch_size)
    found += [
        Contender("torch, plain loop", plain_loop(architecture, pair, data, batches, False), steps),
        Contender("torch, fused Adam", plain_loop(architecture, pair, data, batches, True), steps),
        Contender(
            f"torch.compile, {STACK} models",
            compiled_steps(architecture, pair, data, batches, STACK),
            steps * STACK,
        ),
        Contender("torch engine", lambda: engine.train([setting.task()]), steps),
    ]
    if importlib.util.find_spec("jax"):
        rows = setting.dataset.train
        for name, transposed in (("JAX scan", False), ("JAX scan, transposed", True)):
            work = scanned_pass(architecture, pair, rows, batches, transposed)
            found.append(Contender(name, work, steps))
    return found


def print_table(title: str, measured: list[Measured]) -> None:
    """Microseconds per step, and how many times dense's."""
    dense = next(one for one in measured if one.name == "dense")
    print(f"\n{title}\n{'':24}{'us/step':>10}{'x dense':>10}")
    for one in sorted(measured, key=lambda each: each.median):
        print(f"{one.name:24}{one.median * 1e6:10.1f}{ratio(one, dense):10.1f}")


def print_losses(title: str, rounds: int, **fields: object) -> None:
    """What a step of the engine `dense` costs on each loss and with each activation."""
    found = []
    for name, other in OTHERWISE.items():
        fresh = Setting.of(**fields, **other)
        engine = DenseEngine(fresh.architecture, fresh.dataset, fresh.variant.batch_size)
        trained = fresh.trained(engine, WARM_PASSES, WARM_RATE)
        found.append(Contender(name, partial(_one_pass, engine, trained), len(trained.batches)))
    first, *others = measure(found, rounds)
    print(f"\n{title}, after {WARM_PASSES} passes\n{'':24}{'us/step':>10}{'x l1':>10}")
    for one in (first, *others):
        print(f"{one.name:24}{one.median * 1e6:10.1f}{ratio(one, first):10.2f}")


def _one_pass(engine: DenseEngine, setting: Setting) -> object:
    return engine.train([setting.task()])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--losses", action="store_true", help="the engine dense alone, by loss")
    parser.add_argument("--against", type=Path, help="another checkout of the project")
    arguments = parser.parse_args()
    if arguments.against:
        compare(arguments.against.resolve(), SHAPES, arguments.rounds)
        return
    if arguments.losses:
        print_losses(PUBLISHED, arguments.rounds)
        print_losses("X 64, 128-16, batch 16", arguments.rounds, **OWN_DATA)
        return
    torch.set_num_threads(1)
    for name, fields in SHAPES.items():
        fresh = Setting.of(**fields)
        engine = DenseEngine(fresh.architecture, fresh.dataset, fresh.variant.batch_size)
        trained = fresh.trained(engine, WARM_PASSES, WARM_RATE)
        if name == PUBLISHED:
            measured = measure(contenders(fresh, everything=True), arguments.rounds)
            print_table(f"{name}, at initial weights", measured)
        measured = measure(contenders(trained, name == PUBLISHED), arguments.rounds)
        print_table(f"{name}, after {WARM_PASSES} passes", measured)
        print_floor(trained, measured[0])


if __name__ == "__main__":
    main()
