"""What the kernels are handed: arrays that belong together, under one name.

Numba takes a named tuple apart when a kernel is compiled, so it costs nothing to use one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from aes_lipi.arrays import Float32, Float64, Int32, Int64


class Chain(NamedTuple):
    """What all networks of an engine have in common.

    Attributes:
        layers: records of `packing`, one a layer, encoder then decoder; a variational encoder's
            two heads are one layer.
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


class Batches(NamedTuple):
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
        targets: the rows to reconstruct, (capacity, width); nothing where they are the input.
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
