"""The dense engine: what the engine protocol asks for, put to the kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

import numpy as np

from aes_lipi.arrays import Float32, Float64, Int32
from aes_lipi.autoencoders.environments import (
    OF_PROBABILITIES,
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Layer, Network, Pair
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.engine.dense.activations import HIDDEN
from aes_lipi.engine.dense.kernels import run_batches
from aes_lipi.engine.dense.layout import ALL_ALIKE, Batches, Networks, Statistics
from aes_lipi.engine.dense.losses import LOSSES
from aes_lipi.engine.dense.memory import NOTHING_SEEN, Memory, read_only
from aes_lipi.engine.dense.narrowing import narrowing
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
WORK = 1 << 28
"""Products and what is as long: some 0.05 seconds, after which a kernel comes back, so that signals
and other threads are heard. Only a single batch that has more of them takes longer."""
_OF_A_ROW = 1 << 13
_NO_NOISE = read_only(np.empty((0, 0)))
_NO_LOSSES = np.empty(0)


def fits(architecture: Architecture) -> bool:
    """Whether the dense engine can train this architecture.

    It can if the layers are a plain chain, each with one of the hidden activations but the last,
    whose output is a sigmoid or linear and as wide as the data, and the loss is built in; the same
    with a linear code; or with two linear heads in place of the code's layer, and the negative
    ELBO.
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
            layer.activation in HIDDEN or (k == code and layer.activation == "linear")
            for k, layer in enumerate(hidden)
        )
        and (not variational or _are_heads(heads, len(trunk) - 1, architecture.latent_size))
        and output.activation in ("sigmoid", "linear")
        and output.n_out == architecture.n_dim
        and architecture.loss in LOSSES
        and (architecture.loss == "negative_elbo") == variational
        and (output.activation == "sigmoid" or architecture.loss not in OF_PROBABILITIES)
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
    same on every processor that kernels are compiled for; see `processor.target_name`. An engine
    keeps memory to work in, so it must not be used by two threads at once.

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
                "the dense engine trains chains of layers with a built-in loss, or variational ones"
                " with the negative ELBO; use the engine torch for this architecture"
            )
            raise ValueError(msg)
        self._architecture = architecture
        self._batch_size = batch_size
        self._dataset = dataset
        self._loss = LOSSES[architecture.loss]
        self._memory = Memory(architecture, batch_size)
        self._splits: dict[Split, Float32] = {}
        weights = dataset.weights
        self._weights = ALL_ALIKE if weights is None else np.array(weights, np.float32)
        self._narrow: DenseEngine | None = None

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Make every task's updates; see `Engine.train`."""
        return [self._trained(task) for task in tasks]

    def loss_matrices(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        """Loss of encoder i with decoder j, per task; see `Engine.loss_matrices`."""
        matrices = []
        for task in tasks:
            shape = len(task.encoders), len(task.decoders)
            weights = self._weights if task.split == "train" else ALL_ALIKE
            batches = _evaluation(task.rows[None], *shape, self._loss, weights)
            nets = self._memory.packed(_numbered(task))
            losses = self._measured(nets, batches, task.split, task.code_noise)
            matrices.append(losses.reshape(shape))
        return matrices

    def batch_losses(
        self,
        pairs: Sequence[Pair],
        split: Split,
        measure: Measure,
        order: Int32 | None = None,
        code_noise: Sequence[Float32 | None] | None = None,
    ) -> list[Float64]:
        """A measure of every batch, per pair; see `Engine.batch_losses`."""
        n_rows = len(self._rows(split))
        rows = np.full(-(-n_rows // self._batch_size) * self._batch_size, -1, np.int32)
        rows[:n_rows] = np.arange(n_rows) if order is None else order
        loss = self._loss if measure == "loss" else LOSSES[measure]
        batches = _evaluation(rows.reshape(-1, self._batch_size), 1, 1, loss)
        noise: Sequence[Float32 | None] = code_noise or [None] * len(pairs)
        return [
            self._measured(self._packed(pair), batches, split, each)
            for pair, each in zip(pairs, noise, strict=True)
        ]

    def _measured(
        self, nets: Networks, batches: Batches, split: Split, code_noise: Float32 | None
    ) -> Float64:
        """The loss of each batch."""
        losses = np.empty(len(batches.encoder))
        noise = _NO_NOISE
        if code_noise is not None:
            noise = read_only(code_noise.reshape(-1, code_noise.shape[-1]))
        self._perform(nets, batches, split, noise=noise, losses=losses)
        return losses

    def activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        """Recorded activations of every pair; see `Engine.activations`."""
        return [self._activations(task) for task in tasks]

    def _trained(self, task: TrainTask) -> Trained:
        """Train a task's networks, without the nodes that pruning has frozen dead."""
        narrowed = narrowing(self._architecture, task)
        if narrowed is None:
            return self._train(task)
        if self._narrow is None or self._narrow._architecture != narrowed.architecture:
            self._narrow = DenseEngine(narrowed.architecture, self._dataset, self._batch_size)
        return narrowed.widen(task, self._narrow._train(narrowed.narrow(task)))

    def _train(self, task: TrainTask) -> Trained:
        memory, n = self._memory, len(task.encoders)
        networks = _numbered(task)
        moments = _joined(task.encoder_moments, task.decoder_moments)
        nets = memory.packed(networks, moments)
        batches = _training(task, self._loss, self._weights)
        seen = memory.statistics(len(nets.steps) if task.observe else 0, batches.rows.shape[1])
        losses = np.empty(len(batches.rows) if task.measure else 0)
        for first, stop, noise in self._noise(batches.rows, task.noise):
            self._perform(nets, batches, "train", seen, noise, first, stop, losses)
        trained = [
            network.with_genome(genome)
            for network, genome in zip(
                networks.values(), memory.unpacked("values", networks), strict=True
            )
        ]
        kept: list[Moments] | None = None
        if moments is not None:
            parts = (memory.unpacked(name, networks) for name in ("first", "second"))
            steps = nets.steps[[*networks]].tolist()
            kept = [Moments(*each) for each in zip(*parts, steps, strict=True)]
        return Trained(
            tuple(trained[:n]),
            tuple(trained[n:]),
            *_split(kept, n),
            *_split(memory.observed(seen, networks) if task.observe else None, n),
            losses if task.measure else None,
        )

    def _activations(self, task: ActivationsTask) -> Activations:
        nets = self._packed(task.pair)
        layout, parts = self._memory.layout, []
        for first in range(0, max(1, len(task.rows)), self._batch_size):
            part = slice(first, first + self._batch_size)
            rows = task.rows[None, part]
            noise = None if task.code_noise is None else task.code_noise[part]
            self._measured(nets, _evaluation(rows, 1, 1, self._loss), task.split, noise)
            scratch = self._memory.scratch
            parts.append([layout.nodes(kind, scratch, rows.size) for kind in (0, 1)])
        return Activations(*(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _packed(self, pair: Pair) -> Networks:
        return self._memory.packed({0: pair.encoder, 1: pair.decoder})

    def _perform(
        self,
        nets: Networks,
        batches: Batches,
        split: Split,
        seen: Statistics = NOTHING_SEEN,
        noise: Float32 = _NO_NOISE,
        first: int = 0,
        stop: int | None = None,
        losses: Float64 = _NO_LOSSES,
    ) -> None:
        """Have the kernels take the batches `first` to `stop` of a list, by default all.

        Noise, if any, is of these batches; losses are written where there is room for them.
        """
        self._memory.make_room(batches.rows.shape[1])
        stop, piece = len(batches.encoder) if stop is None else stop, self._piece(batches.rows)
        for start in range(first, stop, piece):
            batches.repeats[start] = 0
            drawn = int((batches.rows[first:start] >= 0).sum()) if len(noise) else 0
            run_batches(
                self._memory.layout.chain,
                nets,
                batches,
                self._memory.scratch,
                seen,
                losses,
                self._rows(split),
                noise[drawn:],
                start,
                min(start + piece, stop),
            )

    def _piece(self, rows: Int32) -> int:
        """Batches that a kernel takes at a time."""
        each = int(rows.shape[1]) * (self._architecture.n_parameters + _OF_A_ROW)
        return max(1, WORK // max(1, each))

    def _noise(
        self, rows: Int32, generator: np.random.Generator | None
    ) -> Iterator[tuple[int, int, Float32]]:
        """The noise of all updates in order, a bounded piece at a time: first, stop, values."""
        width, n_updates = self._architecture.noise_width, len(rows)
        if generator is None or not width:
            yield 0, n_updates, _NO_NOISE
            return
        piece = max(1, min(self._piece(rows), NOISE_FLOATS // (width * rows.shape[1])))
        for first in range(0, n_updates, piece):
            stop = min(first + piece, n_updates)
            n_rows = int((rows[first:stop] >= 0).sum())
            noise = generator.standard_normal((n_rows, width), dtype=np.float32)
            yield first, stop, read_only(noise)

    def _rows(self, split: Split) -> Float32:
        """Rows of a split as kernels expect them, seldom a copy."""
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


def _numbered(task: TrainTask | EvaluateTask) -> dict[int, Network]:
    """The networks of a task, encoders first, by the numbers that kernels know them by."""
    encoders = {2 * k: network for k, network in enumerate(task.encoders)}
    return encoders | {2 * k + 1: network for k, network in enumerate(task.decoders)}


def _training(task: TrainTask, loss: int, weights: Float32) -> Batches:
    """The updates of a task in arrays of the kernels' own types."""
    updates = task.updates
    return Batches(
        rows=np.array(updates.rows, np.int32, order="C"),
        encoder=2 * np.array(updates.encoder, np.int64),
        decoder=2 * np.array(updates.decoder, np.int64) + 1,
        rate=np.array(updates.learning_rate, np.float64),
        repeats=np.zeros(len(updates.rows), np.int64),
        trains=1,
        loss=loss,
        kept=int(task.encoder_moments is not None),
        observe=int(task.observe),
        weights=weights,
    )


def _evaluation(
    rows: Int32, n_encoders: int, n_decoders: int, loss: int, weights: Float32 = ALL_ALIKE
) -> Batches:
    """The loss of every encoder with every decoder, on one batch of rows, (S, B), after another."""
    n_pairs = n_encoders * n_decoders
    encoder, decoder = np.divmod(np.arange(len(rows) * n_pairs) % n_pairs, n_decoders)
    return Batches(
        rows=np.array(np.repeat(rows, n_pairs, axis=0), np.int32, order="C"),
        encoder=2 * encoder,
        decoder=2 * decoder + 1,
        rate=np.empty(0),
        repeats=(decoder > 0).astype(np.int64),
        loss=loss,
        weights=weights,
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
