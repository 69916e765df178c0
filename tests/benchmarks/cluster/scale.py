"""Rings larger than this machine: forecast from measured costs, and checked against what runs here.

Measures what a call, a decision, an exchange and a training step cost here, fits lines and curves,
and lets the simulation of `aes_lipi/execution/ray/forecast.py` schedule the calls of rings of
10 to 10,000 cells with networks of 60 thousand to a billion weights. Assumed: the published 200
steps a generation, a processor for every actor, nodes of 16 processors joined by 10 Gbit/s, and
every neighbour on another node. `python -m benchmarks.cluster.scale --figure FILE`, tests on
PYTHONPATH.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.cluster_utils import Cluster

from aes_lipi.config import Variant
from aes_lipi.execution.inputs import prepare
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.forecast import Costs, seconds_per_cell, seconds_per_generation
from aes_lipi.execution.ray.runner import ClusterRunner
from benchmarks.cluster import costs
from benchmarks.cluster.one_node import ray_here
from benchmarks.cluster.overhead import Way, study_of
from benchmarks.cluster.overhead import seconds_per_generation as timed

RINGS = (10, 100, 1000, 10_000)
WEIGHTS = (60_000, 1_000_000, 30_000_000, 1_000_000_000)
STEPS = 200
NETWORK_BYTES_PER_S = 10e9 / 8
SHAPES = ((1000, 30), (2000, 150), (4000, 750), (10_000, 3000))
TRAVEL_BYTES = (1_000, 250_000, 4_000_000, 40_000_000, 200_000_000)
LARGEST_SIMULATED = 6000
CHECK_S = 5.0


@dataclass(frozen=True)
class Line:
    """Seconds as a straight line of bytes or weights."""

    at_zero: float
    slope: float

    @staticmethod
    def through(x: Sequence[float], y: Sequence[float]) -> Line:
        """The line with the least relative errors."""
        xs, ys = np.array(x), np.array(y)
        columns = np.stack([1 / ys, xs / ys], axis=1)
        (at_zero, slope), *_ = np.linalg.lstsq(columns, np.ones(len(ys)), rcond=None)
        return Line(max(0.0, float(at_zero)), max(0.0, float(slope)))

    def __call__(self, x: float) -> float:
        return self.at_zero + self.slope * x


@dataclass(frozen=True)
class Curve:
    """Seconds between measured points, straight on logarithmic axes; beyond the last in proportion.

    A step's time has a bend where the weights no longer fit into the caches.
    """

    x: tuple[float, ...]
    seconds: tuple[float, ...]

    def __call__(self, x: float) -> float:
        if x > self.x[-1]:
            return self.seconds[-1] * x / self.x[-1]
        return float(np.exp(np.interp(np.log(x), np.log(self.x), np.log(self.seconds))))


@dataclass(frozen=True)
class Machine:
    """What was measured.

    Attributes:
        call: actor's and others' processor seconds of a call, over the bytes of a pair.
        send: the driver's.
        decide: of a cell's plan.
        travel: seconds from one node's store to another's, over bytes.
        step: seconds of a training step, over weights.
    """

    call: Line
    send: float
    decide: float
    travel: Line
    step: Curve


class Holder:
    """Makes and reads arrays of a size."""

    def make(self, n_bytes: int) -> npt.NDArray[np.float32]:
        """Some weights."""
        return np.ones(n_bytes // 4, np.float32)

    def read(self, weights: npt.NDArray[np.float32]) -> float:
        """Wait until they are here."""
        return float(weights[-1])


def travel_seconds(n_bytes: int, rounds: int = 7) -> float:
    """From an actor's store to an actor on another node; processes of this machine."""
    remote: Any = ray.remote(Holder)
    giver = remote.options(resources={"one": 1}).remote()
    taker = remote.options(resources={"other": 1}).remote()
    taken = []
    for _ in range(rounds):
        weights = giver.make.remote(n_bytes)
        ray.wait([weights], fetch_local=False)
        started = time.perf_counter()
        ray.get(taker.read.remote(weights))
        taken.append(time.perf_counter() - started)
    ray.kill(giver)
    ray.kill(taker)
    return statistics.median(taken)


def measured_travel() -> Line:
    """Over two nodes."""
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 2, "resources": {"one": 1}, "include_dashboard": False},
    )
    cluster.add_node(num_cpus=2, resources={"other": 1})
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    seconds = [travel_seconds(n) for n in TRAVEL_BYTES]
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]
    for n, s in zip(TRAVEL_BYTES, seconds, strict=True):
        print(f"  {n / 1e6:9.3f} MB from node to node {1e3 * s:9.1f} ms")
    return Line.through(TRAVEL_BYTES, seconds)


def measured_step() -> Curve:
    """Seconds of a training step over the number of weights."""
    weights, seconds = [], []
    for n_dim, hidden in SHAPES:
        settings = {"n_dim": n_dim, "hidden_sizes": (hidden,), "latent_size": 10, "n_clusters": 1}
        few, many = (
            prepare(Variant.model_validate(settings | {"n_examples_per_cluster": rows}))
            for rows in (10, 60)
        )
        n = few.architecture.encoder.size + few.architecture.decoder.size
        ten_steps = seconds_per_cell(many) - seconds_per_cell(few)
        weights.append(float(n))
        seconds.append(ten_steps / 10)
        print(f"  {n / 1e6:9.2f} million weights {1e6 * seconds[-1]:10.0f} us a step")
    return Curve(tuple(weights), tuple(seconds))


def measured_machine() -> Machine:
    """Measure everything."""
    with ray_here():
        parts = [costs.measure(n_dim, 10.0) for n_dim in (250, 1000, 4000, 16_000)]
    for m in parts:
        print(
            f"  {m.pair_bytes / 1e6:9.2f} MB a pair: actor {1e3 * m.actor:6.2f}, driver "
            f"{1e3 * m.driver:5.2f}, others {1e3 * m.rest:5.2f} ms a call"
        )
    call = Line.through([m.pair_bytes for m in parts], [m.actor + m.rest for m in parts])
    send = min(m.driver for m in parts)
    return Machine(call, send, costs.decide_s(), measured_travel(), measured_step())


def costs_for(machine: Machine, weights: float, travels: bool) -> Costs:
    """What a ring of networks of a size costs."""
    n_bytes = 4 * weights
    travel = machine.travel.at_zero + n_bytes * max(machine.travel.slope, 1 / NETWORK_BYTES_PER_S)
    return Costs(
        cell=STEPS * machine.step(weights),
        call=machine.call(n_bytes),
        send=machine.send,
        decide=machine.decide,
        travel=travel if travels else 0.0,
    )


def check(machine: Machine) -> None:
    """Forecasts against rings that run on two processors here."""
    print("\nring, work a cell, order, cells per actor: forecast and measured, ms a generation")
    with ray_here():
        for n_cells, n_rows, order, k in (
            (10, 400, "synchronous", 1),
            (10, 400, "synchronous", 5),
            (10, 2000, "synchronous", 1),
            (10, 2000, "sequential", 1),
            (20, 1000, "synchronous", 1),
            (20, 1000, "synchronous", 4),
            (40, 400, "synchronous", 2),
        ):
            options = ClusterOptions(cells_per_actor=k, trials_at_a_time=1)
            way = Way("check", lambda o=options: ClusterRunner(o), 1)  # type: ignore[misc]
            variant = study_of(n_rows, 20, way, order, n_cells).variants[0]
            cell = seconds_per_cell(prepare(variant), time.process_time)
            parts = Costs(cell, machine.call(247e3), machine.send, machine.decide)
            foretold = seconds_per_generation(variant, k, 2, parts)
            epochs = max(20, round(CHECK_S / foretold))
            found = timed(way, n_rows, epochs, order, n_cells)
            print(
                f"  {n_cells:3d}, {1e3 * cell:5.1f} ms, {order:11s}, {k}: {1e3 * foretold:7.1f} "
                f"{1e3 * found:7.1f}  ({100 * (foretold / found - 1):+.0f} %)",
                flush=True,
            )


def forecasts(machine: Machine) -> dict[tuple[int, int], list[tuple[int, float]]]:
    """Seconds a generation for every ring and network: some cells per actor each."""
    found: dict[tuple[int, int], list[tuple[int, float]]] = {}
    print("\nsynchronous ring, a processor for every actor")
    print("  cells   weights   cell alone   1 a actor  limited by    best: cells an actor, seconds")
    for weights in WEIGHTS:
        parts = costs_for(machine, weights, travels=True)
        for n_cells in RINGS:
            variant = Variant(population_size=n_cells, update_order="synchronous")
            rows = []
            for k in (1, 2, 5, 10, 50, 100, 500):
                if n_cells % k or (k == n_cells and k > 10):
                    continue
                generations = max(8, min(20, LARGEST_SIMULATED // n_cells))
                groups = n_cells // k
                s = seconds_per_generation(variant, k, groups, parts, generations=generations)
                rows.append((k, s))
            found[weights, n_cells] = rows
            best, least = min(rows, key=lambda row: row[1])
            print(
                f"{n_cells:7d}{weights / 1e6:10.2f} M{parts.cell:11.4g} s{rows[0][1]:10.4g} s  "
                f"{_limit(parts, n_cells):14s}{best:6d}{least:12.4g} s",
                flush=True,
            )
    return found


def _limit(parts: Costs, n_cells: int) -> str:
    """The part that takes longest when every cell has an actor and a processor."""
    shares = {
        "the driver": n_cells * (parts.send + parts.decide),
        "computing": parts.cell,
        "the network": parts.travel,
        "calls": parts.call,
    }
    return max(shares, key=lambda name: shares[name])


def memory() -> None:
    """Bytes of centres that a node's store must hold."""
    print("\nMB of centres in the store of a node of 16 cells, four generations in flight")
    for weights in WEIGHTS:
        print(f"  {weights / 1e6:8.2f} million weights: {16 * (4 + 1) * 4 * weights / 1e6:12.0f}")


def draw(path: Path, found: dict[tuple[int, int], list[tuple[int, float]]]) -> None:
    """Seconds a generation over the ring's size."""
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(figsize=(7.0, 3.6), layout="constrained")
    colours = ("#0072b2", "#009e73", "#d55e00", "#cc79a7")
    for weights, colour in zip(WEIGHTS, colours, strict=True):
        one = [found[weights, n][0][1] for n in RINGS]
        best = [min(s for _, s in found[weights, n]) for n in RINGS]
        label = f"{weights / 1e6:g} million weights"
        axes.loglog(RINGS, one, "o-", color=colour, label=label)
        axes.loglog(RINGS, best, "s--", color=colour, mfc="white", ms=5)
    axes.plot([], [], "ko-", label="a cell per actor")
    axes.plot([], [], "ks--", mfc="white", ms=5, label="best number of cells per actor")
    axes.set(xlabel="cells of the ring", ylabel="seconds per generation (forecast)")
    axes.grid(color="0.9")
    figure.legend(frameon=False, loc="outside right upper", fontsize=8)
    figure.savefig(path, dpi=150)


def main() -> None:
    """Measure, check, forecast, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    print("measured here")
    machine = measured_machine()
    print(
        f"  a call {1e3 * machine.call.at_zero:.2f} ms + {1e9 * machine.call.slope:.2f} ns a byte; "
        f"sending it {1e3 * machine.send:.2f} ms; deciding a cell {1e6 * machine.decide:.0f} us; "
        f"travelling {1e3 * machine.travel.at_zero:.1f} ms + {1e9 * machine.travel.slope:.2f} ns "
        "a byte"
    )
    check(machine)
    found = forecasts(machine)
    memory()
    if arguments.figure:
        draw(arguments.figure, found)


if __name__ == "__main__":
    main()
