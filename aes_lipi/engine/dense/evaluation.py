"""Losses and activations without training: the entry points of the dense engine's evaluation.

Batches go through group by group, so all need scratch memory for one group only.
"""

from __future__ import annotations

from typing import Any

from aes_lipi.engine.dense.batches import load_batch
from aes_lipi.engine.dense.compiled import entry_point, inlined
from aes_lipi.engine.dense.latent import mean_code, summed_divergence
from aes_lipi.engine.dense.output import L1, summed_errors
from aes_lipi.engine.dense.packing import SAMPLES
from aes_lipi.engine.dense.passes import forward_layer
from aes_lipi.engine.dense.scratch import element
from aes_lipi.engine.dense.simd import LANES, load, read, store, write


@inlined
def forward(layers: Any, first: int, stop: int, start: int, values: Any, scratch: Any) -> None:
    """Layers `first` to `stop` of a network packed at `start`, for one group."""
    for k in range(first, stop):
        target = scratch.deltas if k == len(layers) - 1 else scratch.planes
        forward_layer(layers[k], start + layers[k].weights, values, target, 1, scratch)


@entry_point
def loss_matrix(
    layers: Any,
    n_encoder_layers: int,
    loss: int,
    sizes: Any,
    values: Any,
    scratch: Any,
    data: Any,
    rows: Any,
    losses: Any,
) -> None:
    """Loss of every encoder with every decoder on the given rows.

    Args:
        layers: `LAYER` records, encoder then decoder.
        n_encoder_layers: how many are the encoder's.
        loss: `output.L1`, or `output.CROSS_ENTROPY`, to which the divergence is added.
        sizes: packed floats of an encoder and of a decoder.
        values: packed networks, encoders first.
        scratch: see `scratch.Scratch`.
        data: float32, (n, n_dim), read-only.
        rows: (B,).
        losses: where to write them, float64, (E, D).
    """
    n_encoders, n_decoders = losses.shape
    last = layers[len(layers) - 1]
    variational = layers[n_encoder_layers].sampled
    losses[:] = 0.0
    for first in range(0, len(rows), SAMPLES):
        n_rows = min(SAMPLES, len(rows) - first)
        load_batch(layers[0], data, rows[first : first + n_rows], n_rows, scratch.planes)
        for i in range(n_encoders):
            forward(layers, 0, n_encoder_layers, i * sizes[0], values, scratch)
            divergence = 0.0
            if variational:
                mean_code(layers, n_encoder_layers, scratch)
                divergence = summed_divergence(layers, n_encoder_layers, n_rows, scratch)
            for j in range(n_decoders):
                start = n_encoders * sizes[0] + j * sizes[1]
                forward(layers, n_encoder_layers, len(layers), start, values, scratch)
                errors = summed_errors(last, loss, scratch.planes, n_rows, scratch)
                losses[i, j] += errors + divergence
    if loss == L1:
        losses /= len(rows) * last.n_out


@entry_point
def batch_losses(
    layers: Any,
    n_encoder_layers: int,
    loss: int,
    sizes: Any,
    values: Any,
    scratch: Any,
    data: Any,
    batch_size: int,
    losses: Any,
) -> None:
    """Loss of one pair on every batch of the data, in order.

    Args:
        layers: as for `loss_matrix`, as the other arguments.
        n_encoder_layers: how many are the encoder's.
        loss: `output.L1`, or `output.CROSS_ENTROPY`, to which the divergence is added.
        sizes: packed floats of an encoder and of a decoder.
        values: packed encoder, then packed decoder.
        scratch: see `scratch.Scratch`.
        data: float32, (n, n_dim), read-only.
        batch_size: rows of a batch; the last may have fewer.
        losses: where to write them, float64, (batches,).
    """
    last = layers[len(layers) - 1]
    variational = layers[n_encoder_layers].sampled
    for batch in range(len(losses)):
        total = 0.0
        begin = batch * batch_size
        end = min(begin + batch_size, len(data))
        for first in range(begin, end, SAMPLES):
            n_rows = min(SAMPLES, end - first)
            rows = scratch.active[:n_rows]
            for b in range(n_rows):
                rows[b] = first + b
            load_batch(layers[0], data, rows, n_rows, scratch.planes)
            forward(layers, 0, n_encoder_layers, 0, values, scratch)
            if variational:
                mean_code(layers, n_encoder_layers, scratch)
            forward(layers, n_encoder_layers, len(layers), sizes[0], values, scratch)
            total += summed_errors(last, loss, scratch.planes, n_rows, scratch)
            if loss != L1:
                total += summed_divergence(layers, n_encoder_layers, n_rows, scratch)
        if loss == L1:
            total /= (end - begin) * last.n_out
        losses[batch] = total


@entry_point
def activations(
    layers: Any,
    n_encoder_layers: int,
    encoder_parts: Any,
    decoder_parts: Any,
    sizes: Any,
    values: Any,
    scratch: Any,
    data: Any,
    rows: Any,
    encoder: Any,
    decoder: Any,
) -> None:
    """Recorded activations of one pair: after ReLU, before the sigmoid.

    Args:
        layers: as for `loss_matrix`, as the other arguments.
        n_encoder_layers: how many are the encoder's.
        encoder_parts: see `packing.Chain`.
        decoder_parts: the same.
        sizes: packed floats of an encoder and of a decoder.
        values: packed encoder, then packed decoder.
        scratch: see `scratch.Scratch`.
        data: float32, (n, n_dim), read-only.
        rows: (R,).
        encoder: where to write, float32, (R, nodes of the encoder).
        decoder: the same for the decoder.
    """
    for first in range(0, len(rows), SAMPLES):
        n_rows = min(SAMPLES, len(rows) - first)
        load_batch(layers[0], data, rows[first : first + n_rows], n_rows, scratch.planes)
        forward(layers, 0, n_encoder_layers, 0, values, scratch)
        if layers[n_encoder_layers].sampled:
            mean_code(layers, n_encoder_layers, scratch)
        forward(layers, n_encoder_layers, len(layers), sizes[0], values, scratch)
        record(encoder_parts, scratch.planes, scratch.planes, first, n_rows, encoder)
        record(decoder_parts, scratch.planes, scratch.deltas, first, n_rows, decoder)


@inlined
def record(parts: Any, planes: Any, last: Any, first: int, n_rows: int, out: Any) -> None:
    """Copy one group's nodes of all layers to rows `first` and on of `out`."""
    column = 0
    for k in range(len(parts)):
        layer = parts[k]
        plane = last if k == len(parts) - 1 else planes
        whole = layer.n_out - layer.n_out % LANES
        for b in range(n_rows):
            row = out[first + b]
            place = layer.target + element(layer.node) + b * LANES
            for node in range(0, whole, LANES):
                store(row, column + node, load(plane, place + element(node)))
            for node in range(whole, layer.n_out):
                write(row, column + node, read(plane, place + element(node)))
        column += layer.n_out
