"""Where every weight of a network lies in its flat genome.

A genome is one contiguous float32 vector. A `NetworkLayout` says which slice of it is which weight
matrix or bias vector, so that exchanging, checkpointing and pruning a network work on one array.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from aes_lipi.arrays import Float32

Activation = Literal["relu", "sigmoid", "linear"]


@dataclass(frozen=True)
class Layer:
    """One dense layer: `activation(W x + b)` with W of shape (n_out, n_in).

    Attributes:
        name: unique within its network, also the name of its torch submodule.
        n_in: width of what it reads.
        n_out: number of its nodes.
        activation: applied to its output.
        reads: index of the layer whose output it reads; -1 is the input of the network.
    """

    name: str
    n_in: int
    n_out: int
    activation: Activation
    reads: int

    @property
    def n_weights(self) -> int:
        """Entries of the weight matrix."""
        return self.n_in * self.n_out

    @property
    def size(self) -> int:
        """Entries of weight matrix and bias."""
        return self.n_weights + self.n_out


@dataclass(frozen=True)
class NetworkLayout:
    """The layers of one network and their places in its genome.

    Layer after layer, each weight matrix in row-major order and then its bias: the order of
    `torch.nn.Module.parameters()` of the module made from it.
    """

    layers: tuple[Layer, ...]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each layer starts in the genome."""
        ends = np.cumsum([layer.size for layer in self.layers])
        return (0, *(int(end) for end in ends[:-1]))

    @property
    def size(self) -> int:
        """Entries of the genome."""
        return sum(layer.size for layer in self.layers)

    @property
    def n_in(self) -> int:
        """Width of the network's input."""
        return self.layers[0].n_in

    @property
    def n_out(self) -> int:
        """Width of the network's (last layer's) output."""
        return self.layers[-1].n_out

    @property
    def n_nodes(self) -> int:
        """Nodes of all layers: the width of a recorded activation row."""
        return sum(layer.n_out for layer in self.layers)

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """Widths of the layers whose output another layer reads."""
        read = {layer.reads for layer in self.layers}
        return tuple(layer.n_out for k, layer in enumerate(self.layers) if k in read)

    def weight_slice(self, k: int) -> slice:
        """Where layer k's weight matrix lies in the genome."""
        start = self.offsets[k]
        return slice(start, start + self.layers[k].n_weights)

    def bias_slice(self, k: int) -> slice:
        """Where layer k's bias lies in the genome."""
        start = self.offsets[k] + self.layers[k].n_weights
        return slice(start, start + self.layers[k].n_out)

    def tensor_slices(self) -> Iterator[slice]:
        """The slice of every weight and bias tensor, in genome order."""
        for k in range(len(self.layers)):
            yield self.weight_slice(k)
            yield self.bias_slice(k)

    def node_slices(self) -> tuple[slice, ...]:
        """The slice of every layer's nodes in a recorded activation row of `n_nodes` values."""
        ends = np.cumsum([layer.n_out for layer in self.layers])
        return tuple(
            slice(int(end) - layer.n_out, int(end))
            for layer, end in zip(self.layers, ends, strict=True)
        )

    def weight(self, genome: Float32, k: int) -> Float32:
        """View of layer k's weight matrix, shape (n_out, n_in)."""
        layer = self.layers[k]
        return genome[self.weight_slice(k)].reshape(layer.n_out, layer.n_in)

    def bias(self, genome: Float32, k: int) -> Float32:
        """View of layer k's bias, shape (n_out,)."""
        return genome[self.bias_slice(k)]


def chain(names: tuple[str, ...], sizes: tuple[int, ...], last: Activation) -> NetworkLayout:
    """A plain stack of dense layers, ReLU between them.

    Args:
        names: one per layer.
        sizes: input width, then the width of every layer: one more than `names`.
        last: activation of the last layer.
    """
    hidden: list[Activation] = ["relu"] * (len(names) - 1)
    activations = [*hidden, last]
    return NetworkLayout(
        tuple(
            Layer(name, sizes[k], sizes[k + 1], activations[k], reads=k - 1)
            for k, name in enumerate(names)
        )
    )
