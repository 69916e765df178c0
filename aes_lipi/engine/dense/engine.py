"""The dense engine: what the engine protocol asks for, put to the kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from aes_lipi.arrays import Float32, Float64, Int32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Layer, Pair
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.engine.dense import evaluation, training
from aes_lipi.engine.dense.memory import Memory, read_only
from aes_lipi.engine.dense.output import CROSS_ENTROPY, L1
from aes_lipi.engine.dense.scratch import Scratch
from aes_lipi.engine.dense.tiles import Weights
from aes_lipi.engine.protocol import (
    Activations,
    ActivationsTask,
    ActivationStatistics,
    EvaluateTask,
    Measure,
    Moments,
    OnHost,
    Trained,
    TrainTask,
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
    same in every process on the same kind of processor. An engine keeps memory to work in, so it
    must not be used by two threads at once.

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
                " or variational ones with the negative ELBO; use the autograd engine for this"
                " architecture"
            )
            raise ValueError(msg)
        self._architecture = architecture
        self._batch_size = batch_size
        self._dataset = dataset
        self._loss = L1 if architecture.loss == "l1" else CROSS_ENTROPY
        self._memory = Memory(architecture)
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
        return [self._batch_losses(pair, split, loss) for pair in pairs]

    def activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        """Recorded activations of every pair; see `Engine.activations`."""
        return [self._activations(task.pair, task.split, task.rows) for task in tasks]

    def _train(self, task: TrainTask) -> Trained:
        moments = _joined(task.encoder_moments, task.decoder_moments)
        plan = _plan(task, moments)
        memory, n_encoders = self._memory, len(task.encoders)
        weights = memory.packed(task.encoders, task.decoders, moments)
        scratch = memory.scratch(plan.rows.shape[1])
        n_observed = len(plan.masked) if task.observe else 0
        statistics = memory.statistics(n_observed, plan.rows.shape[1], scratch)
        for first, stop, noise in self._noise(plan.rows, task.noise):
            training.train(
                memory.chain.layers,
                memory.chain.n_encoder_layers,
                self._loss,
                memory.sizes(n_encoders),
                weights,
                plan,
                scratch,
                statistics,
                self._rows("train"),
                noise,
                np.float32(self._architecture.input_noise),
                first,
                stop,
            )
        return self._trained(task, plan, weights, scratch, statistics)

    def _trained(
        self,
        task: TrainTask,
        plan: training.Plan,
        weights: Weights,
        scratch: Scratch,
        statistics: training.Statistics,
    ) -> Trained:
        """Take the answer for a task out of memory."""
        n_encoders, n_networks = len(task.encoders), len(plan.masked)
        before = (*task.encoders, *task.decoders)
        genomes = self._memory.unpacked(weights.values, n_encoders, n_networks)
        networks = [n.with_genome(g) for n, g in zip(before, genomes, strict=True)]
        moments: list[Moments] | None = None
        if plan.kept:
            first = self._memory.unpacked(weights.first, n_encoders, n_networks)
            second = self._memory.unpacked(weights.second, n_encoders, n_networks)
            moments = [
                Moments(f, s, int(t)) for f, s, t in zip(first, second, plan.steps, strict=True)
            ]
        observed: list[ActivationStatistics] | None = None
        if task.observe:
            observed = self._memory.unpacked_statistics(statistics, scratch, n_encoders)
        return Trained(
            tuple(networks[:n_encoders]),
            tuple(networks[n_encoders:]),
            *_split(moments, n_encoders),
            *_split(observed, n_encoders),
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

    def _loss_matrix(self, task: EvaluateTask) -> Float64:
        losses = np.empty((len(task.encoders), len(task.decoders)))
        evaluation.loss_matrix(
            self._memory.chain.layers,
            self._memory.chain.n_encoder_layers,
            self._loss,
            self._memory.sizes(len(task.encoders)),
            self._memory.packed(task.encoders, task.decoders).values,
            self._memory.scratch(1),
            self._rows(task.split),
            np.array(task.rows, np.int64),
            losses,
        )
        return losses

    def _batch_losses(self, pair: Pair, split: Split, loss: int) -> Float64:
        rows = self._rows(split)
        losses = np.empty(-(-len(rows) // self._batch_size))
        evaluation.batch_losses(
            self._memory.chain.layers,
            self._memory.chain.n_encoder_layers,
            loss,
            self._memory.sizes(1),
            self._memory.packed((pair.encoder,), (pair.decoder,)).values,
            self._memory.scratch(1),
            rows,
            self._batch_size,
            losses,
        )
        return losses

    def _activations(self, pair: Pair, split: Split, rows: Int32) -> Activations:
        encoder = np.empty((len(rows), self._architecture.encoder.n_nodes), np.float32)
        decoder = np.empty((len(rows), self._architecture.decoder.n_nodes), np.float32)
        evaluation.activations(
            self._memory.chain.layers,
            self._memory.chain.n_encoder_layers,
            self._memory.chain.encoder_parts,
            self._memory.chain.decoder_parts,
            self._memory.sizes(1),
            self._memory.packed((pair.encoder,), (pair.decoder,)).values,
            self._memory.scratch(1),
            self._rows(split),
            np.array(rows, np.int64),
            encoder,
            decoder,
        )
        return Activations(encoder, decoder)

    def _rows(self, split: Split) -> Float32:
        """Rows of a split as kernels expect them, seldom a copy."""
        if split not in self._splits:
            self._splits[split] = read_only(self._dataset.split(split))
        return self._splits[split]


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


def _plan(task: TrainTask, moments: tuple[Moments, ...] | None) -> training.Plan:
    """The updates of a task in arrays of the kernels' own types."""
    networks, updates = (*task.encoders, *task.decoders), task.updates
    steps = [0] * len(networks) if moments is None else [m.steps for m in moments]
    return training.Plan(
        rows=np.array(updates.rows, np.int32, order="C"),
        encoder=np.array(updates.encoder, np.int64),
        decoder=np.array(updates.decoder, np.int64),
        rate=np.array(updates.learning_rate, np.float64),
        steps=np.array(steps, np.int64),
        masked=np.array([network.mask is not None for network in networks], np.int64),
        kept=int(moments is not None),
        observe=int(task.observe),
    )
