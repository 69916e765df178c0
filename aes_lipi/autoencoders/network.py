"""Networks as values: a flat genome, and the layout that says where in it every weight lies.

A genome is one contiguous float32 vector. A `NetworkLayout` says which slice of it is which weight
matrix or bias vector, so that exchanging, checkpointing and pruning a network work on one array.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Flags, Float32, Float64

Activation = Literal["relu", "leaky_relu", "tanh", "gelu", "sigmoid", "linear"]
LEAK = 0.01
"""Slope of a leaky ReLU below zero."""

OUTPUT = "output"
"""Name of the layer whose nodes are the columns of the data."""

Mask = npt.NDArray[np.bool_]

_Float = TypeVar("_Float", np.float32, np.float64)


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

    def living_nodes(self, genome: Float32) -> Flags:
        """Which nodes have a weight, to or from them, or a bias that is not zero: (n_nodes,)."""
        living = np.zeros(self.n_nodes, dtype=np.bool_)
        slices = self.node_slices()
        for k, layer in enumerate(self.layers):
            weights = self.weight(genome, k)
            living[slices[k]] |= weights.any(axis=1) | (self.bias(genome, k) != 0)
            if layer.reads >= 0:
                living[slices[layer.reads]] |= weights.any(axis=0)
        return living

    def outputs(self, genome: Float32, x: Float32) -> list[Float32]:
        """The output of every layer for rows x of shape (rows, n_in): (rows, n_out) each."""
        outputs: list[Float32] = []
        for k, layer in enumerate(self.layers):
            source = x if layer.reads < 0 else outputs[layer.reads]
            value = source @ self.weight(genome, k).T + self.bias(genome, k)
            outputs.append(activate(layer.activation, value))
        return outputs


def chain(
    names: tuple[str, ...],
    sizes: tuple[int, ...],
    last: Activation,
    hidden: Activation = "relu",
) -> NetworkLayout:
    """A plain stack of dense layers.

    Args:
        names: one per layer.
        sizes: input width, then the width of every layer: one more than `names`.
        last: activation of the last layer.
        hidden: activation of the others.
    """
    activations = [hidden] * (len(names) - 1) + [last]
    return NetworkLayout(
        tuple(
            Layer(name, sizes[k], sizes[k + 1], activations[k], reads=k - 1)
            for k, name in enumerate(names)
        )
    )


def activate(activation: Activation, value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """What nodes put out for the weighted sums that reach them, in any shape."""
    return _ACTIVATIONS[activation](value)


def _relu(value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    rectified: npt.NDArray[_Float] = np.maximum(value, np.float32(0))
    return rectified


def _leaky_relu(value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    rectified: npt.NDArray[_Float] = np.where(value > 0, value, np.float32(LEAK) * value)
    return rectified


def _gelu(value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """X P(N(0, 1) < x) (Hendrycks and Gimpel, 2016)."""
    from scipy.special import ndtr  # noqa: PLC0415 - slow to import

    gated: npt.NDArray[_Float] = value * ndtr(value)
    return gated


def _sigmoid(value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    """The logistic function, without overflow for any finite value."""
    decay = np.exp(-np.abs(value))
    logistic: npt.NDArray[_Float] = np.where(value >= 0, np.float32(1), decay) / (1 + decay)
    return logistic


def _linear(value: npt.NDArray[_Float]) -> npt.NDArray[_Float]:
    return value


_ACTIVATIONS: Mapping[Activation, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    "relu": _relu,
    "leaky_relu": _leaky_relu,
    "tanh": np.tanh,
    "gelu": _gelu,
    "sigmoid": _sigmoid,
    "linear": _linear,
}


@dataclass(frozen=True)
class Network:
    """One encoder or decoder.

    Attributes:
        genome: flat weights, float32, shape (P,).
        mask: True where a weight is alive, False where pruning froze it at zero, shape (P,);
            None while nothing is frozen.
        n_pruned: zeros in the genome right after the last prune event of its line.
    """

    genome: Float32
    mask: Mask | None = None
    n_pruned: int = 0

    @property
    def size(self) -> int:
        """Entries of the genome."""
        return self.genome.size

    @property
    def is_masked(self) -> bool:
        """Whether any entry of the genome may be frozen."""
        return self.mask is not None

    @cached_property
    def n_zero(self) -> int:
        """Entries of the genome that are exactly zero."""
        return int(self.genome.size - np.count_nonzero(self.genome))

    @property
    def is_finite(self) -> bool:
        """Whether no entry of the genome is infinite or not a number."""
        return bool(np.isfinite(self.genome).all())

    def with_genome(self, genome: Float32) -> Network:
        """The same network with other weights."""
        return replace(self, genome=genome)


@dataclass(frozen=True)
class Pair:
    """An encoder and the decoder that belongs to it: the centre of a cell."""

    encoder: Network
    decoder: Network


def initial_genome(layout: NetworkLayout, rng: np.random.Generator) -> Float32:
    """Draw a genome as PyTorch initialises dense layers (algorithm section 2).

    Weights and biases of a layer are uniform in +-1/sqrt(fan_in).

    Returns:
        float32, shape (layout.size,).
    """
    genome = np.empty(layout.size, dtype=np.float32)
    for k, layer in enumerate(layout.layers):
        bound = 1.0 / np.sqrt(layer.n_in)
        for entries in (layout.weight_slice(k), layout.bias_slice(k)):
            genome[entries] = rng.uniform(-bound, bound, entries.stop - entries.start)
    return genome


@dataclass(frozen=True)
class ActivationStatistics:
    """Mean and spread of recorded activations, per batch slot and node, over the batches seen.

    Recorded is what a layer puts out, after its activation, but what reaches a sigmoid before it
    (algorithm section 5).

    Attributes:
        count: batches that had this slot, shape (B,).
        mean: shape (B, U), U the nodes of all layers in order.
        m2: sum of squared deviations from the mean, shape (B, U).
    """

    count: Float64
    mean: Float64
    m2: Float64

    @staticmethod
    def of_batch(activations: Float32, batch_size: int) -> ActivationStatistics:
        """The statistics of a single batch of at most `batch_size` rows, shape (rows, U)."""
        count = np.zeros(batch_size)
        mean = np.zeros((batch_size, activations.shape[1]))
        count[: len(activations)] = 1.0
        mean[: len(activations)] = activations
        return ActivationStatistics(count, mean, np.zeros_like(mean))

    def merged(self, other: ActivationStatistics) -> ActivationStatistics:
        """The statistics of both sets of batches together (Chan, Golub and LeVeque, 1979)."""
        count = self.count + other.count
        safe = np.maximum(count, 1.0)[:, None]
        delta = other.mean - self.mean
        mean = self.mean + delta * (other.count[:, None] / safe)
        m2 = self.m2 + other.m2 + delta**2 * (self.count * other.count)[:, None] / safe
        return ActivationStatistics(count, mean, m2)

    def standard_deviation(self) -> Float64:
        """Standard deviation over batches, shape (B, U); 0 for a slot never seen."""
        deviation: Float64 = np.sqrt(self.m2 / np.maximum(self.count, 1.0)[:, None])
        return deviation
