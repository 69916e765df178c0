"""What pruning made dead, taken out: a smaller pair that computes the same.

A node varies if a weight that is not zero leads to it from an input or from a node that varies; the
others have the same output for every row, what their activation makes of their bias. A node is read
if a weight that is not zero leads from it to an output or to a node that is read. Live are those
that vary and are read. All others go: what the constant ones add to the next layer is folded into
that layer's bias, and nothing depends on those that are not read. The code is a layer like the
others between the data and the reconstruction.

Every layer has live nodes or none has: a live node reads one and is read by one. So nothing is left
to take out afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from aes_lipi.arrays import Flags, Float32, Float64, Int64
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Layer, Network, NetworkLayout, Pair, activate


@dataclass(frozen=True)
class Compacted:
    """A compact pair, and what became of the original's nodes.

    A pair of which nothing is left keeps one placeholder node in every layer but the last: its
    weights and its bias are zero, it stands for no original node, and nothing reads it.

    Attributes:
        architecture: of the compact pair. It reads rows as wide as before; a variational encoder
            has become a plain one whose last layer is `mean`.
        pair: its weights, nothing frozen.
        kept: for every layer, those of the encoder first, the original indices of the nodes that
            are left, ascending, int64; all of the last layer's, and none for a placeholder.
        code: the original indices of the latent values that are left, int64, ascending.
        unread_inputs: columns of the data that no weight reads, int64, ascending.
        is_constant: whether the reconstruction is the same for all rows.
    """

    architecture: Architecture
    pair: Pair
    kept: tuple[Int64, ...]
    code: Int64
    unread_inputs: Int64
    is_constant: bool


@dataclass(frozen=True)
class _Dense:
    """One layer at work.

    Attributes:
        layer: its shape.
        weight: shape (n_out, n_in).
        bias: shape (n_out,).
    """

    layer: Layer
    weight: Float32
    bias: Float32


def compact(architecture: Architecture, pair: Pair) -> Compacted:
    """Take out every node that does nothing.

    Weights that stay keep their bits. Biases do where nothing is folded into them; constants are
    folded in float64, so that reconstructions and codes differ from the original's by rounding. Of
    a variational encoder only the mean is kept: it is the code, as for `encode`.

    A weight that is not finite counts as one that is not zero; what comes of it is undefined.

    Args:
        architecture: of the pair.
        pair: its weights. Zeros count, whether a mask holds them at zero or not.
    """
    layers = _chain(architecture, pair)
    edges = _edges(layers)
    varying = _varying(edges)
    live = [np.flatnonzero(flags) for flags in _live(edges, varying)]
    kept = [np.arange(architecture.n_dim), *live, np.arange(architecture.n_dim)]
    biases = _folded_biases(layers, edges, varying)
    smaller = [
        _selected(dense, bias, rows, columns)
        for dense, bias, (columns, rows) in zip(layers, biases, pairwise(kept), strict=True)
    ]
    n_encoder = len(layers) - len(architecture.decoder.layers)
    encoder, decoder = smaller[:n_encoder], smaller[n_encoder:]
    return Compacted(
        architecture=replace(
            architecture, encoder=_layout(encoder), decoder=_layout(decoder), variational=False
        ),
        pair=Pair(_network(encoder), _network(decoder)),
        kept=tuple(kept[1:]),
        code=live[n_encoder - 1],
        unread_inputs=np.flatnonzero(~edges[0][live[0]].any(axis=0)),
        is_constant=live[0].size == 0,
    )


def n_compact(architecture: Architecture, pair: Pair) -> int:
    """The parameters that `compact` leaves of a pair, without making the weights."""
    edges = _edges(_chain(architecture, pair))
    live = _live(edges, _varying(edges))
    widths = [max(1, int(np.count_nonzero(flags))) for flags in live]
    ends = architecture.n_dim
    return sum((n_in + 1) * n_out for n_in, n_out in pairwise([ends, *widths, ends]))


def _chain(architecture: Architecture, pair: Pair) -> list[_Dense]:
    """The layers from the data to the reconstruction: each reads the one before."""
    encoder = _layers(architecture.encoder, pair.encoder.genome)
    if architecture.variational:
        encoder = encoder[:-1]  # the log-variance, which matters to training alone
    return [*encoder, *_layers(architecture.decoder, pair.decoder.genome)]


def _layers(layout: NetworkLayout, genome: Float32) -> list[_Dense]:
    return [
        _Dense(layer, layout.weight(genome, k), layout.bias(genome, k))
        for k, layer in enumerate(layout.layers)
    ]


def _edges(layers: Sequence[_Dense]) -> list[Flags]:
    """For every layer, where its weights are not zero, shape (n_out, n_in)."""
    return [dense.weight != 0 for dense in layers]


def _varying(edges: Sequence[Flags]) -> list[Flags]:
    """For every layer but the last, which nodes vary with the data, shape (n_out,)."""
    varying: list[Flags] = []
    for matrix in edges[:-1]:
        read = matrix & varying[-1] if varying else matrix
        varying.append(np.any(read, axis=1))
    return varying


def _live(edges: Sequence[Flags], varying: Sequence[Flags]) -> list[Flags]:
    """For every layer but the last, which of the nodes that vary are read, shape (n_out,)."""
    live: list[Flags] = []
    for matrix, varies in zip(edges[:0:-1], varying[::-1], strict=True):
        readers = matrix[live[-1]] if live else matrix
        live.append(varies & np.any(readers, axis=0))
    return live[::-1]


def _folded_biases(
    layers: Sequence[_Dense], edges: Sequence[Flags], varying: Sequence[Flags]
) -> list[Float64]:
    """For every layer, its bias and what constant nodes before it add to it, shape (n_out,)."""
    biases = [layers[0].bias.astype(np.float64)]
    for k in range(1, len(layers)):
        folded = ~varying[k - 1] & edges[k].any(axis=0)
        bias = layers[k].bias.astype(np.float64)
        if folded.any():  # adding nothing would lose the sign of a zero
            with np.errstate(over="ignore", invalid="ignore"):  # of what is not finite
                constants = activate(layers[k - 1].layer.activation, biases[-1][folded])
                bias += layers[k].weight[:, folded].astype(np.float64) @ constants
        biases.append(bias)
    return biases


def _selected(dense: _Dense, bias: Float64, rows: Int64, columns: Int64) -> _Dense:
    """A layer of some of its nodes, reading some columns; zeros where none is selected."""
    n_out, n_in = max(1, rows.size), max(1, columns.size)
    weight, values = np.zeros((n_out, n_in), np.float32), np.zeros(n_out, np.float32)
    weight[: rows.size, : columns.size] = dense.weight[np.ix_(rows, columns)]
    with np.errstate(over="ignore"):
        values[: rows.size] = bias[rows]
    return _Dense(replace(dense.layer, n_in=n_in, n_out=n_out), weight, values)


def _layout(layers: Sequence[_Dense]) -> NetworkLayout:
    return NetworkLayout(tuple(dense.layer for dense in layers))


def _network(layers: Sequence[_Dense]) -> Network:
    parts = [part for dense in layers for part in (dense.weight.ravel(), dense.bias)]
    return Network(np.concatenate(parts))
