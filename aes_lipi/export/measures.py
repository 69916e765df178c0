"""What a model costs: its size, its arithmetic, its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aes_lipi.export.formats import Package, Rows
from aes_lipi.models import Model, describe_layers

BATCHES = (1, 256)
_ROUNDS, _ROUND_S = 30, 0.004


@dataclass(frozen=True)
class Cost:
    """The cost of a model in a format.

    Attributes:
        layers: widths from the data over the code and back.
        parameters: weights and biases.
        non_zero: those that are not zero.
        n_bytes: of the file that holds the whole model.
        multiply_adds: of encoding and decoding one row.
        latency_us: microseconds of one reconstruction on one thread, by batch size.
    """

    layers: str
    parameters: int
    non_zero: int
    n_bytes: int
    multiply_adds: int
    latency_us: dict[int, float]


def costs(models: Sequence[tuple[Model, Package]], rows: Rows) -> list[Cost]:
    """Measure models, their times in turn so that a busy machine is unfair to none.

    Args:
        models: each with its form in a format.
        rows: to reconstruct, (rows, n_dim); repeated where a batch is larger.
    """
    times = {
        batch: _latencies([package.reconstruct for _, package in models], _batch(rows, batch))
        for batch in BATCHES
    }
    return [
        _cost(model, package, {batch: times[batch][k] for batch in BATCHES})
        for k, (model, package) in enumerate(models)
    ]


def _cost(model: Model, package: Package, latency_us: dict[int, float]) -> Cost:
    architecture, pair = model.architecture, model.pair
    layers = (*architecture.encoder.layers, *architecture.decoder.layers)
    n_zero = pair.encoder.n_zero + pair.decoder.n_zero
    return Cost(
        layers=describe_layers(architecture),
        parameters=architecture.n_parameters,
        non_zero=architecture.n_parameters - n_zero,
        n_bytes=package.n_bytes,
        multiply_adds=sum(layer.n_weights for layer in layers),
        latency_us=latency_us,
    )


def _batch(rows: Rows, size: int) -> Rows:
    return np.resize(rows, (size, rows.shape[1]))


def _latencies(functions: Sequence[Callable[[Rows], Any]], rows: Rows) -> list[float]:
    """Microseconds of a call of each function: the best of some rounds, in turn.

    What else a machine does can only add to the time that a call takes.
    """
    taken: list[list[float]] = [[] for _ in functions]
    with threadpool_limits(limits=1):
        calls = [_calls_in_a_round(function, rows) for function in functions]
        for _ in range(_ROUNDS):
            for k, function in enumerate(functions):
                taken[k].append(_seconds(function, rows, calls[k]) / calls[k])
    return [1e6 * min(each) for each in taken]


def _calls_in_a_round(function: Callable[[Rows], Any], rows: Rows) -> int:
    function(rows)
    return max(1, round(_ROUND_S / max(_seconds(function, rows, 3) / 3, 1e-7)))


def _seconds(function: Callable[[Rows], Any], rows: Rows, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        function(rows)
    return time.perf_counter() - started
