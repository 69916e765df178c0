"""How networks and activations lie in memory while kernels work on them.

Every layer is `z = W a + b`. With the constant 1 appended to `a`, the bias is one more column of W:
an augmented matrix with `n_out` x `n_in + 1` entries. It is stored as rows along its longer
axis, so that inner loops are long. A layer that reads more than it writes has one row per node
("wide in"); any other layer has one row per input, the last of them the bias ("wide out").

Rows are padded with zeros to whole vectors and cut into tiles of a few vectors. A tile holds that
part of every row, row after row, so that a kernel that works through a tile reads memory in order.

Activations are kept as planes, one for the input and one for the output of every layer. A plane
is `groups` x `vectors` x `SAMPLES` x `LANES` floats: of each group of samples vector 0 of every
sample, then vector 1 of every sample, and so on. After a sample's values comes its constant 1
(0 for a sample that only pads its group), then zeros.

The two heads of a variational encoder read the same layer, and are one packed layer: first the
nodes of the mean, padded with nodes of weight zero to whole vectors, then those of the
log-variance. The code drawn from them has a plane of its own, which the decoder reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Layer
from aes_lipi.engine.dense.compiled import inlined
from aes_lipi.engine.dense.simd import LANES

SAMPLES = 5
ROW_BLOCK = 2
TILE_VECTORS = 16
TILE_FLOATS = 8192

LAYER = np.dtype(
    [
        (name, np.int64)
        for name in (
            "n_in",  # inputs
            "n_out",  # nodes
            "wide_in",  # 1: a row per node; 0: a row per input and one of biases
            "rows",  # rows with a meaning
            "stored_rows",  # rows with padding to whole blocks of rows
            "vectors",  # of a row
            "tile",  # vectors of a row in a full tile
            "weights",  # where the layer starts in its packed network
            "source",  # where the plane it reads starts, for one group
            "source_vectors",  # vectors of a sample in that plane
            "target",  # where the plane it writes starts, for one group
            "target_vectors",  # vectors of a sample in that plane
            "rectified",  # 1: ReLU follows
            "gated",  # 1: reads what ReLU gives
            "sampled",  # 1: reads a code that is drawn from the layer before
            "node",  # of a part: where its nodes start among those of the packed layer
        )
    ],
    align=True,
)


def vectors_for(n: int) -> int:
    """Vectors that hold n floats."""
    return (n + LANES - 1) // LANES


@dataclass(frozen=True)
class Chain:
    """An architecture's layers, encoder then decoder, laid out for the kernels.

    Attributes:
        layers: one `LAYER` record per packed layer.
        n_encoder_layers: how many of them are the encoder's.
        encoder_parts: one per layer of the encoder's genome: the record of the packed layer that
            it is in, with `n_out` its own.
        decoder_parts: the same for the decoder.
        encoder_floats: floats of a packed encoder, with padding.
        decoder_floats: floats of a packed decoder, with padding.
        plane_floats: floats of all planes together, for one group.
    """

    layers: npt.NDArray[np.void]
    n_encoder_layers: int
    encoder_parts: npt.NDArray[np.void]
    decoder_parts: npt.NDArray[np.void]
    encoder_floats: int
    decoder_floats: int
    plane_floats: int

    @staticmethod
    def of(architecture: Architecture) -> Chain:
        """Lay out the layers of an architecture."""
        encoder, decoder = architecture.encoder.layers, architecture.decoder.layers
        if architecture.variational:
            encoder = (*encoder[:-2], _both_heads(encoder[-1]))
        layers = np.zeros(len(encoder) + len(decoder), LAYER)
        n, plane = len(encoder), 0
        for k, layer in enumerate((*encoder, *decoder)):
            if k == n and architecture.variational:
                layers[k]["sampled"] = 1
                plane += _plane_floats(layers[k - 1]["target_vectors"])
            plane = _describe(layers[k], layer, plane)
            layers[k]["gated"] = k > 0 and layers[k - 1]["rectified"]
        encoder_floats, decoder_floats = _place_weights(layers[:n]), _place_weights(layers[n:])
        return Chain(
            layers=layers,
            n_encoder_layers=n,
            encoder_parts=_parts(layers[:n], architecture.encoder.layers),
            decoder_parts=_parts(layers[n:], architecture.decoder.layers),
            encoder_floats=encoder_floats,
            decoder_floats=decoder_floats,
            plane_floats=plane + _plane_floats(layers[-1]["target_vectors"]),
        )


def _both_heads(head: Layer) -> Layer:
    """Both heads of a variational encoder as one layer."""
    n_out = vectors_for(head.n_out) * LANES + head.n_out
    return Layer("heads", head.n_in, n_out, "linear", head.reads)


def _plane_floats(vectors: Any) -> int:
    """Floats of a plane for one group."""
    return SAMPLES * LANES * int(vectors)


def _parts(packed: npt.NDArray[np.void], layers: tuple[Layer, ...]) -> npt.NDArray[np.void]:
    """Where each layer of a genome lies: see `Chain.encoder_parts`."""
    n_heads = len(layers) - len(packed) + 1  # 2 if the last packed layer is both heads, else 1
    parts = packed[[*range(len(packed) - 1), *[-1] * n_heads]]
    parts["n_out"] = [layer.n_out for layer in layers]
    parts["node"][-1] = (n_heads - 1) * vectors_for(layers[-1].n_out) * LANES
    return parts


def _describe(record: Any, layer: Layer, plane: int) -> int:
    """Fill in one layer's record, all but `weights`; return where the next plane starts."""
    wide_in = layer.n_in + 1 >= layer.n_out
    rows = layer.n_out if wide_in else layer.n_in + 1
    source_vectors, target_vectors = vectors_for(layer.n_in + 1), vectors_for(layer.n_out + 1)
    target = plane + _plane_floats(source_vectors)
    fitting = max(1, TILE_FLOATS // (rows * LANES))
    record["n_in"], record["n_out"], record["wide_in"] = layer.n_in, layer.n_out, wide_in
    record["rows"] = rows
    record["stored_rows"] = -(-rows // ROW_BLOCK) * ROW_BLOCK
    record["vectors"] = source_vectors if wide_in else target_vectors
    record["tile"] = min(TILE_VECTORS, record["vectors"], max(2, fitting))
    record["source"], record["source_vectors"] = plane, source_vectors
    record["target"], record["target_vectors"] = target, target_vectors
    record["rectified"] = layer.activation == "relu"
    return target


def _place_weights(layers: npt.NDArray[np.void]) -> int:
    """Put one network's layers one after another; return the floats they need."""
    floats = layers["stored_rows"] * layers["vectors"] * LANES
    layers["weights"] = np.cumsum(floats) - floats
    return int(floats.sum())


def aligned_zeros(size: int) -> Float32:
    """Float32 zeros that start at a cache line."""
    raw = np.zeros(size + 16, np.float32)
    start = (-raw.ctypes.data % 64) // 4
    return raw[start : start + size]


@inlined
def tile_place(layer: Any, first_vector: int) -> Any:
    """Where the tile that starts at a vector lies, from the start of the layer."""
    return first_vector * layer.stored_rows * LANES
