"""How networks lie in memory while kernels work on them.

A layer's weights lie as rows along its longer axis, so that inner loops are long: a row per node
where it reads more than it writes ("wide in"), else a row per input ("wide out"). With its biases,
which weigh the constant 1, a row per node is one longer, and rows per input are one more. After a
layer's rows comes one of zeros. LayerRows are padded with zeros to whole cache lines.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from aes_lipi.arrays import Array, Float32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Layer
from aes_lipi.engine.dense.records import Chain

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
            "relu",  # 1: ReLU follows
            "gated",  # 1: reads what ReLU gives
            "source",  # where the plane it reads starts, for one sample
            "source_width",  # floats of a sample in that plane
            "target",  # where the plane it writes starts, for one sample
            "target_width",  # floats of a sample in that plane
        )
    ],
    align=True,
)
_LINE = 16  # floats of a cache line


def _padded(n: int) -> int:
    """Floats for n values, the constant 1 and a zero, in whole cache lines."""
    return -(-(n + 2) // _LINE) * _LINE


def aligned_zeros(*shape: int) -> Float32:
    """Float32 zeros that start at a cache line."""
    size = int(np.prod(shape))
    raw = np.zeros(size + _LINE, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    return raw[start : start + size].reshape(shape)


class Packing:
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
        layers["gated"][1:] = layers["relu"][:-1]
        self.plane_floats = start + int(layers[-1]["target_width"])
        self._packed = (layers[:n], layers[n:])
        self.sizes = tuple(_place_weights(part) for part in self._packed)
        self.chain = Chain(layers, n, latent, np.float32(architecture.input_noise))

    def starts(self, n_encoders: int, n_decoders: int) -> Array:
        """Where each of so many networks starts, and behind them where they end."""
        return np.cumsum([0] + [self.sizes[0]] * n_encoders + [self.sizes[1]] * n_decoders)

    def pack(self, kind: int, genome: Float32 | None, packed: Float32) -> None:
        """Write a genome (None: all ones) to memory that is zero.

        Args:
            kind: 0 for an encoder, 1 for a decoder.
            genome: or anything else with a value per weight, (P,).
            packed: where to, (sizes[kind],).
        """
        layout = self._layouts[kind]
        for k, (weight, bias) in enumerate(self._views(kind, packed)):
            weight[...] = 1.0 if genome is None else layout.weight(genome, k)
            bias[...] = 1.0 if genome is None else layout.bias(genome, k)

    def unpacked(self, kind: int, packed: Float32) -> Float32:
        """The genome, as a new array."""
        layout = self._layouts[kind]
        genome = np.empty(layout.size, np.float32)
        for k, (weight, bias) in enumerate(self._views(kind, packed)):
            layout.weight(genome, k)[...] = weight
            layout.bias(genome, k)[...] = bias
        return genome

    def _views(self, kind: int, packed: Float32) -> Iterator[tuple[Float32, Float32]]:
        """Weights, (n_out, n_in), and biases, (n_out,), of each layer of the genome."""
        for layer, nodes in zip(*self._parts(kind), strict=True):
            start, width = int(layer["weights"]), int(layer["width"])
            rows = packed[start : start + int(layer["rows"]) * width].reshape(-1, width)
            if not layer["wide_in"]:
                rows = rows.T
            n_in = int(layer["n_in"])
            yield rows[nodes, :n_in], rows[nodes, n_in]

    def _parts(self, kind: int) -> tuple[list[Any], list[slice]]:
        """Per layer of the genome the record of the packed one, and its nodes among those there."""
        records, layers = list(self._packed[kind]), self._layouts[kind].layers
        nodes = [slice(0, layer.n_out) for layer in layers]
        if len(layers) > len(records):
            n = layers[-1].n_out
            return [*records, records[-1]], [*nodes[:-1], slice(n, 2 * n)]
        return records, nodes

    def nodes(self, kind: int, values: Float32, capacity: int, n_rows: int) -> Float32:
        """Values of all nodes of a network's layers, taken from planes: (n_rows, nodes)."""
        columns = []
        for layer in self._packed[kind]:
            start, width = int(layer["target"]) * capacity, int(layer["target_width"])
            plane = values[start : start + width * capacity].reshape(capacity, width)
            columns.append(plane[:n_rows, : int(layer["n_out"])])
        return np.concatenate(columns, axis=1)


def _describe(record: Any, layer: Layer, start: int) -> int:
    """Fill in one layer's record, all but `weights`; return where the next plane starts."""
    record["n_in"], record["n_out"] = layer.n_in, layer.n_out
    record["wide_in"] = layer.n_in >= layer.n_out
    record["rows"] = layer.n_out if record["wide_in"] else layer.n_in + 1
    record["width"] = _padded(max(layer.n_in, layer.n_out))
    record["relu"] = layer.activation == "relu"
    record["source"], record["source_width"] = start, _padded(layer.n_in)
    record["target"], record["target_width"] = start + _padded(layer.n_in), _padded(layer.n_out)
    return start + _padded(layer.n_in)


def _place_weights(layers: Array) -> int:
    """Put one network's layers one after another; return the floats they need."""
    floats = (layers["rows"] + 1) * layers["width"]
    layers["weights"] = np.cumsum(floats) - floats
    return int(floats.sum())
