"""The engine `torch`: what the engine protocol asks for, on stacks that stay on a device."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from aes_lipi.arrays import Float32, Float64, Int32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.data.dataset import Dataset, Split
from aes_lipi.engine.protocol import (
    Activations,
    ActivationsTask,
    EvaluateTask,
    Measure,
    Trained,
    TrainTask,
)
from aes_lipi.engine.torch.device import to_device, to_host
from aes_lipi.engine.torch.losses import loss_matrices, losses_of
from aes_lipi.engine.torch.memory import Halving, kind_of
from aes_lipi.engine.torch.passes import ForwardPass, forward_passes
from aes_lipi.engine.torch.training import Trainer

VALUES_ON_CPU, VALUES_ON_GPU = 1 << 22, 1 << 28
"""Values of a layer's output that an evaluation has in hand at once."""

T = TypeVar("T")
R = TypeVar("R")
_TINY = torch.tensor([1 << 20], dtype=torch.int32).view(torch.float32)
"""1e-39, written as its bits: a number that is made while this module is loaded may be flushed."""


@contextmanager
def _flushing() -> Iterator[None]:
    """Take what is smaller than any normal number for zero, then do as before in this thread.

    So bits do not depend on what a process has imported; see `dense.mode.enter_mode`.
    """
    before = not (_TINY * 1.0).view(torch.int32).any()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


class TorchEngine:
    """Trains and evaluates stacks of models with torch, all models of a stack at once.

    Weights stay on the device: networks that come out of it are fetched when somebody asks for
    their numbers. Gradients are derived by hand, or by autograd where nobody has done so. On a GPU
    the steps are recorded once for every shape of stack, and replayed. Arithmetic is float32
    throughout.

    A task's bits may depend on its stack where stacks are made. Who asks for the same bits in any
    stack gets one task after another, which is the default on a CPU.

    An engine keeps memory to work in, so it must not be used by two threads at once; `hold` and
    `fetch` may be.

    Args:
        architecture: layouts, loss and noise of the environment.
        dataset: its splits are kept on the device.
        batch_size: rows of a batch.
        device: `cpu` or `cuda`.
        stacked: whether tasks are trained side by side; by default on a GPU only.
    """

    name = "torch"

    def __init__(
        self,
        architecture: Architecture,
        dataset: Dataset,
        batch_size: int,
        device: str = "cpu",
        *,
        stacked: bool | None = None,
    ) -> None:
        self.device = device
        self._device = torch.empty(0, device=device).device  # with its number
        self._architecture, self._batch_size = architecture, batch_size
        self._stacked = device != "cpu" if stacked is None else stacked
        if self._device.type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False
        splits: tuple[Split, ...] = ("train", "test", "validation")
        self._splits = {
            split: torch.from_numpy(np.array(dataset.split(split))).to(self._device)
            for split in splits
        }
        weights = dataset.weights
        self._weights = None
        if weights is not None:
            self._weights = torch.from_numpy(np.array(weights, np.float32)).to(self._device)
        self._trainer = Trainer(architecture, self._splits["train"], self._weights)
        self._halvings: dict[str, Halving] = {}
        self._values = VALUES_ON_CPU if self._device.type == "cpu" else VALUES_ON_GPU

    @property
    def is_fused(self) -> bool:
        """Whether the optimiser's step is compiled into one kernel."""
        return self._trainer.is_fused

    @torch.no_grad()
    @_flushing()
    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Make every task's updates; see `Engine.train`.

        If that fails, noise that was drawn is put back.
        """
        with _noise_put_back(tasks):
            return self._by_kind(tasks, kind_of, self._train)

    def _train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        if self._stacked:
            return self._halving("train").ask(self._train_stack, tasks)
        return [trained for task in tasks for trained in self._train_stack([task])]

    def _train_stack(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """A stack of tasks of one kind; if it does not fit, its halves draw the same noise."""
        with _noise_put_back(tasks):
            return self._trainer.train(tasks)

    @torch.no_grad()
    @_flushing()
    def loss_matrices(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        """Loss of every encoder with every decoder; see `Engine.loss_matrices`."""

        def kind(task: EvaluateTask) -> Hashable:
            shape = len(task.encoders), len(task.decoders), len(task.rows)
            return *shape, task.split, task.code_noise is None

        return self._by_kind(tasks, kind, self._loss_matrices)

    def _loss_matrices(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        first = tasks[0]
        e, d, rows = len(first.encoders), len(first.decoders), len(first.rows)
        values = e * d * rows * self._architecture.n_dim
        values = max(values, (e + d) * self._architecture.n_parameters // 2)
        return self._in_parts(self._loss_matrices_of_part, tasks, values)

    def _loss_matrices_of_part(self, tasks: Sequence[EvaluateTask]) -> list[Float64]:
        encoders = self._genomes([network for task in tasks for network in task.encoders])
        decoders = self._genomes([network for task in tasks for network in task.decoders])
        c, split = len(tasks), tasks[0].split
        rows = np.stack([task.rows for task in tasks])
        weights = self._weights if split == "train" else None
        losses = loss_matrices(
            self._architecture,
            encoders.view(c, -1, encoders.shape[1]),
            decoders.view(c, -1, decoders.shape[1]),
            self._rows(split, rows),
            weights=None if weights is None else weights[self._indices(rows)],
            noise=self._stacked_noise([task.code_noise for task in tasks]),
        )
        return list(losses.double().cpu().numpy())

    @torch.no_grad()
    @_flushing()
    def batch_losses(
        self,
        pairs: Sequence[Pair],
        split: Split,
        measure: Measure,
        order: Int32 | None = None,
        code_noise: Sequence[Float32 | None] | None = None,
    ) -> list[Float64]:
        """A measure of every batch of a split; see `Engine.batch_losses`."""
        rows, size = self._splits[split], self._batch_size
        if order is not None:
            rows = self._rows(split, order)
        noise: Sequence[Float32 | None] = code_noise or [None] * len(pairs)

        def losses_of_kind(part: Sequence[tuple[Pair, Float32 | None]]) -> list[Float64]:
            losses = [
                self._losses_on(part, rows, piece, min(size, piece.stop - piece.start), measure)
                for piece in self._pieces(len(rows))
            ]
            return [np.concatenate(each) for each in zip(*losses, strict=True)]

        asked = list(zip(pairs, noise, strict=True))
        return self._by_kind(asked, lambda each: each[1] is None, losses_of_kind)

    def _pieces(self, n_rows: int) -> Iterator[slice]:
        """Rows that are passed forward at once: whole batches, and what is left of the last."""
        size = self._batch_size
        whole = n_rows // size * size
        most = max(1, self._values // (size * self._architecture.n_dim)) * size
        for start in range(0, whole, most):
            yield slice(start, min(start + most, whole))
        if whole < n_rows:
            yield slice(whole, n_rows)

    def _losses_on(
        self,
        asked: Sequence[tuple[Pair, Float32 | None]],
        rows: Tensor,
        piece: slice,
        batch: int,
        measure: Measure,
    ) -> list[Float64]:
        rows = rows[piece]

        def losses(part: Sequence[tuple[Pair, Float32 | None]]) -> list[Float64]:
            noise = self._stacked_noise([None if e is None else e[piece] for _, e in part])
            x = rows.unsqueeze(0).expand(len(part), -1, -1)
            passed = self._passed([pair for pair, _ in part], x, noise)
            encoded, decoded = (each.reshaped(len(part), -1, batch) for each in passed)
            x = rows.view(-1, batch, rows.shape[1])
            found = losses_of(self._architecture, (encoded, decoded), x, measure)
            return list(found.double().cpu().numpy())

        return self._in_parts(losses, asked, rows.numel())

    @torch.no_grad()
    @_flushing()
    def activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        """Recorded activations of every pair; see `Engine.activations`."""

        def kind(task: ActivationsTask) -> Hashable:
            return len(task.rows), task.split, task.code_noise is None

        return self._by_kind(tasks, kind, self._activations)

    def _activations(self, tasks: Sequence[ActivationsTask]) -> list[Activations]:
        split = tasks[0].split

        def recorded(part: Sequence[ActivationsTask]) -> list[Activations]:
            x = self._rows(split, np.stack([task.rows for task in part]))
            noise = self._stacked_noise([task.code_noise for task in part])
            seen = self._passed([task.pair for task in part], x, noise)
            encoded, decoded = (each.nodes().cpu().numpy() for each in seen)
            return [Activations(*each) for each in zip(encoded, decoded, strict=True)]

        nodes = self._architecture.encoder.n_nodes + self._architecture.decoder.n_nodes
        return self._in_parts(recorded, tasks, len(tasks[0].rows) * nodes)

    def hold(self, networks: Sequence[Network]) -> list[Network]:
        """The networks on the device, if stacks are made there; see `Engine.hold`."""
        return list(to_device(networks, self._device)) if self._stacked else list(networks)

    def fetch(self, networks: Sequence[Network]) -> None:
        """Fetch weights from the device; see `Engine.fetch`."""
        to_host(networks)

    def _passed(
        self, pairs: Sequence[Pair], x: Tensor, noise: Tensor | None
    ) -> tuple[ForwardPass, ForwardPass]:
        """The pairs' encoders on x (C, B, X), and their decoders on codes with noise (C, B, Z)."""
        genomes = (
            self._genomes([pair.encoder for pair in pairs]),
            self._genomes([pair.decoder for pair in pairs]),
        )
        encoded, _, decoded = forward_passes(self._architecture, genomes, x, noise)
        return encoded, decoded

    def _stacked_noise(self, noise: Sequence[Float32 | None]) -> Tensor | None:
        """The code noise of a stack, of which all have some, or none."""
        given = [each for each in noise if each is not None]
        return torch.from_numpy(np.stack(given)).to(self._device) if given else None

    def _genomes(self, networks: Sequence[Network]) -> Tensor:
        return torch.stack([network.row for network in to_device(networks, self._device)])

    def _rows(self, split: Split, rows: Int32) -> Tensor:
        """Rows of a split, (C, B, X), by their indices, (C, B)."""
        return self._splits[split][self._indices(rows)]

    def _indices(self, rows: Int32) -> Tensor:
        return torch.from_numpy(rows.astype(np.int64)).to(self._device)

    def _by_kind(
        self,
        tasks: Sequence[T],
        kind: Callable[[T], Hashable],
        function: Callable[[Sequence[T]], list[R]],
    ) -> list[R]:
        """The answers to tasks of which those of a kind are asked for together."""
        kinds: dict[Hashable, list[int]] = {}
        for k, task in enumerate(tasks):
            kinds.setdefault(kind(task), []).append(k)
        answers: dict[int, R] = {}
        for members in kinds.values():
            found = function([tasks[k] for k in members])
            answers |= zip(members, found, strict=True)
        return [answers[k] for k in range(len(tasks))]

    def _in_parts(
        self, function: Callable[[Sequence[T]], list[R]], tasks: Sequence[T], values: int
    ) -> list[R]:
        """The answers of an evaluation that has so many values in hand for every task."""
        most = max(1, self._values // values) if self._stacked else 1
        halving = self._halving(function.__name__)
        return [
            answer
            for start in range(0, len(tasks), most)
            for answer in halving.ask(function, tasks[start : start + most])
        ]

    def _halving(self, name: str) -> Halving:
        """Each kind of request finds out by itself how much of it fits."""
        return self._halvings.setdefault(name, Halving(self.release))

    def release(self) -> None:
        """Give back the memory that is kept for later use; see `Engine.release`."""
        self._trainer.release()
        if self._device.type == "cuda":
            torch._C._cuda_clearCublasWorkspaces()
            torch.cuda.empty_cache()

    def is_lost(self) -> bool:
        """Whether the GPU, for this process, computes no more; see `Engine.is_lost`."""
        if self._device.type == "cpu":
            return False
        try:
            torch.cuda.synchronize()
        except RuntimeError:
            return True
        return False


@contextmanager
def _noise_put_back(tasks: Sequence[TrainTask]) -> Iterator[None]:
    """If a block fails, sources of noise are as they were before it."""
    sources = [task.noise.bit_generator for task in tasks if task.noise is not None]
    states = [source.state for source in sources]
    try:
        yield
    except BaseException:
        for source, state in zip(sources, states, strict=True):
            source.state = state
        raise
