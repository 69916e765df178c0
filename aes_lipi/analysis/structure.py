"""The structure of a trained pair: which weights and nodes are gone, which nodes are silent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Flags, Float32
from aes_lipi.autoencoders.network import Activation, NetworkLayout
from aes_lipi.models.model import Model


@dataclass(frozen=True)
class Activity:
    """What the nodes of a layer did on some rows.

    Attributes:
        mean: of their outputs, float32, shape (nodes,).
        spread: standard deviation of their outputs, float32, shape (nodes,).
        active: share of the rows in which the output was not zero, float32, shape (nodes,).
    """

    mean: Float32
    spread: Float32
    active: Float32


@dataclass(frozen=True)
class LayerStructure:
    """One layer of an encoder or decoder.

    Attributes:
        network: `encoder` or `decoder`.
        name: of the layer.
        activation: of its nodes.
        weights: float32, shape (nodes, inputs).
        constant: nodes without an incoming weight that is not zero: their output is the same for
            all rows; shape (nodes,).
        unread: nodes without an outgoing weight that is not zero: their output changes nothing;
            shape (nodes,). What no layer reads, the last layer's output or a log-variance, is never
            counted as unread.
        activity: on the rows given; None without rows.
    """

    network: str
    name: str
    activation: Activation
    weights: Float32
    constant: Flags
    unread: Flags
    activity: Activity | None

    @property
    def gone(self) -> Flags:
        """Nodes that tell nothing: constant or unread, shape (nodes,)."""
        return self.constant | self.unread

    @property
    def silent(self) -> Flags:
        """ReLU nodes that were active in none of the rows, shape (nodes,); none without rows."""
        if self.activity is None or self.activation != "relu":
            return np.zeros(len(self.weights), dtype=np.bool_)
        silent: Flags = self.activity.active == 0
        return silent

    @property
    def zeros(self) -> npt.NDArray[np.int64]:
        """Incoming weights of every node that are exactly zero, shape (nodes,)."""
        counts: npt.NDArray[np.int64] = (self.weights == 0).sum(axis=1)
        return counts


def structure_of(model: Model, rows: Float32 | None = None) -> tuple[LayerStructure, ...]:
    """The layers of a model's pair, those of the encoder first.

    Args:
        model: a trained pair.
        rows: data on which to watch the nodes, float32 in [0, 1], shape (rows, n_dim).

    Raises:
        ValueError: rows are not of that shape, or there is none.
    """
    encoder, decoder = model.architecture.encoder, model.architecture.decoder
    code = None if rows is None else model.encode(rows)
    if rows is not None and not len(rows):
        raise ValueError("expected at least one row")
    read_of_code = decoder.weight(model.pair.decoder.genome, 0)
    code_layer = len(encoder.layers) - (2 if model.architecture.variational else 1)
    return (
        *_layers("encoder", encoder, model.pair.encoder.genome, rows, {code_layer: read_of_code}),
        *_layers("decoder", decoder, model.pair.decoder.genome, code, {}),
    )


def _layers(
    network: str,
    layout: NetworkLayout,
    genome: Float32,
    x: Float32 | None,
    readers: dict[int, Float32],
) -> list[LayerStructure]:
    """The layers of one network.

    Args:
        network: its name.
        layout: of its genome.
        genome: its weights.
        x: what it reads, float32, shape (rows, n_in).
        readers: by layer, weights outside of this network that read the layer's output.
    """
    outputs = None if x is None else layout.outputs(genome, np.asarray(x, np.float32))
    found = []
    for k, layer in enumerate(layout.layers):
        reading = [
            layout.weight(genome, j) for j, other in enumerate(layout.layers) if other.reads == k
        ]
        reading += [readers[k]] if k in readers else []
        weights = layout.weight(genome, k)
        found.append(
            LayerStructure(
                network=network,
                name=layer.name,
                activation=layer.activation,
                weights=weights,
                constant=_without_weights([weights.T], layer.n_out),
                unread=_without_weights(reading, layer.n_out),
                activity=None if outputs is None else _activity(outputs[k]),
            )
        )
    return found


def _without_weights(matrices: list[Float32], n_nodes: int) -> Flags:
    """Which columns are zero in all matrices, shape (nodes,); none if there are no matrices."""
    if not matrices:
        return np.zeros(n_nodes, dtype=np.bool_)
    empty: Flags = np.all([~np.any(weights, axis=0) for weights in matrices], axis=0)
    return empty


def _activity(outputs: Float32) -> Activity:
    return Activity(
        mean=outputs.mean(axis=0),
        spread=outputs.std(axis=0),
        active=(outputs != 0).mean(axis=0, dtype=np.float32),
    )
