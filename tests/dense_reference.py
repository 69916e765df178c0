"""The dense engine's mathematics in plain numpy, in any precision: what kernels must compute."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from aes_lipi.autoencoders.environments import Architecture, Environment, build_architecture
from aes_lipi.autoencoders.network import Mask, Network, NetworkLayout
from aes_lipi.data.dataset import Dataset
from aes_lipi.engine.protocol import ADAM_BETAS, ADAM_EPSILON, Measure, TrainTask, Updates

Array = npt.NDArray[Any]


@dataclass
class ReferenceNetwork:
    """A network that moves, with what Adam keeps of it and what it was seen to do."""

    layout: NetworkLayout
    genome: Array
    mask: Mask | None
    first: Array
    second: Array
    steps: int = 0
    seen: list[Array] = field(default_factory=list)

    @staticmethod
    def of(network: Network, layout: NetworkLayout, dtype: Any) -> ReferenceNetwork:
        genome = network.genome.astype(dtype)
        return ReferenceNetwork(
            layout, genome, network.mask, np.zeros_like(genome), np.zeros_like(genome)
        )

    def forward(self, x: Array) -> list[Array]:
        """The input and every layer's recorded activation."""
        values = [x]
        for k, layer in enumerate(self.layout.layers):
            weight, bias = self._weight(k), self.genome[self.layout.bias_slice(k)]
            z = values[layer.reads + 1] @ weight.T + bias
            values.append(np.maximum(z, 0) if layer.activation == "relu" else z)
        return values

    def backward(self, values: list[Array], *deltas: Array) -> tuple[Array, Array]:
        """Gradient by the genome and by the input, from those by the last layers' logits."""
        gradient = np.zeros_like(self.genome)
        by_value = [np.zeros_like(v) for v in values]
        by_value[-len(deltas) :] = deltas
        for k, layer in reversed(list(enumerate(self.layout.layers))):
            delta = by_value[k + 1]
            if layer.activation == "relu":
                delta = delta * (values[k + 1] > 0)
            gradient[self.layout.weight_slice(k)] = (delta.T @ values[layer.reads + 1]).ravel()
            gradient[self.layout.bias_slice(k)] = delta.sum(axis=0)
            by_value[layer.reads + 1] += delta @ self._weight(k)
        return gradient, by_value[0]

    def move(self, gradient: Array, rate: float, kept: bool) -> None:
        """Adam's step."""
        self.steps += 1
        if kept:
            beta1, beta2 = ADAM_BETAS
            self.first = beta1 * self.first + (1 - beta1) * gradient
            self.second = beta2 * self.second + (1 - beta2) * gradient**2
            root = np.sqrt(self.second) / np.sqrt(1 - beta2**self.steps)
            change = rate / (1 - beta1**self.steps) * self.first / (root + ADAM_EPSILON)
        else:
            change = rate * gradient / (np.abs(gradient) + ADAM_EPSILON)
        self.genome = self.genome - (change if self.mask is None else change * self.mask)

    def _weight(self, k: int) -> Array:
        layer = self.layout.layers[k]
        return self.genome[self.layout.weight_slice(k)].reshape(layer.n_out, layer.n_in)


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e)).astype(z.dtype)


def reference_loss(
    architecture: Architecture,
    encoder: ReferenceNetwork,
    decoder: ReferenceNetwork,
    rows: Array,
    measure: Measure = "loss",
    *,
    noise: Array | float = 0.0,
) -> float:
    """Mean absolute error or negative ELBO of a pair, whose code may be drawn."""
    coded = encoder.forward(rows)
    z = decoder.forward(reference_code(architecture, coded, noise))[-1]
    if measure == "l1" or architecture.loss == "l1":
        return float(np.abs(sigmoid(z) - rows).mean())
    mean, log_variance = coded[-2:]
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance)
    return float((np.logaddexp(0, z) - z * rows).sum() + divergence.sum())


def reference_code(
    architecture: Architecture, coded: list[Array], noise: Array | float = 0.0
) -> Array:
    """What the decoder reads."""
    if not architecture.variational:
        return coded[-1]
    code: Array = coded[-2] + np.exp(coded[-1] / 2) * noise
    return code


def train_reference(
    architecture: Architecture, data: Array, task: TrainTask, dtype: Any = np.float64
) -> tuple[list[ReferenceNetwork], list[ReferenceNetwork]]:
    """Make a task's updates, one after the other."""
    encoders = [ReferenceNetwork.of(n, architecture.encoder, dtype) for n in task.encoders]
    decoders = [ReferenceNetwork.of(n, architecture.decoder, dtype) for n in task.decoders]
    kept = task.encoder_moments is not None
    updates = task.updates
    for s, slots in enumerate(updates.rows):
        target = data[slots[slots >= 0]].astype(dtype)
        x = target
        noise: Array = np.zeros((len(target), architecture.noise_width), dtype)
        if task.noise is not None:
            noise = np.asarray(task.noise.standard_normal(noise.shape, dtype=np.float32), dtype)
        if architecture.input_noise:
            x = target + np.asarray(
                architecture.input_noise * noise[:, : architecture.n_dim], dtype
            )
        encoder, decoder = encoders[updates.encoder[s]], decoders[updates.decoder[s]]
        coded = encoder.forward(x)
        code_noise = noise[:, -architecture.latent_size :] if architecture.variational else 0.0
        code = reference_code(architecture, coded, code_noise)
        decoded = decoder.forward(code)
        encoder.seen.append(np.concatenate(coded[1:], axis=1))
        decoder.seen.append(np.concatenate(decoded[1:], axis=1))
        y = sigmoid(decoded[-1])
        delta = np.sign(y - target) * y * (1 - y) / dtype(target.size)
        if architecture.loss == "negative_elbo":
            delta = y - target
        decoder_gradient, delta = decoder.backward(decoded, delta)
        deltas = [delta]
        if architecture.variational:
            mean, log_variance = coded[-2:]
            by_variance = (delta * (code - mean) + np.exp(log_variance) - 1) / 2
            deltas = [delta + mean, by_variance]
        encoder_gradient, _ = encoder.backward(coded, *deltas)
        encoder.move(encoder_gradient, updates.learning_rate[s], kept)
        decoder.move(decoder_gradient, updates.learning_rate[s], kept)
    return encoders, decoders


def make_architecture(
    n_dim: int,
    hidden: tuple[int, ...] = (30,),
    latent: int = 10,
    *,
    variational: bool = False,
    linear_code: bool = False,
) -> Architecture:
    environment = Environment(
        variational=variational,
        loss="negative_elbo" if variational else "l1",
        linear_code=linear_code,
    )
    return build_architecture(environment, n_dim, hidden, latent)


def clustered(n_rows: int, n_dim: int, seed: int = 0) -> npt.NDArray[np.float32]:
    """Noisy copies of ten binary centroids."""
    generator = np.random.default_rng(seed)
    centroids = generator.random((10, n_dim)) < 0.75
    rows = centroids[np.arange(n_rows) % 10] ^ (generator.random((n_rows, n_dim)) < 0.05)
    return rows.astype(np.float32)


def make_dataset(n_rows: int, n_dim: int) -> Dataset:
    return Dataset(
        "clustered",
        clustered(n_rows, n_dim, 0),
        clustered(max(3, n_rows // 3), n_dim, 1),
        clustered(max(2, n_rows // 4), n_dim, 2),
    )


def make_network(
    layout: NetworkLayout, generator: np.random.Generator, dead: float = 0.0
) -> Network:
    """A network started as torch does; a fraction `dead` of the weights is frozen at zero."""
    genome = np.empty(layout.size, np.float32)
    for k, layer in enumerate(layout.layers):
        bound = 1 / np.sqrt(layer.n_in)
        for part in (layout.weight_slice(k), layout.bias_slice(k)):
            genome[part] = generator.uniform(-bound, bound, part.stop - part.start)
    if not dead:
        return Network(genome)
    mask = generator.random(layout.size) >= dead
    return Network(genome * mask, mask)


def make_updates(
    generator: np.random.Generator,
    n_updates: int,
    batch: int,
    n_rows: int,
    *,
    n_encoders: int = 1,
    n_decoders: int = 1,
    rate: float = 1e-4,
    ragged: bool = False,
) -> Updates:
    """Random updates; with `ragged` every third batch is smaller."""
    rows = generator.integers(n_rows, size=(n_updates, batch)).astype(np.int32)
    if ragged:
        for s in range(0, n_updates, 3):
            rows[s, generator.integers(1, batch + 1) :] = -1
    return Updates(
        rows,
        generator.integers(n_encoders, size=n_updates).astype(np.int32),
        generator.integers(n_decoders, size=n_updates).astype(np.int32),
        generator.uniform(0.5 * rate, rate, n_updates),
    )
