"""Training of a stack of tasks of equal shape, as tensors with one leading axis for the tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, NetworkLayout
from aes_lipi.engine import adam
from aes_lipi.engine.functional import Passed, code_of, losses_of, parameters_of, run
from aes_lipi.engine.protocol import ActivationStatistics, Moments, Trained, TrainTask


class Networks:
    """All encoders, or all decoders, of a stack of C tasks with E networks each.

    Attributes:
        genomes: (C, E, P).
        alive: 1 where an entry may move, 0 where it is frozen, (C, E, P); None if all may.
    """

    def __init__(
        self,
        stacks: Sequence[tuple[Network, ...]],
        moments: Sequence[tuple[Moments, ...] | None],
        layout: NetworkLayout,
        batch_size: int | None,
        device: torch.device,
    ) -> None:
        self.layout = layout
        self._sources = stacks
        self._tasks = torch.arange(len(stacks), device=device)
        self.genomes = _tensor([[net.genome for net in stack] for stack in stacks], device)
        self.alive = _alive(stacks, device)
        kept = [stack for stack in moments if stack is not None]
        self._first = self._second = self._steps = None
        if kept:
            self._first = _tensor([[m.first for m in stack] for stack in kept], device)
            self._second = _tensor([[m.second for m in stack] for stack in kept], device)
            steps = np.array([[m.steps for m in stack] for stack in kept], dtype=np.float64)
            self._steps = torch.from_numpy(steps).to(device)
        self._seen = None
        if batch_size is not None:
            shape = (len(stacks), len(stacks[0]), batch_size, layout.n_nodes)
            self._seen = torch.zeros((3, *shape), dtype=torch.float64, device=device)

    def leaves(self, which: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Differentiable parameters of network `which[c]` of every task c."""
        return [
            (weight.detach().requires_grad_(), bias.detach().requires_grad_())
            for weight, bias in parameters_of(self._of(self.genomes, which), self.layout)
        ]

    def step(self, which: Tensor, gradients: Sequence[Tensor], rates: Tensor) -> None:
        """Move network `which[c]` of every task c against its gradient.

        Args:
            which: (C,).
            gradients: of every parameter tensor, in genome order.
            rates: learning rates, float32, (C, 1).
        """
        gradient = torch.cat([part.flatten(1) for part in gradients], dim=1)
        if self._first is None or self._second is None or self._steps is None:
            direction = adam.new_at_every_step(gradient)
        else:
            first, second = self._of(self._first, which), self._of(self._second, which)
            steps = self._of(self._steps, which).add_(1)
            direction = adam.kept(gradient, first, second, adam.corrections(steps.unsqueeze(1)))
            for kept, value in (
                (self._first, first),
                (self._second, second),
                (self._steps, steps),
            ):
                self._put(kept, which, value)
        if self.alive is not None:
            direction = direction.mul_(self._of(self.alive, which))
        genomes = self._of(self.genomes, which).sub_(direction.mul_(rates))
        self._put(self.genomes, which, genomes)

    def _of(self, values: Tensor, which: Tensor) -> Tensor:
        """The part of network `which[c]` of every task c: a view where there is one network."""
        return values[:, 0] if values.shape[1] == 1 else values[self._tasks, which]

    def _put(self, values: Tensor, which: Tensor, part: Tensor) -> None:
        """Write back what `_of` took out, if that was a copy."""
        if values.shape[1] > 1:
            values[self._tasks, which] = part

    def observe(self, which: Tensor, passed: Passed) -> None:
        """Add a batch to the activation statistics (Welford 1962), per slot and node."""
        if self._seen is None:
            return
        nodes = passed.nodes().double()
        rows = nodes.shape[1]
        chosen = (self._tasks, which)
        count, mean, m2 = (part[chosen][:, :rows] for part in self._seen)
        count = count + 1
        delta = nodes - mean
        mean = mean + delta / count
        for part, value in zip(self._seen, (count, mean, m2 + delta * (nodes - mean)), strict=True):
            part[(*chosen, slice(rows))] = value

    def trained(self, task: int) -> tuple[Network, ...]:
        """The networks of one task with their new weights."""
        genomes = self.genomes[task].cpu().numpy()
        return tuple(
            network.with_genome(genomes[k].copy()) for k, network in enumerate(self._sources[task])
        )

    def moments(self, task: int) -> tuple[Moments, ...] | None:
        """The optimiser states of one task's networks, if kept."""
        if self._first is None or self._second is None or self._steps is None:
            return None
        first, second = self._first[task].cpu().numpy(), self._second[task].cpu().numpy()
        steps = self._steps[task].cpu().numpy()
        return tuple(
            Moments(first[k].copy(), second[k].copy(), int(steps[k])) for k in range(len(steps))
        )

    def statistics(self, task: int) -> tuple[ActivationStatistics, ...] | None:
        """The activation statistics of one task's networks, if observed."""
        if self._seen is None:
            return None
        count, mean, m2 = self._seen[:, task].cpu().numpy()
        return tuple(
            ActivationStatistics(count[k, :, 0].copy(), mean[k].copy(), m2[k].copy())
            for k in range(len(count))
        )


class TrainingStack:
    """The updates of C tasks whose updates have the same shapes, made side by side."""

    def __init__(
        self,
        tasks: Sequence[TrainTask],
        architecture: Architecture,
        rows: Tensor,
        batch_size: int,
    ) -> None:
        self._tasks = tasks
        self._architecture = architecture
        self._rows = rows
        observed = batch_size if tasks[0].observe else None
        self._encoders = Networks(
            [task.encoders for task in tasks],
            [task.encoder_moments for task in tasks],
            architecture.encoder,
            observed,
            rows.device,
        )
        self._decoders = Networks(
            [task.decoders for task in tasks],
            [task.decoder_moments for task in tasks],
            architecture.decoder,
            observed,
            rows.device,
        )

    def train(self) -> list[Trained]:
        """Make all updates and hand the networks back."""
        device = self._rows.device
        updates = [task.updates for task in self._tasks]
        batches = torch.from_numpy(np.stack([update.rows for update in updates]).astype(np.int64))
        sizes = (updates[0].rows >= 0).sum(axis=1)
        batches = batches.to(device)
        encoder, decoder = (
            torch.from_numpy(np.stack(which).astype(np.int64)).to(device)
            for which in ([u.encoder for u in updates], [u.decoder for u in updates])
        )
        rates = torch.from_numpy(np.stack([u.learning_rate for u in updates])).to(device).float()
        for s, size in enumerate(sizes):
            x = self._rows[batches[:, s, :size]]
            self._update(x, encoder[:, s], decoder[:, s], rates[:, s : s + 1])
        return [self._trained(k) for k in range(len(self._tasks))]

    def _update(self, x: Tensor, encoder: Tensor, decoder: Tensor, rates: Tensor) -> None:
        """One update of one encoder and one decoder of every task, on rows x (C, B, X)."""
        encoder_leaves = self._encoders.leaves(encoder)
        decoder_leaves = self._decoders.leaves(decoder)
        input_noise, code_noise = self._noise(x)
        noisy = x if input_noise is None else x + self._architecture.input_noise * input_noise
        encoded = run(self._architecture.encoder, encoder_leaves, noisy)
        code = code_of(self._architecture, encoded, code_noise)
        decoded = run(self._architecture.decoder, decoder_leaves, code)
        loss = losses_of(self._architecture, encoded, decoded, x).sum()
        parameters = [part for layer in (*encoder_leaves, *decoder_leaves) for part in layer]
        gradients = torch.autograd.grad(loss, parameters)
        split = 2 * len(encoder_leaves)
        with torch.no_grad():
            self._encoders.observe(encoder, encoded)
            self._decoders.observe(decoder, decoded)
            self._encoders.step(encoder, gradients[:split], rates)
            self._decoders.step(decoder, gradients[split:], rates)

    def _noise(self, x: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """Standard normal values for the input (C, B, X) and for the code (C, B, Z)."""
        width = self._architecture.noise_width
        if width == 0:
            return None, None
        drawn = np.stack(
            [
                _generator(task).standard_normal((x.shape[1], width), dtype=np.float32)
                for task in self._tasks
            ]
        )
        noise = torch.from_numpy(drawn).to(x.device)
        inputs = self._architecture.n_dim if self._architecture.input_noise else 0
        return (noise[..., :inputs] if inputs else None), (
            noise[..., inputs:] if self._architecture.variational else None
        )

    def _trained(self, task: int) -> Trained:
        return Trained(
            encoders=self._encoders.trained(task),
            decoders=self._decoders.trained(task),
            encoder_moments=self._encoders.moments(task),
            decoder_moments=self._decoders.moments(task),
            encoder_statistics=self._encoders.statistics(task),
            decoder_statistics=self._decoders.statistics(task),
        )


def _generator(task: TrainTask) -> np.random.Generator:
    if task.noise is None:
        raise ValueError("this environment trains under noise, and the task has no source of it")
    return task.noise


def _tensor(arrays: Sequence[Sequence[np.ndarray]], device: torch.device) -> Tensor:
    return torch.from_numpy(np.array(arrays, dtype=np.float32)).to(device)


def _alive(stacks: Sequence[tuple[Network, ...]], device: torch.device) -> Tensor | None:
    if all(network.mask is None for stack in stacks for network in stack):
        return None
    masks = [
        [np.ones(net.genome.size, np.float32) if net.mask is None else net.mask for net in stack]
        for stack in stacks
    ]
    return _tensor(masks, device)
