"""A stack of networks in training: all encoders, or all decoders, of some tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from aes_lipi.autoencoders.network import ActivationStatistics, NetworkLayout
from aes_lipi.engine.protocol import Moments
from aes_lipi.engine.torch.adam import Adam, corrections
from aes_lipi.engine.torch.device import (
    DeviceGenomes,
    DeviceMoments,
    DeviceNetwork,
    means_of,
    sent,
)
from aes_lipi.engine.torch.memory import Buffers, Form
from aes_lipi.engine.torch.passes import ForwardPass

_Name = Literal["encoders", "decoders"]


class NetworkStack:
    """E networks of each of C tasks, of which every step trains one per task.

    Args:
        name: which networks of a task.
        layout: of its networks.
        form: of the stack of tasks.
        buffers: where its tensors are.
        adam: the optimiser's step.

    Attributes:
        gradient: where that of the networks in training is to be written, (C, P).
    """

    def __init__(
        self, name: _Name, layout: NetworkLayout, form: Form, buffers: Buffers, adam: Adam
    ) -> None:
        self._networks = form.encoders if name == "encoders" else form.decoders
        self._observers, self._adam = form.observers, adam
        c, e, p = form.models, self._networks, layout.size

        def take(part: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
            return buffers.take(f"{name}.{part}", shape, dtype)

        self._genomes = take("genomes", c * e, p)
        self.gradient = take("gradient", c, p)
        self._alive = take("alive", c * e, p, dtype=torch.bool) if form.masked else None
        self._state: tuple[Tensor, ...] | None = None
        if form.kept:
            steps = take("steps", c * e, 1, dtype=torch.float64)
            self._state = (take("first", c * e, p), take("second", c * e, p), steps)
        self._which = take("which", form.steps, c, dtype=torch.int64)
        self._first = torch.arange(c, device=self._genomes.device) * e
        self._chosen = self._first  # of step s: the row of every task's network in training
        self._loaded: Sequence[DeviceNetwork] = ()
        shape = (form.observers * e, form.batch_size)
        self._count = take("count", *shape, dtype=torch.float64)
        self._mean, self._m2 = (
            take(part, *shape, layout.n_nodes, dtype=torch.float64) for part in ("mean", "m2")
        )
        self._observing = torch.arange(form.observers, device=self._genomes.device) * e

    def clear(self) -> None:
        """Train the first network of every task in all steps, until something is loaded."""
        self._which.zero_()

    def load(
        self,
        networks: Sequence[DeviceNetwork],
        moments: Sequence[Sequence[Moments]],
        which: np.ndarray,
    ) -> None:
        """Take in a stack, which may be smaller than the form.

        Args:
            networks: E of each task, task after task.
            moments: E of each task, if an optimiser is kept.
            which: the network that each step trains, int, (tasks, S).
        """
        self._loaded = networks
        torch.stack([network.row for network in networks], out=self._genomes[: len(networks)])
        if self._alive is not None:
            self._alive.fill_(True)
            for k, network in enumerate(networks):
                if network.alive is not None:
                    self._alive[k] = network.alive
        if self._state is not None:
            self._load_moments([each for stack in moments for each in stack])
        self._which.zero_()
        self._which[:, : len(which)] = sent(which.T.astype(np.int64), self._which.device)
        for part in (self._count, self._mean, self._m2):
            part.zero_()

    def _load_moments(self, moments: Sequence[Moments]) -> None:
        first, second, steps = self._state or ()
        for part in (first, second, steps):
            part.zero_()
        counted = np.array([[each.steps] for each in moments], dtype=np.float64)
        steps[: len(moments)] = sent(counted, steps.device)
        for k, each in enumerate(moments):
            if each.steps > 0:
                first[k], second[k] = means_of(each, first.device)

    def begin(self, step: Tensor) -> Tensor:
        """The genomes that the step with this number, int64, (1,), trains, (C, P)."""
        if self._networks == 1:
            return self._genomes
        self._chosen = self._first + self._which.index_select(0, step).squeeze(0)
        return self._genomes.index_select(0, self._chosen)

    def move(self, genomes: Tensor, rates: Tensor) -> None:
        """Move what `begin` gave against its gradient.

        Args:
            genomes: (C, P).
            rates: learning rates, (C, 1).
        """
        alive = None if self._alive is None else self._of(self._alive)
        if self._state is None:
            self._adam.fresh(genomes, self.gradient, rates, alive)
        else:
            first, second, steps = (self._of(part) for part in self._state)
            steps.add_(1)
            state = (first, second, *corrections(steps))
            self._adam.kept(genomes, self.gradient, rates, alive, state)
            for whole, part in zip(self._state, (first, second, steps), strict=True):
                self._put(whole, part)
        self._put(self._genomes, genomes)

    def _of(self, values: Tensor) -> Tensor:
        """The part of the networks in training: all of it where every task has one."""
        return values if self._networks == 1 else values.index_select(0, self._chosen)

    def _put(self, values: Tensor, part: Tensor) -> None:
        """Write back what `_of` took out, if that was a copy."""
        if self._networks > 1:
            values.index_copy_(0, self._chosen, part)

    def observe(self, passed: ForwardPass, observers: Tensor, present: Tensor) -> None:
        """Add a batch to the activation statistics (Welford 1962), per slot and node.

        Args:
            passed: forward pass of the networks in training.
            observers: the tasks that gather statistics, (O,).
            present: 1 for a row of the batch, 0 for padding, (C, B, 1).
        """
        if self._observers == 0:
            return
        seen = [part.index_select(0, observers) for part in passed.recorded]
        nodes = torch.cat(seen, -1).double()
        there = present.index_select(0, observers) > 0
        offset = (self._chosen - self._first).index_select(0, observers)
        at = self._observing + offset
        count = self._count.index_select(0, at) + there.squeeze(-1)
        mean, m2 = self._mean.index_select(0, at), self._m2.index_select(0, at)
        delta = nodes - mean
        moved = mean + delta / count.clamp(min=1.0).unsqueeze(-1)
        self._count.index_copy_(0, at, count)
        self._mean.index_copy_(0, at, torch.where(there, moved, mean))
        self._m2.index_copy_(0, at, torch.where(there, m2 + delta * (nodes - moved), m2))

    def trained(self) -> list[tuple[DeviceNetwork, ...]]:
        """Every task's networks with their new weights, which stay on the device."""
        genomes = DeviceGenomes(self._genomes[: len(self._loaded)].clone())
        networks = [
            DeviceNetwork(genomes, k, before.alive, before.n_pruned)
            for k, before in enumerate(self._loaded)
        ]
        self._loaded = ()
        e = self._networks
        return [tuple(networks[k : k + e]) for k in range(0, len(networks), e)]

    def moments(
        self, before: Sequence[Sequence[Moments]], made: np.ndarray
    ) -> list[tuple[Moments, ...]]:
        """The optimisers' states of every task.

        Args:
            before: what they were.
            made: updates made of every network, (tasks, E).
        """
        if self._state is None:
            return []
        e = self._networks
        first, second = (part[: len(before) * e].clone() for part in self._state[:2])
        return [
            tuple(
                DeviceMoments((first[k * e + j], second[k * e + j]), each.steps + int(made[k, j]))
                for j, each in enumerate(stack)
            )
            for k, stack in enumerate(before)
        ]

    def statistics(self) -> list[tuple[ActivationStatistics, ...]]:
        """The activation statistics of every observer's networks."""
        e = self._networks
        if self._observers == 0:
            return []
        count, mean, m2 = (
            part.cpu().numpy().copy() for part in (self._count, self._mean, self._m2)
        )
        each = [ActivationStatistics(*parts) for parts in zip(count, mean, m2, strict=True)]
        return [tuple(each[k : k + e]) for k in range(0, len(each), e)]
