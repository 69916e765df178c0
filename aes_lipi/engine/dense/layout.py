"""Where everything lies that the kernels work on, and the records in which they are handed it.

A layer's weights lie as rows along its longer axis, so that inner loops are long: a row per node
where it reads more than it writes ("wide in"), else a row per input ("wide out"). With its biases,
which weigh the constant 1, a row per node is one longer, and rows per input are one more. After a
layer's rows comes one of zeros. Rows are padded with zeros to whole cache lines.

Numba takes a named tuple apart when a kernel is compiled, so it costs nothing to use one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from aes_lipi.arrays import Array, Float32, Float64, Int32, Int64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Layer
from aes_lipi.engine.dense.activations import HIDDEN


class Chain(NamedTuple):
    """What all networks of an engine have in common.

    Attributes:
        layers: records, one a layer, encoder then decoder; a variational encoder's two heads are
            one layer.
        n_encoder: how many are the encoder's.
        latent: dimensions of a code that is drawn; else 0.
        input_noise: standard deviation of the noise on the input.
        is_sigmoid: 1 where the output is a sigmoid of the last layer's sums, 0 where it is these.
    """

    layers: Any
    n_encoder: int
    latent: int
    input_noise: np.float32
    is_sigmoid: int


class Networks(NamedTuple):
    """Packed networks with the state of their optimiser: encoders even numbers, decoders odd ones.

    Attributes:
        values: weights and biases, flat.
        first: running mean of the gradient, for an Adam that is kept; else empty.
        second: running mean of the squared gradient, likewise.
        alive: 1 where a weight may move, 0 where pruning froze it; empty where none is.
        starts: where each network starts.
        masked: 1 where a network has frozen weights.
        steps: Adam steps so far; counted on.
    """

    values: Float32
    first: Float32
    second: Float32
    alive: Float32
    starts: Int64
    masked: Int64
    steps: Int64


ALL_ALIKE: Float32 = np.empty(0, np.float32)
"""The weights of rows that all count alike."""


class Batches(NamedTuple):
    """What to do, batch after batch.

    Attributes:
        rows: indices of rows, (S, B); -1 pads a smaller batch.
        encoder: number of the network that encodes, (S,).
        decoder: number of the network that decodes, (S,).
        rate: learning rates, (S,); empty where there is no training.
        repeats: 1 where rows and encoder are those of the batch before, (S,).
        trains: 1 to train on each batch, 0 for its loss.
        loss: one of `losses.LOSSES`; to a drawn code's cross-entropy a divergence is added.
        kept: 1 for an Adam that is kept.
        observe: 1 to gather activation statistics.
        weights: by what each row of the data counts in the loss, (n,); empty where all count alike.
    """

    rows: Int32
    encoder: Int64
    decoder: Int64
    rate: Float64
    repeats: Int64
    trains: int = 0
    loss: int = 0
    kept: int = 0
    observe: int = 0
    weights: Float32 = ALL_ALIKE


class Scratch(NamedTuple):
    """Memory for one batch of up to `capacity` samples; zero where nothing was written.

    Attributes:
        values: planes of activations.
        deltas: planes of gradients.
        slopes: planes of what gradients by outputs are to be multiplied by, where it is kept.
        targets: the rows to reconstruct, (capacity, width); nothing where they are the input.
        code: noise of a code that is drawn, and its standard deviation, (2, capacity, width).
        which: room for a list of rows.
        gradient: room for that of a row.
        capacity: samples there is room for.
    """

    values: Float32
    deltas: Float32
    slopes: Float32
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


_LAYER = np.dtype(
    [
        (name, np.int64)
        for name in (
            "n_in",  # inputs
            "n_out",  # nodes
            "wide_in",  # 1: a row per node; 0: a row per input and one of biases
            "rows",  # without the row of zeros
            "width",  # of a row, with padding
            "weights",  # where the layer starts in its packed network
            "activation",  # see `activations.HIDDEN`
            "gate",  # the activation that gives what it reads
            "source",  # where the plane it reads starts, for one sample
            "source_width",  # floats of a sample in that plane
            "target",  # where the plane it writes starts, for one sample
            "target_width",  # floats of a sample in that plane
        )
    ],
    align=True,
)
_LINE = 16  # floats of a cache line


class ChainLayout:
    """An architecture's layers laid out for the kernels.

    Attributes:
        chain: what kernels know of it.
        plane_floats: floats of all planes together, for one sample.
        sizes: floats of a packed encoder and of a packed decoder.
    """

    def __init__(self, architecture: Architecture) -> None:
        self._layouts = (architecture.encoder, architecture.decoder)
        encoder, decoder = architecture.encoder.layers, architecture.decoder.layers
        latent = architecture.latent_size if architecture.variational else 0
        if latent:
            encoder = (*encoder[:-2], Layer("heads", encoder[-1].n_in, 2 * latent, "linear", -1))
        n = len(encoder)
        layers = np.zeros(n + len(decoder), _LAYER)
        start = 0
        for k, layer in enumerate((*encoder, *decoder)):
            if k == n and latent:
                start += _padded(2 * latent)
            start = _describe(layers[k], layer, start)
        layers["gate"][1:] = layers["activation"][:-1]
        self.plane_floats = start + int(layers[-1]["target_width"])
        self._packed = (layers[:n], layers[n:])
        self.sizes = tuple(_place_weights(part) for part in self._packed)
        is_sigmoid = int(decoder[-1].activation == "sigmoid")
        noise = np.float32(architecture.input_noise)
        self.chain = Chain(layers, n, latent, noise, is_sigmoid)

    def places(self, kind: int, packed: Float32) -> Iterator[tuple[slice, Float32]]:
        """Each weight matrix and bias of a genome: where it lies there, and a view where it goes.

        Args:
            kind: 0 for an encoder, 1 for a decoder.
            packed: memory of one network, (sizes[kind],).
        """
        layout, last = self._layouts[kind], len(self._packed[kind]) - 1
        for k, layer in enumerate(layout.layers):
            record, node = self._packed[kind][min(k, last)], layer.n_out if k > last else 0
            start, width = int(record["weights"]), int(record["width"])
            rows = packed[start : start + int(record["rows"]) * width].reshape(-1, width)
            nodes = (rows if record["wide_in"] else rows.T)[node : node + layer.n_out]
            yield layout.weight_slice(k), nodes[:, : layer.n_in]
            yield layout.bias_slice(k), nodes[:, layer.n_in]

    def nodes(self, kind: int, scratch: Scratch, n_rows: int) -> Float32:
        """Values of all nodes of a network's layers, taken from planes: (n_rows, nodes)."""
        columns = []
        for layer in self._packed[kind]:
            start, width = int(layer["target"]) * scratch.capacity, int(layer["target_width"])
            plane = scratch.values[start : start + n_rows * width].reshape(n_rows, width)
            columns.append(plane[:, : int(layer["n_out"])])
        return np.concatenate(columns, axis=1)


def _describe(record: Any, layer: Layer, start: int) -> int:
    """Fill in one layer's record, all but `weights`; return where the next plane starts."""
    record["n_in"], record["n_out"] = layer.n_in, layer.n_out
    record["wide_in"] = layer.n_in >= layer.n_out
    record["rows"] = layer.n_out if record["wide_in"] else layer.n_in + 1
    record["width"] = _padded(max(layer.n_in, layer.n_out))
    record["activation"] = HIDDEN.get(layer.activation, 0)
    record["source"], record["source_width"] = start, _padded(layer.n_in)
    record["target"], record["target_width"] = start + _padded(layer.n_in), _padded(layer.n_out)
    return start + _padded(layer.n_in)


def _padded(n: int) -> int:
    """Floats for n values, the constant 1 and a zero, in whole cache lines."""
    return -(-(n + 2) // _LINE) * _LINE


def _place_weights(layers: Array) -> int:
    """Put one network's layers one after another; return the floats they need."""
    floats = (layers["rows"] + 1) * layers["width"]
    layers["weights"] = np.cumsum(floats) - floats
    return int(floats.sum())


def aligned_zeros(*shape: int) -> Float32:
    """Float32 zeros that start at a cache line."""
    size = int(np.prod(shape))
    raw = np.zeros(size + _LINE, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    return raw[start : start + size].reshape(shape)
