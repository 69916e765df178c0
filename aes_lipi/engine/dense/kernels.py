"""Batches through an autoencoder: the one function of the dense engine that is called from Python.

Activations are kept as planes, one for the input and one for the output of every layer, each
(samples, width); gradients by them lie alike. Behind a sample's n values comes the constant 1, with
which a layer's biases are one more column of its weights or one more row, then zeros. Batches are
padded to whole fives with samples that are zero throughout, the constant too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from aes_lipi.arrays import Float32, Float64, Int32, Int64
from aes_lipi.engine.dense.losses import (
    L1,
    code_gradient,
    draw_code,
    output_gradient,
    summed_divergence,
    summed_errors,
)
from aes_lipi.engine.dense.products import (
    ONE,
    SAMPLES,
    ZERO,
    Rows,
    Step,
    active_rows,
    dots,
    spread,
    step_five,
    step_many,
    whole,
)
from aes_lipi.engine.dense.target import entry_point, part


class Model(NamedTuple):
    """What all networks of an engine have in common.

    Attributes:
        layers: `packing.LAYER` records, encoder then decoder; a variational encoder's two heads are
            one layer.
        n_encoder: how many are the encoder's.
        latent: dimensions of a code that is drawn; else 0.
        input_noise: standard deviation of the noise on the input.
    """

    layers: Any
    n_encoder: int
    latent: int
    input_noise: np.float32


class Networks(NamedTuple):
    """Packed networks with the state of their optimiser, flat and all in the same order.

    Attributes:
        values: weights and biases.
        first: running mean of the gradient, for an Adam that is kept; else empty.
        second: running mean of the squared gradient, likewise.
        alive: 1 where a weight may move, 0 where pruning froze it; empty where none is.
        starts: where each network starts, (networks,).
        masked: 1 where a network has frozen weights, (networks,).
        steps: Adam steps so far, (networks,); counted on.
    """

    values: Float32
    first: Float32
    second: Float32
    alive: Float32
    starts: Int64
    masked: Int64
    steps: Int64


class Plan(NamedTuple):
    """What to do, batch after batch.

    Attributes:
        rows: indices of rows, (S, B); -1 pads a smaller batch.
        encoder: which network encodes, (S,).
        decoder: which network decodes, (S,).
        rate: learning rates, (S,).
        repeats: 1 where rows and encoder are those of the batch before, (S,).
        trains: 1 to train on each batch, 0 for its loss.
        loss: `losses.L1` or `losses.CROSS_ENTROPY`, to which a divergence is added.
        kept: 1 for an Adam that is kept.
        observe: 1 to gather activation statistics.
    """

    rows: Int32
    encoder: Int64
    decoder: Int64
    rate: Float64
    repeats: Int64
    trains: int
    loss: int
    kept: int
    observe: int


class Scratch(NamedTuple):
    """Memory for one batch of up to `capacity` samples; zero where nothing was written.

    Attributes:
        values: planes of activations.
        deltas: planes of gradients.
        targets: the rows to reconstruct, where they are not the input, (capacity, width).
        code: noise of a code that is drawn, and its standard deviation, (2, capacity, width).
        which: room for a list of rows.
        gradient: room for that of a row.
        capacity: samples there is room for.
    """

    values: Float32
    deltas: Float32
    targets: Float32
    code: Float32
    which: Int64
    gradient: Float32
    capacity: int


class Statistics(NamedTuple):
    """Running statistics of every network's nodes; nothing where none are asked for.

    Attributes:
        batches: seen, (networks, slots).
        mean: (networks, slots, nodes).
        m2: sum of squared deviations from the mean, likewise.
    """

    batches: Float64
    mean: Float32
    m2: Float32


@part
def plane(memory: Float32, start: int, width: int, capacity: int) -> Float32:
    """The plane that starts there for one sample, (capacity, width)."""
    return memory[start * capacity : (start + width) * capacity].reshape(capacity, width)


@part
def rows_of(layer: Any, packed: Float32, start: int) -> Float32:
    """A layer's rows in packed networks, with the row of zeros; no rows where nothing is packed."""
    first = start + layer.weights
    rows = packed[first : first + (layer.rows + 1) * layer.width]
    return rows.reshape(len(rows) // layer.width, layer.width)


@part
def load(model: Any, plan: Any, scratch: Any, data: Float32, noise: Any, u: int, drawn: int) -> int:
    """Write a batch to the input's plane, with noise where there is some; say how many rows."""
    layer, rows = model.layers[0], plan.rows[u]
    x = plane(scratch.values, layer.source, layer.source_width, scratch.capacity)
    n_rows = 0
    while n_rows < len(rows) and rows[n_rows] >= 0:
        n_rows += 1
    noisy = len(noise) > 0 and model.input_noise > ZERO
    for s in range(n_rows):
        row, xs, target = data[rows[s]], x[s], scratch.targets[s]
        for i in range(layer.n_in):
            xs[i] = row[i]
        xs[layer.n_in] = ONE
        if noisy:
            for i in range(layer.n_in):
                target[i] = row[i]
                xs[i] += model.input_noise * noise[drawn + s, i]
    x[n_rows : whole(n_rows)] = ZERO
    return n_rows


@part
def forward(layer: Any, packed: Float32, start: int, n_rows: int, scratch: Any) -> None:
    """From a layer's input to its output, with ReLU where it has one."""
    n_samples = whole(n_rows)
    w = rows_of(layer, packed, start)
    x = plane(scratch.values, layer.source, layer.source_width, scratch.capacity)
    out = plane(scratch.values, layer.target, layer.target_width, scratch.capacity)
    n = active_rows(x, layer.rows, n_samples, layer.wide_in, scratch.which)
    if layer.wide_in:
        dots(w, scratch.which, n, x, n_samples, out)
    else:
        spread(w, scratch.which, n, x, n_samples, out)
    for s in range(n_samples):
        if layer.relu:
            for i in range(layer.n_out):
                out[s, i] = max(out[s, i], ZERO)
        out[s, layer.n_out] = ONE if s < n_rows else ZERO


@part
def backward(
    layer: Any, nets: Any, start: int, n_rows: int, wants_input: bool, step: Any, scratch: Any
) -> None:
    """The gradient by a layer's input from that by its sums, and the step of its weights."""
    n_samples = whole(n_rows)
    x = plane(scratch.values, layer.source, layer.source_width, scratch.capacity)
    dx = plane(scratch.deltas, layer.source, layer.source_width, scratch.capacity)
    dy = plane(scratch.deltas, layer.target, layer.target_width, scratch.capacity)
    rows = Rows(
        rows_of(layer, nets.values, start),
        rows_of(layer, nets.first, start),
        rows_of(layer, nets.second, start),
        rows_of(layer, nets.alive, start),
    )
    c, long = (dy, x) if layer.wide_in else (x, dy)
    which = scratch.which
    n = active_rows(c, layer.rows, n_samples, step.kept, which)
    if wants_input and layer.wide_in:
        spread(rows.values, which, n, dy, n_samples, dx)
    elif wants_input:
        dx[:n_samples] = ZERO
        dots(rows.values, which, n, dy, n_samples, dx)
    if n_samples == SAMPLES and not step.kept:
        step_five(rows, which, n, c, long, step)
    else:
        step_many(rows, which, n, c, long, n_samples, step, scratch.gradient)
    if wants_input:
        for s in range(n_samples):
            if layer.gated:
                for i in range(layer.n_in):
                    dx[s, i] = dx[s, i] if x[s, i] > ZERO else ZERO
            dx[s, layer.n_in :] = ZERO


@part
def power(base: float, exponent: int) -> float:
    """`base ** exponent`, of products alone: a library's has other bits on another machine."""
    result = 1.0
    while exponent:
        if exponent % 2:
            result *= base
        base *= base
        exponent //= 2
    return result


@part
def next_step(nets: Any, network: int, rate: float, kept: int) -> Any:
    """Count an update of a network and say how its weights move in it."""
    nets.steps[network] += 1
    root = 1.0
    if kept:
        t = nets.steps[network]
        rate = rate / (1.0 - power(0.5, t))
        root = 1.0 / np.sqrt(1.0 - power(0.999, t))
    return Step(kept, nets.masked[network], np.float32(rate), np.float32(root))


@part
def observe(
    model: Any, first: int, stop: int, network: int, n_rows: int, seen: Any, scratch: Any
) -> None:
    """Count a batch's activations in a network's statistics (Welford, 1962)."""
    for s in range(n_rows):
        seen.batches[network, s] += 1.0
        share = np.float32(1.0 / seen.batches[network, s])
        mean, m2, node = seen.mean[network, s], seen.m2[network, s], 0
        for k in range(first, stop):
            layer = model.layers[k]
            out = plane(scratch.values, layer.target, layer.target_width, scratch.capacity)[s]
            for i in range(layer.n_out):
                deviation = out[i] - mean[node + i]
                mean[node + i] += share * deviation
                m2[node + i] += (ONE - share) * deviation * deviation
            node += layer.n_out


@part
def code_of(model: Any, memory: Float32, scratch: Any) -> Any:
    """The plane of a code, or of the gradient by it, with the noise and its spread."""
    layer = model.layers[model.n_encoder]
    z = plane(memory, layer.source, layer.source_width, scratch.capacity)
    return z, scratch.code[0], scratch.code[1]


@part
def update(
    model: Any, nets: Any, plan: Any, u: int, n_rows: int, target: Float32, scratch: Any
) -> None:
    """Backwards through a batch that was passed forward, moving all weights."""
    layers, n_encoder = model.layers, model.n_encoder
    last = layers[len(layers) - 1]
    z = plane(scratch.values, last.target, last.target_width, scratch.capacity)
    dz = plane(scratch.deltas, last.target, last.target_width, scratch.capacity)
    output_gradient(z, target, n_rows, last.n_out, plan.loss, dz)
    decoder_step = next_step(nets, plan.decoder[u], plan.rate[u], plan.kept)
    encoder_step = next_step(nets, plan.encoder[u], plan.rate[u], plan.kept)
    for k in range(len(layers) - 1, -1, -1):
        step = encoder_step if k < n_encoder else decoder_step
        start = nets.starts[plan.encoder[u] if k < n_encoder else plan.decoder[u]]
        backward(layers[k], nets, start, n_rows, k > 0, step, scratch)
        if k == n_encoder and model.latent:
            heads = layers[k - 1]
            values = plane(scratch.values, heads.target, heads.target_width, scratch.capacity)
            by_heads = plane(scratch.deltas, heads.target, heads.target_width, scratch.capacity)
            by_code = code_of(model, scratch.deltas, scratch)
            code_gradient(values, model.latent, n_rows, by_code, by_heads)


@part
def loss_of(model: Any, loss: int, n_rows: int, target: Float32, scratch: Any) -> Any:
    """The loss of a batch that was passed forward."""
    last, heads = model.layers[len(model.layers) - 1], model.layers[model.n_encoder - 1]
    z = plane(scratch.values, last.target, last.target_width, scratch.capacity)
    total = summed_errors(z, target, n_rows, last.n_out, loss)
    if loss == L1:
        return total / (n_rows * last.n_out)
    values = plane(scratch.values, heads.target, heads.target_width, scratch.capacity)
    return total + summed_divergence(values, model.latent, n_rows)


@entry_point
def perform(
    model: Any,
    nets: Any,
    plan: Any,
    scratch: Any,
    seen: Any,
    losses: Float64,
    data: Float32,
    noise: Float32,
    first: int,
    stop: int,
) -> None:
    """Take the batches `first` to `stop` of a plan: train on each, or find its loss.

    Args:
        model: see `Model`.
        nets: see `Networks`.
        plan: see `Plan`.
        scratch: see `Scratch`.
        seen: see `Statistics`.
        losses: where to write them, (S,), if there is no training.
        data: rows, float32, (n, n_dim), read-only.
        noise: standard normal values of these batches' rows, float32, (rows, noise_width), the
            input's before the code's; no rows where none are wanted.
        first: the first batch.
        stop: one after the last.
    """
    layers, n_encoder = model.layers, model.n_encoder
    # A plain 0 is a type of its own, and what takes it would be compiled twice.
    zero: Any = np.int64(0)
    drawn, n_rows = zero, zero
    x = plane(scratch.values, layers[0].source, layers[0].source_width, scratch.capacity)
    target = scratch.targets if len(noise) > 0 and model.input_noise > ZERO else x
    for u in range(first, stop):
        encoder, decoder = plan.encoder[u], plan.decoder[u]
        if not plan.repeats[u]:
            n_rows = load(model, plan, scratch, data, noise, u, drawn)
        for k in range(n_encoder if plan.repeats[u] else 0, len(layers)):
            if k == n_encoder and model.latent:
                heads = layers[k - 1]
                values = plane(scratch.values, heads.target, heads.target_width, scratch.capacity)
                code = code_of(model, scratch.values, scratch)
                draw_code(values, model.latent, noise, drawn, n_rows, code)
            start = nets.starts[encoder if k < n_encoder else decoder]
            forward(layers[k], nets.values, start, n_rows, scratch)
        if plan.observe:
            observe(model, zero, n_encoder, encoder, n_rows, seen, scratch)
            observe(model, n_encoder, len(layers), decoder, n_rows, seen, scratch)
        if plan.trains:
            update(model, nets, plan, u, n_rows, target, scratch)
        else:
            losses[u] = loss_of(model, plan.loss, n_rows, target, scratch)
        drawn += n_rows
