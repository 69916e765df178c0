"""A model in one format, and what it costs there: its size, its arithmetic, its time."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from aes_lipi.arrays import Floats
from aes_lipi.models import Model, describe_layers


@dataclass(frozen=True)
class Package:
    """A model in one format.

    Rows are in the user's units: float32, or float64 where the model scales.

    Attributes:
        files: contents by name.
        whole: the file that holds encoder and decoder.
        runtime: what `encode` and `reconstruct` run on.
        encode: rows, (rows, n_dim), to codes (rows, latent size).
        reconstruct: rows to reconstructions, (rows, n_dim).
        score: rows to the error of each, as `Model.score`, (rows,).
        usage: lines of Python that use the files without this package.
    """

    files: Mapping[str, bytes]
    whole: str
    runtime: str
    encode: Callable[[Floats], Any]
    reconstruct: Callable[[Floats], Any]
    score: Callable[[Floats], Any]
    usage: str

    @property
    def n_bytes(self) -> int:
        """Size of the whole model's file."""
        return len(self.files[self.whole])


_BATCHES = (1, 256)
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


def costs(models: Sequence[tuple[Model, Package]], rows: Floats) -> list[Cost]:
    """Measure models, their times in turn so that a busy machine is unfair to none.

    Args:
        models: each with its form in a format.
        rows: to reconstruct, (rows, n_dim); repeated where a batch is larger.
    """
    times = {
        batch: _latencies([package.reconstruct for _, package in models], _batch(rows, batch))
        for batch in _BATCHES
    }
    return [
        _cost(model, package, {batch: times[batch][k] for batch in _BATCHES})
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


def _batch(rows: Floats, size: int) -> Floats:
    return np.resize(rows, (size, rows.shape[1]))


def _latencies(functions: Sequence[Callable[[Floats], Any]], rows: Floats) -> list[float]:
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


def _calls_in_a_round(function: Callable[[Floats], Any], rows: Floats) -> int:
    function(rows)
    return max(1, round(_ROUND_S / max(_seconds(function, rows, 3) / 3, 1e-7)))


def _seconds(function: Callable[[Floats], Any], rows: Floats, calls: int) -> float:
    started = time.perf_counter()
    for _ in range(calls):
        function(rows)
    return time.perf_counter() - started
