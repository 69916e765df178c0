"""A pass of training updates over one task: the entry point of the dense engine's training."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.engine.dense.batches import load_batch, load_noisy_batch
from aes_lipi.engine.dense.blocks import BLOCK
from aes_lipi.engine.dense.compiled import entry_point, inlined
from aes_lipi.engine.dense.latent import code_gradient, draw_code
from aes_lipi.engine.dense.output import output_gradient
from aes_lipi.engine.dense.packing import SAMPLES
from aes_lipi.engine.dense.passes import backward_layer, forward_layer
from aes_lipi.engine.dense.simd import LANES, broadcast, load, store
from aes_lipi.engine.dense.tiles import Step


class Plan(NamedTuple):
    """What the updates of a task are; see `protocol.Updates`.

    Attributes:
        rows: (S, B).
        encoder: (S,).
        decoder: (S,).
        rate: (S,).
        steps: Adam steps so far of every encoder, then of every decoder; counted on.
        masked: 1 where a network has frozen weights, in the same order.
        kept: 1 for an Adam that is kept.
        observe: 1 to gather activation statistics.
    """

    rows: npt.NDArray[np.int32]
    encoder: npt.NDArray[np.int64]
    decoder: npt.NDArray[np.int64]
    rate: npt.NDArray[np.float64]
    steps: npt.NDArray[np.int64]
    masked: npt.NDArray[np.int64]
    kept: int
    observe: int


class Statistics(NamedTuple):
    """Running statistics of every encoder, then every decoder.

    Attributes:
        batches: batches seen, float64, shape (E + D, slots).
        mean: laid out like `Scratch.planes`, network after network.
        m2: the same.
    """

    batches: npt.NDArray[np.float64]
    mean: Float32
    m2: Float32


@entry_point
def train(
    layers: Any,
    n_encoder_layers: int,
    loss: int,
    sizes: Any,
    weights: Any,
    plan: Any,
    scratch: Any,
    statistics: Any,
    data: Any,
    noise: Any,
    noise_scale: Any,
    start: int,
    stop: int,
) -> None:
    """Make the updates `start` to `stop` of one task.

    Args:
        layers: `LAYER` records, encoder then decoder.
        n_encoder_layers: how many are the encoder's.
        loss: `output.L1` or `output.CROSS_ENTROPY`.
        sizes: packed floats of an encoder, of a decoder, and the number of encoders.
        weights: all networks of the task, encoders first.
        plan: see `Plan`.
        scratch: see `scratch.Scratch`.
        statistics: see `Statistics`; empty where `plan.observe` is 0.
        data: training rows, float32, (n, n_dim), read-only.
        noise: standard normal values of these updates' rows, float32, (rows, noise_width), the
            input's before the code's; no rows where none are wanted.
        noise_scale: standard deviation of the input noise, float32; 0 where the input is clean.
        start: first update.
        stop: one after the last.
    """
    n_layers = len(layers)
    # A plain 0 is a type of its own, and what takes it would be compiled twice.
    drawn = int(np.int64(0))
    for s in range(start, stop):
        n_rows = rows_there(plan.rows, s)
        groups = (n_rows + SAMPLES - 1) // SAMPLES
        if len(noise) and noise_scale > 0.0:
            load_noisy_batch(
                layers[0], data, plan.rows[s], n_rows, noise, drawn, noise_scale, scratch
            )
            targets = scratch.targets
        else:
            load_batch(layers[0], data, plan.rows[s], n_rows, scratch.planes)
            targets = scratch.planes
        encoder, decoder = plan.encoder[s], sizes[2] + plan.decoder[s]
        encoder_start = encoder * sizes[0]
        decoder_start = sizes[2] * sizes[0] + plan.decoder[s] * sizes[1]
        for k in range(n_layers):
            base = encoder_start if k < n_encoder_layers else decoder_start
            target = scratch.deltas if k == n_layers - 1 else scratch.planes
            if layers[k].sampled:
                draw_code(layers[k - 1], layers[k], noise, drawn, n_rows, groups, scratch)
            forward_layer(
                layers[k], base + layers[k].weights, weights.values, target, groups, scratch
            )
        if plan.observe:
            observe(layers, 0, n_encoder_layers, encoder, n_rows, groups, statistics, scratch)
            observe(
                layers, n_encoder_layers, n_layers, decoder, n_rows, groups, statistics, scratch
            )
        output_gradient(layers[n_layers - 1], loss, targets, n_rows, groups, scratch)
        encoder_step = next_step(plan, encoder, plan.rate[s])
        decoder_step = next_step(plan, decoder, plan.rate[s])
        for k in range(n_layers - 1, -1, -1):
            base = encoder_start if k < n_encoder_layers else decoder_start
            step = encoder_step if k < n_encoder_layers else decoder_step
            backward_layer(
                layers[k], base + layers[k].weights, weights, step, groups, k > 0, scratch
            )
            if layers[k].sampled:
                code_gradient(layers[k - 1], layers[k], groups, scratch)
        drawn += n_rows


@inlined
def rows_there(rows: Any, s: int) -> int:
    """Rows of update s that are not padding."""
    n = 0
    while n < rows.shape[1] and rows[s, n] >= 0:
        n += 1
    return n


@inlined
def next_step(plan: Any, network: int, rate: float) -> Any:
    """Count an update of a network and say how its weights move in it."""
    plan.steps[network] += 1
    root = 1.0
    if plan.kept:
        t = plan.steps[network]
        rate = rate / (1.0 - 0.5**t)
        root = 1.0 / np.sqrt(1.0 - 0.999**t)
    return Step(plan.kept, plan.masked[network], np.float32(rate), np.float32(root))


@inlined
def observe(
    layers: Any,
    first: int,
    stop: int,
    network: int,
    n_rows: int,
    groups: int,
    statistics: Any,
    scratch: Any,
) -> None:
    """Count this batch's activations in a network's statistics (Welford, 1962).

    d = a - mean,  mean <- mean + d / n,  m2 <- m2 + d^2 (1 - 1/n); nothing moves for padding.
    """
    slots = scratch.capacity * SAMPLES
    for slot in range(groups * SAMPLES):
        share, rest = 0.0, 0.0
        if slot < n_rows:
            statistics.batches[network, slot] += 1.0
            share = 1.0 / statistics.batches[network, slot]
            rest = 1.0 - share
        scratch.factors[slot] = np.float32(share)
        scratch.factors[slots + slot] = np.float32(rest)
    base = network * len(scratch.planes)
    for k in range(first, stop):
        plane = scratch.deltas if k == len(layers) - 1 else scratch.planes
        for g in range(groups):
            place = layers[k].target * scratch.capacity + g * layers[k].target_vectors * BLOCK
            for b in range(SAMPLES):
                share = broadcast(scratch.factors, g * SAMPLES + b)
                rest = broadcast(scratch.factors, slots + g * SAMPLES + b)
                for v in range(layers[k].target_vectors):
                    at = place + v * BLOCK + b * LANES
                    mean = load(statistics.mean, base + at)
                    deviation = load(plane, at) - mean
                    store(statistics.mean, base + at, mean + share * deviation)
                    m2 = load(statistics.m2, base + at)
                    store(statistics.m2, base + at, m2 + rest * deviation * deviation)
