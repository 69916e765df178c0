"""The dense engine: what the engine protocol asks for, put to the kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TypeVar

import numpy as np

from aes_lipi.arrays import Float32, Float64, Int32
from aes_lipi.autoencoders.environments import Architecture, Environment, build_architecture
from aes_lipi.autoencoders.network import Layer, Network, Pair
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.engine.dense.kernels import run_batches
from aes_lipi.engine.dense.losses import CROSS_ENTROPY, L1
from aes_lipi.engine.dense.memory import Memory, read_only
from aes_lipi.engine.dense.records import Batches, Networks, Statistics
from aes_lipi.engine.protocol import (
    Activations,
    ActivationsTask,
    EvaluateTask,
    Measure,
    Moments,
    OnHost,
    Trained,
    TrainTask,
    Updates,
)

NOISE_FLOATS = 1 << 18


def fits(architecture: Architecture) -> bool:
    """Whether the dense engine can train this architecture.

    It can if the layers are a plain chain, ReLU after all but the last, which has a sigmoid and as
    many nodes as the data has dimensions, and the loss is L1; the same with a linear code; or with
    two linear heads in place of the code's layer, and the negative ELBO.
    """
    variational = architecture.variational
    encoder = architecture.encoder.layers
    trunk, heads = (encoder[:-2], encoder[-2:]) if variational else (encoder, ())
    *hidden, output = (*trunk, *architecture.decoder.layers)
    code = len(trunk) - 1 if not variational else None
    return (
        _chained(trunk)
        and _chained(architecture.decoder.layers)
        and all(
            layer.activation == "relu" or (k == code and layer.activation == "linear")
            for k, layer in enumerate(hidden)
        )
        and (not variational or _are_heads(heads, len(trunk) - 1, architecture.latent_size))
        and output.activation == "sigmoid"
        and output.n_out == architecture.n_dim
        and architecture.loss == ("negative_elbo" if variational else "l1")
    )


def _chained(layers: Sequence[Layer]) -> bool:
    """Whether every layer reads the one before it."""
    return all(layer.reads == k - 1 for k, layer in enumerate(layers))


def _are_heads(heads: Sequence[Layer], reads: int, latent_size: int) -> bool:
    """Whether there are two linear layers as wide as the code that read layer `reads`."""
    expected = ("linear", reads, latent_size)
    return len(heads) == 2 and all(
        (head.activation, head.reads, head.n_out) == expected for head in heads
    )


class DenseEngine(OnHost):
    """Trains chains of dense layers on the CPU at the speed of the arithmetic.

    A task's answer does not depend on other tasks or earlier calls, to the last bit, and is the
    same on every processor that kernels are compiled for; see `target.target_name`. An engine keeps
    memory to work in, so it must not be used by two threads at once.

    Args:
        architecture: what is trained; see `fits`.
        dataset: rows to train and evaluate on.
        batch_size: rows of a batch in `batch_losses`.

    Raises:
        ValueError: if the architecture is not one that `fits`.
    """

    name = "dense"
    device = "cpu"

    def __init__(self, architecture: Architecture, dataset: Dataset, batch_size: int) -> None:
        if not fits(architecture):
            msg = (
                "the dense engine trains chains of ReLU layers with a sigmoid output and L1 loss,"
                " or variational ones with the negative ELBO; use the engine torch for this"
                " architecture"
            )
            raise ValueError(msg)
        self._architecture = architecture
        self._batch_size = batch_size
        self._dataset = dataset
        self._loss = L1 if architecture.loss == "l1" else CROSS_ENTROPY
        self._memory = Memory(architecture, batch_size)
        self._splits: dict[Split, Float32] = {}

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Make every task's updates; see `Engine.train`."""
        return [self._train(task) for task in tasks]

    def loss_matrices(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        """Loss of encoder i with decoder j, per task; see `Engine.loss_matrices`."""
        return [self._loss_matrix(task) for task in tasks]

    def batch_losses(self, pairs: Sequence[Pair], split: Split, measure: Measure) -> list[Float64]:
        """Loss or L1 of every batch, per pair; see `Engine.batch_losses`."""
        loss = self._loss if measure == "loss" else L1
        n_rows = len(self._rows(split))
        rows = np.full(-(-n_rows // self._batch_size) * self._batch_size, -1, np.int32)
        rows[:n_rows] = np.arange(n_rows)
        batches = _evaluation(rows.reshape(-1, self._batch_size), [(0, 1)], loss)
        return [
            self._losses(self._memory.packed((pair.encoder,), (pair.decoder,)), batches, split)
            for pair in pairs
        ]

    def activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        """Recorded activations of every pair; see `Engine.activations`."""
        return [self._activations(task) for task in tasks]

    def _train(self, task: TrainTask) -> Trained:
        moments = _joined(task.encoder_moments, task.decoder_moments)
        nets = self._memory.packed(task.encoders, task.decoders, moments)
        batches = _training(task, self._loss)
        n_networks, slots = len(nets.steps), batches.rows.shape[1]
        seen = self._memory.statistics(n_networks if task.observe else 0, slots)
        for first, stop, noise in self._noise(batches.rows, task.noise):
            self._perform(nets, batches, seen, np.empty(0), "train", noise, first, stop)
        n = len(task.encoders)
        networks = (*task.encoders, *task.decoders)
        trained = [
            network.with_genome(genome)
            for network, genome in zip(
                networks, self._memory.unpacked(nets.values, nets, n), strict=True
            )
        ]
        kept: list[Moments] | None = None
        if moments is not None:
            both = (self._memory.unpacked(part, nets, n) for part in (nets.first, nets.second))
            kept = [Moments(m, v, int(t)) for m, v, t in zip(*both, nets.steps, strict=True)]
        return Trained(
            tuple(trained[:n]),
            tuple(trained[n:]),
            *_split(kept, n),
            *_split(self._memory.observed(seen, n) if task.observe else None, n),
        )

    def _loss_matrix(self, task: EvaluateTask) -> Float64:
        n_encoders, n_decoders = len(task.encoders), len(task.decoders)
        pairs = list(product(range(n_encoders), range(n_encoders, n_encoders + n_decoders)))
        batches = _evaluation(np.tile(task.rows, (len(pairs), 1)), pairs, self._loss)
        batches.repeats[:] = np.arange(len(pairs)) % n_decoders > 0
        nets = self._memory.packed(task.encoders, task.decoders)
        return self._losses(nets, batches, task.split).reshape(n_encoders, n_decoders)

    def _losses(self, nets: Networks, batches: Batches, split: Split) -> Float64:
        losses = np.empty(len(batches.rows))
        self._perform(nets, batches, self._memory.statistics(0, 0), losses, split)
        return losses

    def _activations(self, task: ActivationsTask) -> Activations:
        nets = self._memory.packed((task.pair.encoder,), (task.pair.decoder,))
        parts: list[tuple[Float32, Float32]] = []
        for first in range(0, max(1, len(task.rows)), self._batch_size):
            rows = task.rows[first : first + self._batch_size]
            self._losses(nets, _evaluation(rows[None], [(0, 1)], self._loss), task.split)
            values, capacity = self._memory.scratch.values, self._memory.scratch.capacity
            nodes = [self._memory.packing.nodes(k, values, capacity, len(rows)) for k in (0, 1)]
            parts.append((nodes[0], nodes[1]))
        encoder, decoder = (np.concatenate(part) for part in zip(*parts, strict=True))
        return Activations(encoder, decoder)

    def _perform(
        self,
        nets: Networks,
        batches: Batches,
        seen: Statistics,
        losses: Float64,
        split: Split,
        noise: Float32 | None = None,
        first: int = 0,
        stop: int | None = None,
    ) -> None:
        """Have the kernels take the batches `first` to `stop` of a list, by default all."""
        self._memory.make_room(batches.rows.shape[1])
        run_batches(
            self._memory.packing.chain,
            nets,
            batches,
            self._memory.scratch,
            seen,
            losses,
            self._rows(split),
            read_only(np.empty((0, 0)) if noise is None else noise),
            first,
            len(batches.rows) if stop is None else stop,
        )

    def _noise(
        self, rows: Int32, generator: np.random.Generator | None
    ) -> Iterator[tuple[int, int, Float32]]:
        """The noise of all updates in order, a bounded piece at a time: first, stop, values."""
        width, n_updates = self._architecture.noise_width, len(rows)
        if generator is None or not width:
            yield 0, n_updates, np.empty((0, width), np.float32)
            return
        piece = max(1, NOISE_FLOATS // (width * rows.shape[1]))
        for first in range(0, n_updates, piece):
            stop = min(first + piece, n_updates)
            n_rows = int((rows[first:stop] >= 0).sum())
            yield first, stop, generator.standard_normal((n_rows, width), dtype=np.float32)

    def _rows(self, split: Split) -> Float32:
        """LayerRows of a split as kernels expect them, seldom a copy."""
        if split not in self._splits:
            self._splits[split] = read_only(self._dataset.split(split))
        return self._splits[split]


def compile_kernels() -> None:
    """Compile the kernels, or load them from the cache.

    They are compiled once for all architectures, so the smallest will do.
    """
    architecture = build_architecture(Environment(), 2, (), 1)
    rows = np.zeros((1, 2), np.float32)
    engine = DenseEngine(architecture, Dataset("", rows, rows, rows), batch_size=1)
    encoder = Network(np.zeros(architecture.encoder.size, np.float32))
    decoder = Network(np.zeros(architecture.decoder.size, np.float32))
    first = np.zeros(1, np.int32)
    engine.train(
        [TrainTask((encoder,), (decoder,), Updates(first[None], first, first, np.zeros(1)))]
    )


def _training(task: TrainTask, loss: int) -> Batches:
    """The updates of a task in arrays of the kernels' own types."""
    updates = task.updates
    return Batches(
        rows=np.array(updates.rows, np.int32, order="C"),
        encoder=np.array(updates.encoder, np.int64),
        decoder=np.array(updates.decoder, np.int64) + len(task.encoders),
        rate=np.array(updates.learning_rate, np.float64),
        repeats=np.zeros(len(updates.rows), np.int64),
        trains=1,
        loss=loss,
        kept=int(task.encoder_moments is not None),
        observe=int(task.observe),
    )


def _evaluation(rows: Int32, pairs: Sequence[tuple[int, int]], loss: int) -> Batches:
    """The loss of each pair of networks, or of one, on each batch of rows."""
    chosen = np.empty((len(rows), 2), np.int64)
    chosen[:] = pairs
    encoder, decoder = chosen.T.copy()
    return Batches(
        rows=np.array(rows, np.int32, order="C"),
        encoder=encoder,
        decoder=decoder,
        rate=np.zeros(len(rows)),
        repeats=np.zeros(len(rows), np.int64),
        trains=0,
        loss=loss,
        kept=0,
        observe=0,
    )


_Value = TypeVar("_Value")


def _joined(
    encoders: tuple[Moments, ...] | None, decoders: tuple[Moments, ...] | None
) -> tuple[Moments, ...] | None:
    return None if encoders is None or decoders is None else (*encoders, *decoders)


def _split(
    values: list[_Value] | None, n_encoders: int
) -> tuple[tuple[_Value, ...] | None, tuple[_Value, ...] | None]:
    if values is None:
        return None, None
    return tuple(values[:n_encoders]), tuple(values[n_encoders:])
