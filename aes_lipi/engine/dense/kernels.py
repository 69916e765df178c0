"""Batches through an autoencoder: the one function of the dense engine that is called from Python.

Activations are kept as planes, one for the input and one for the output of every layer, each
(samples, width); gradients by them lie alike. Behind a sample's n values comes the constant 1, with
which a layer's biases are one more column of its weights or one more row, then zeros. Batches are
padded to whole fives with samples that are zero throughout, the constant too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from aes_lipi.arrays import Float32, Float64
from aes_lipi.engine.dense.activations import RELU, gate, put_through
from aes_lipi.engine.dense.losses import (
    CROSS_ENTROPY,
    code_gradient,
    draw_code,
    output_gradient,
    summed_divergence,
    summed_errors,
    weigh_divergence,
    weigh_rows,
)
from aes_lipi.engine.dense.mode import enter_mode, leave_mode
from aes_lipi.engine.dense.products import (
    ONE,
    SAMPLES,
    ZERO,
    AdamStep,
    LayerRows,
    active_rows,
    dots,
    step_five,
    step_many,
    weighted_sums,
    whole,
)
from aes_lipi.engine.dense.target import entry_point, part


@part
def _plane(memory: Float32, start: int, width: int, capacity: int) -> Float32:
    """The plane that starts there for one sample, (capacity, width)."""
    return memory[start * capacity : (start + width) * capacity].reshape(capacity, width)


@part
def _rows_of(layer: Any, packed: Float32, start: int) -> Float32:
    """A layer's rows in packed networks, with the row of zeros; no rows where nothing is packed."""
    first = start + layer.weights
    rows = packed[first : first + (layer.rows + 1) * layer.width]
    return rows.reshape(len(rows) // layer.width, layer.width)


@part
def _load_batch(
    chain: Any, batches: Any, scratch: Any, data: Float32, noise: Any, u: int, drawn: int
) -> int:
    """Write a batch to the input's plane, with noise where there is some; say how many rows."""
    layer, rows = chain.layers[0], batches.rows[u]
    x = _plane(scratch.values, layer.source, layer.source_width, scratch.capacity)
    n_rows = 0
    while n_rows < len(rows) and rows[n_rows] >= 0:
        n_rows += 1
    noisy = noise.shape[1] > chain.latent
    for s in range(n_rows):
        row, xs = data[rows[s]], x[s]
        for i in range(layer.n_in):
            xs[i] = row[i]
        xs[layer.n_in] = ONE
        if noisy:
            for i in range(layer.n_in):
                scratch.targets[s, i] = row[i]
                xs[i] += chain.input_noise * noise[drawn + s, i]
    x[n_rows : whole(n_rows)] = ZERO
    return n_rows


@part
def _forward(layer: Any, packed: Float32, start: int, n_rows: int, scratch: Any) -> None:
    """From a layer's input to its output, but for the sigmoid of the last."""
    n_samples = whole(n_rows)
    w = _rows_of(layer, packed, start)
    x = _plane(scratch.values, layer.source, layer.source_width, scratch.capacity)
    out = _plane(scratch.values, layer.target, layer.target_width, scratch.capacity)
    n = active_rows(x, layer.rows, n_samples, layer.wide_in, scratch.which)
    if layer.wide_in:
        dots(w, scratch.which, n, x, n_samples, out)
    else:
        weighted_sums(w, scratch.which, n, x, n_samples, out)
    slopes = _plane(scratch.slopes, layer.target, layer.target_width, scratch.capacity)
    put_through(out, slopes, n_samples, layer.n_out, layer.activation)
    for s in range(n_samples):
        out[s, layer.n_out] = ONE if s < n_rows else ZERO


@part
def _backward(
    layer: Any, nets: Any, start: int, n_rows: int, wants_input: bool, step: Any, scratch: Any
) -> None:
    """The gradient by a layer's input from that by its sums, and the step of its weights."""
    n_samples = whole(n_rows)
    x = _plane(scratch.values, layer.source, layer.source_width, scratch.capacity)
    dx = _plane(scratch.deltas, layer.source, layer.source_width, scratch.capacity)
    dy = _plane(scratch.deltas, layer.target, layer.target_width, scratch.capacity)
    rows = LayerRows(
        _rows_of(layer, nets.values, start),
        _rows_of(layer, nets.first, start),
        _rows_of(layer, nets.second, start),
        _rows_of(layer, nets.alive, start),
    )
    c, long = (dy, x) if layer.wide_in else (x, dy)
    which = scratch.which
    # A ReLU that is off passes no gradient on; another node that is 0 does.
    all_pass = wants_input and not layer.wide_in and layer.gate != RELU
    n = active_rows(c, layer.rows, n_samples, step.kept or all_pass, which)
    if wants_input and layer.wide_in:
        weighted_sums(rows.values, which, n, dy, n_samples, dx)
    elif wants_input:
        dx[:n_samples] = ZERO
        dots(rows.values, which, n, dy, n_samples, dx)
    if n_samples == SAMPLES and not step.kept:
        step_five(rows, which, n, c, long, step)
    else:
        step_many(rows, which, n, c, long, n_samples, step, scratch.gradient)
    if wants_input:
        slopes = _plane(scratch.slopes, layer.source, layer.source_width, scratch.capacity)
        gate(dx, x, slopes, n_samples, layer.n_in, layer.gate)
        for s in range(n_samples):
            dx[s, layer.n_in :] = ZERO


@part
def _power(base: float, exponent: int) -> float:
    """`base ** exponent`, of products alone: a library's has other bits on another machine."""
    result = 1.0
    while exponent:
        if exponent % 2:
            result *= base
        base *= base
        exponent //= 2
    return result


@part
def _next_step(nets: Any, network: int, rate: float, kept: int) -> Any:
    """Count an update of a network and say how its weights move in it."""
    nets.steps[network] += 1
    root = 1.0
    if kept:
        t = nets.steps[network]
        rate = rate / (1.0 - _power(0.5, t))
        root = 1.0 / np.sqrt(1.0 - _power(0.999, t))
    return AdamStep(kept, nets.masked[network], np.float32(rate), np.float32(root))


@part
def _observe(
    chain: Any, first: int, stop: int, network: int, n_rows: int, seen: Any, scratch: Any
) -> None:
    """Count a batch's activations in a network's statistics (Welford, 1962)."""
    for s in range(n_rows):
        seen.batches[network, s] += 1.0
        share = np.float32(1.0 / seen.batches[network, s])
        mean, m2, node = seen.mean[network, s], seen.m2[network, s], 0
        for k in range(first, stop):
            layer = chain.layers[k]
            out = _plane(scratch.values, layer.target, layer.target_width, scratch.capacity)[s]
            for i in range(layer.n_out):
                deviation = out[i] - mean[node + i]
                mean[node + i] += share * deviation
                m2[node + i] += (ONE - share) * deviation * deviation
            node += layer.n_out


@part
def _code_of(chain: Any, memory: Float32, scratch: Any) -> Any:
    """The plane of a code, or of the gradient by it, with the noise and its spread."""
    layer = chain.layers[chain.n_encoder]
    z = _plane(memory, layer.source, layer.source_width, scratch.capacity)
    return z, scratch.code[0], scratch.code[1]


@part
def _update(
    chain: Any, nets: Any, batches: Any, u: int, n_rows: int, target: Float32, scratch: Any
) -> None:
    """Backwards through a batch that was passed forward, moving all weights."""
    layers, n_encoder = chain.layers, chain.n_encoder
    last = layers[len(layers) - 1]
    z = _plane(scratch.values, last.target, last.target_width, scratch.capacity)
    dz = _plane(scratch.deltas, last.target, last.target_width, scratch.capacity)
    scale = ONE if chain.latent else np.float32(1.0 / (n_rows * last.n_out))
    kind = (batches.loss, chain.is_sigmoid)
    output_gradient(z, target, n_rows, last.n_out, kind, scale, dz)
    rows, weights = batches.rows[u], batches.weights
    if len(weights) > 0:
        weigh_rows(dz, rows, weights, n_rows, last.n_out)
    decoder_step = _next_step(nets, batches.decoder[u], batches.rate[u], batches.kept)
    encoder_step = _next_step(nets, batches.encoder[u], batches.rate[u], batches.kept)
    for k in range(len(layers) - 1, -1, -1):
        step = encoder_step if k < n_encoder else decoder_step
        start = nets.starts[batches.encoder[u] if k < n_encoder else batches.decoder[u]]
        _backward(layers[k], nets, start, n_rows, k > 0, step, scratch)
        if k == n_encoder and chain.latent:
            heads = layers[k - 1]
            values = _plane(scratch.values, heads.target, heads.target_width, scratch.capacity)
            by_heads = _plane(scratch.deltas, heads.target, heads.target_width, scratch.capacity)
            by_code = _code_of(chain, scratch.deltas, scratch)
            code_gradient(values, chain.latent, n_rows, by_code, by_heads)
            if len(weights) > 0:
                spread = scratch.code[1]
                weigh_divergence(values, chain.latent, rows, weights, n_rows, spread, by_heads)


@part
def _loss_of(chain: Any, batches: Any, u: int, n_rows: int, target: Float32, scratch: Any) -> Any:
    """The loss of a batch that was passed forward; the cross-entropy of a drawn code as an ELBO."""
    loss, rows, weights = batches.loss, batches.rows[u], batches.weights
    last, heads = chain.layers[len(chain.layers) - 1], chain.layers[chain.n_encoder - 1]
    z = _plane(scratch.values, last.target, last.target_width, scratch.capacity)
    kind = (loss, chain.is_sigmoid)
    total = summed_errors(z, target, n_rows, last.n_out, kind, rows, weights)
    if loss != CROSS_ENTROPY or not chain.latent:
        return total / (n_rows * last.n_out)
    values = _plane(scratch.values, heads.target, heads.target_width, scratch.capacity)
    return total + summed_divergence(values, chain.latent, n_rows, rows, weights)


@entry_point
def run_batches(
    chain: Any,
    nets: Any,
    batches: Any,
    scratch: Any,
    seen: Any,
    losses: Float64,
    data: Float32,
    noise: Float32,
    first: int,
    stop: int,
) -> None:
    """Take the batches `first` to `stop` of a list: train on each, or find its loss.

    Args:
        chain: see `layout.Chain`.
        nets: see `layout.Networks`.
        batches: see `layout.Batches`.
        scratch: see `layout.Scratch`.
        seen: see `layout.Statistics`.
        losses: where to write those of the batches, as they are passed forward, (S,); nowhere if
            that is empty.
        data: rows, float32, (n, n_dim), read-only.
        noise: standard normal values of these batches' rows, float32, (rows, width): the input's,
            or none, before the code's; no rows where none are wanted.
        first: the first batch.
        stop: one after the last.
    """
    mode = enter_mode()
    layers, n_encoder = chain.layers, chain.n_encoder
    # A plain 0 is a type of its own, and what takes it would be compiled twice.
    zero: Any = np.int64(0)
    drawn, n_rows = zero, zero
    x = _plane(scratch.values, layers[0].source, layers[0].source_width, scratch.capacity)
    target = scratch.targets if noise.shape[1] > chain.latent else x
    for u in range(first, stop):
        encoder, decoder = batches.encoder[u], batches.decoder[u]
        if not batches.repeats[u]:
            n_rows = _load_batch(chain, batches, scratch, data, noise, u, drawn)
        for k in range(n_encoder if batches.repeats[u] else 0, len(layers)):
            if k == n_encoder and chain.latent:
                heads = layers[k - 1]
                values = _plane(scratch.values, heads.target, heads.target_width, scratch.capacity)
                code = _code_of(chain, scratch.values, scratch)
                draw_code(values, chain.latent, noise, drawn, n_rows, code)
            start = nets.starts[encoder if k < n_encoder else decoder]
            _forward(layers[k], nets.values, start, n_rows, scratch)
        if batches.observe:
            _observe(chain, zero, n_encoder, encoder, n_rows, seen, scratch)
            _observe(chain, n_encoder, len(layers), decoder, n_rows, seen, scratch)
        if len(losses) > 0:
            losses[u] = _loss_of(chain, batches, u, n_rows, target, scratch)
        if batches.trains:
            _update(chain, nets, batches, u, n_rows, target, scratch)
        drawn += n_rows
    leave_mode(mode)
