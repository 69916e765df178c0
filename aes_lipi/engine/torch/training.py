"""Training of a stack of tasks of equal shape, step after step, on a GPU as a recorded program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.engine.protocol import Moments, Trained, TrainTask
from aes_lipi.engine.torch.adam import Adam, adam_on
from aes_lipi.engine.torch.device import to_device
from aes_lipi.engine.torch.gradients import Batch, Gradients, gradients_of, weighted_loss
from aes_lipi.engine.torch.memory import Buffers, Form
from aes_lipi.engine.torch.stack import NetworkStack

_AT_ONCE = 10
"""Steps that a GPU is asked for in one go."""

NOISE_ON_CPU, NOISE_ON_GPU = 1 << 22, 1 << 26
"""Values of training noise that are drawn, and sent to the device, in one go."""


_PROGRAMS_KEPT = 256
"""Shapes of stacks that stay prepared."""


class Trainer:
    """Trains stacks of tasks of one kind, and keeps what it prepared for each of their forms.

    Args:
        architecture: of all models.
        data: the training rows, on the device that computes, (rows, X).
        row_weights: by what they count in the loss, there, (rows,); None where all count alike.
    """

    def __init__(
        self, architecture: Architecture, data: Tensor, row_weights: Tensor | None = None
    ) -> None:
        self._programs: dict[Form, _Program] = {}
        self._buffers = Buffers(data.device, self._programs.clear)
        self._workspace = _Workspace(
            architecture,
            data,
            row_weights,
            self._buffers,
            gradients_of(architecture),
            adam_on(data.device),
        )
        self._pool: Any = None
        self._beside: Any = None

    @property
    def is_fused(self) -> bool:
        """Whether the optimiser's step is compiled into one kernel."""
        return self._workspace.adam.fused

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Make the updates of tasks of one kind; see `kind_of`."""
        form = Form.of(tasks)
        if form not in self._programs:
            self._programs[form] = self._prepared(form)
        return self._programs[form].train(tasks)

    def _prepared(self, form: Form) -> _Program:
        program = _Program(form, self._workspace)
        while len(self._programs) >= _PROGRAMS_KEPT:
            del self._programs[next(iter(self._programs))]
        if self._workspace.data.is_cuda:
            if not self._programs:
                self._pool = torch.cuda.graph_pool_handle()
            self._beside = self._beside or torch.cuda.Stream()  # type: ignore[no-untyped-call]
            program.record(self._pool, self._beside)
        return program

    def release(self) -> None:
        """Give back the memory that is kept for later use."""
        self._programs.clear()
        self._buffers.clear()
        self._pool = None


@dataclass(frozen=True)
class _Workspace:
    """What all stacks of one trainer are trained with.

    Attributes:
        architecture: of all models.
        data: the training rows on the device, (rows, X).
        row_weights: by what they count in the loss, (rows,); None where all count alike.
        buffers: memory that stacks are built in.
        gradients: what computes them.
        adam: the optimiser's step.
    """

    architecture: Architecture
    data: Tensor
    row_weights: Tensor | None
    buffers: Buffers
    gradients: Gradients
    adam: Adam


class _Program:
    """The updates of one shape of stack: its tensors, and on a GPU the recording of its steps.

    Args:
        form: shapes.
        workspace: what it works with.
    """

    def __init__(self, form: Form, workspace: _Workspace) -> None:
        self._workspace, self._form = workspace, form
        architecture, buffers, adam = workspace.architecture, workspace.buffers, workspace.adam
        take, c = buffers.take, form.models
        self._encoders = NetworkStack("encoders", architecture.encoder, form, buffers, adam)
        self._decoders = NetworkStack("decoders", architecture.decoder, form, buffers, adam)
        per_row = (form.steps, c, form.batch_size)
        self._rows = take("rows", per_row, torch.int32)
        self._present, self._weight = take("present", per_row), take("weight", per_row)
        self._rates = take("rates", (form.steps, c))
        self._losses = take("losses", (form.steps if form.measured else 0, c))
        self._observers = take("observers", (form.observers,), torch.int64)
        self._step = torch.zeros(1, dtype=torch.int64, device=workspace.data.device)
        self._noise_step = torch.zeros_like(self._step)
        self._at_once = _divisor(form.steps, _AT_ONCE)
        width = architecture.noise_width
        most = NOISE_ON_GPU if workspace.data.is_cuda else NOISE_ON_CPU
        fits = most // max(1, c * form.batch_size * width)
        self._chunk = max(1, min(fits, form.steps) // self._at_once) * self._at_once
        noise_steps = self._chunk if width else 0
        self._noise = take("noise", (noise_steps, c, form.batch_size, width))
        self._graph: Any = None

    def record(self, pool: Any, beside: Any) -> None:
        """Record, on a GPU, the steps that are made in one go, so that they cost no launches.

        Args:
            pool: memory that all recordings work in, one at a time.
            beside: a stream to try the steps in first.
        """
        for counter in (self._rows, self._observers, self._step, self._noise_step):
            counter.zero_()
        self._encoders.clear()
        self._decoders.clear()
        here = torch.cuda.current_stream()
        beside.wait_stream(here)
        with torch.cuda.stream(beside):
            for _ in range(3):  # libraries choose their kernels and take their memory
                self._one_step()
                self._step.zero_()
                self._noise_step.zero_()
        here.wait_stream(beside)
        graph = torch.cuda.CUDAGraph()
        capture = torch.cuda.graph(graph, pool=pool, capture_error_mode="thread_local")
        with torch.cuda.stream(here), capture:  # back to it, even if recording fails
            for _ in range(self._at_once):
                self._one_step()
        self._graph = graph

    def train(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        """Make all updates of a stack that is no larger than the form."""
        self._load(tasks)
        for start in range(0, self._form.steps, self._chunk):
            self._load_noise(tasks, start)
            for _ in range(min(self._chunk, self._form.steps - start) // self._at_once):
                if self._graph is not None:
                    self._graph.replay()
                else:
                    for _ in range(self._at_once):
                        self._one_step()
        return self._trained(tasks)

    def _load(self, tasks: Sequence[TrainTask]) -> None:
        updates = [task.updates for task in tasks]
        moments = _moments(tasks)
        device = self._rows.device
        encoders = to_device([network for task in tasks for network in task.encoders], device)
        decoders = to_device([network for task in tasks for network in task.decoders], device)
        self._encoders.load(encoders, moments[0], np.stack([u.encoder for u in updates]))
        self._decoders.load(decoders, moments[1], np.stack([u.decoder for u in updates]))
        n = len(tasks)
        self._rows.zero_()
        self._present.zero_()
        given = np.stack([each.rows for each in updates])
        rows = torch.from_numpy(given).to(self._rows.device).transpose(0, 1)
        padding = rows[..., :1]  # a row of the same batch: nothing foreign can overflow in it
        self._rows[:, :n] = torch.where(rows >= 0, rows, padding)
        self._present[:, :n] = rows >= 0
        self._weight.copy_(self._present)
        if self._workspace.architecture.loss != "negative_elbo":
            values = self._present.sum(-1, keepdim=True) * self._workspace.architecture.n_dim
            self._weight.div_(values.clamp_(min=1.0))
        if self._workspace.row_weights is not None:
            self._weight.mul_(self._workspace.row_weights[self._rows.long()])
        rates = np.stack([each.learning_rate for each in updates]).astype(np.float32)
        self._rates.zero_()
        self._rates[:, :n] = torch.from_numpy(rates).to(self._rates.device).T
        observers = np.array([k for k, task in enumerate(tasks) if task.observe], np.int64)
        self._observers.zero_()
        self._observers[: len(observers)] = torch.from_numpy(observers)
        self._step.zero_()

    def _load_noise(self, tasks: Sequence[TrainTask], start: int) -> None:
        """The noise of a chunk of steps, drawn row by row where there is a row."""
        self._noise_step.zero_()
        if not self._workspace.architecture.noise_width:
            return
        steps, _, batch_size, width = self._noise.shape
        steps = min(steps, self._form.steps - start)
        noise = np.zeros((steps, len(tasks), batch_size, width), np.float32)
        for k, task in enumerate(tasks):
            if task.noise is None:
                raise ValueError("this environment trains under noise, and a task has none")
            there = task.updates.rows[start : start + steps] >= 0
            drawn = task.noise.standard_normal((int(there.sum()), width), dtype=np.float32)
            noise[:, k][there] = drawn
        self._noise[:steps, : len(tasks)] = torch.from_numpy(noise).to(self._noise.device)

    def _one_step(self) -> None:
        """One update of one encoder and one decoder of every task."""
        architecture, data = self._workspace.architecture, self._workspace.data
        rows = self._rows.index_select(0, self._step)
        target = data.index_select(0, rows.view(-1)).view(*rows.shape[1:], data.shape[1])
        present = self._present.index_select(0, self._step).view(*rows.shape[1:], 1)
        weight = self._weight.index_select(0, self._step).view(*rows.shape[1:], 1)
        batch = Batch(target, present, weight, *self._noise_now())
        genomes = self._encoders.begin(self._step), self._decoders.begin(self._step)
        into = self._encoders.gradient, self._decoders.gradient
        encoded, decoded = self._workspace.gradients(architecture, genomes, batch, into)
        if self._form.measured:
            losses = weighted_loss(architecture, encoded, decoded, batch)
            self._losses.index_copy_(0, self._step, losses.unsqueeze(0))
        self._encoders.observe(encoded, self._observers, present)
        self._decoders.observe(decoded, self._observers, present)
        rates = self._rates.index_select(0, self._step).view(-1, 1)
        self._encoders.move(genomes[0], rates)
        self._decoders.move(genomes[1], rates)
        self._step += 1
        self._noise_step += 1

    def _noise_now(self) -> tuple[Tensor | None, Tensor | None]:
        """Standard normal values for the input (C, B, X) and for the code (C, B, Z)."""
        architecture = self._workspace.architecture
        if not architecture.noise_width:
            return None, None
        noise = self._noise.index_select(0, self._noise_step).squeeze(0)
        inputs = architecture.n_dim if architecture.has_noisy_input else 0
        return (noise[..., :inputs] if inputs else None), (
            noise[..., inputs:] if architecture.variational else None
        )

    def _trained(self, tasks: Sequence[TrainTask]) -> list[Trained]:
        encoders = self._encoders.trained()
        decoders = self._decoders.trained()
        before = _moments(tasks)
        encoder_moments = self._encoders.moments(before[0], _made(tasks, "encoder"))
        decoder_moments = self._decoders.moments(before[1], _made(tasks, "decoder"))
        observed = [k for k, task in enumerate(tasks) if task.observe]
        seen_by_encoders = dict(zip(observed, self._encoders.statistics(), strict=False))
        seen_by_decoders = dict(zip(observed, self._decoders.statistics(), strict=False))
        losses = self._losses.double().cpu().numpy().T.copy() if self._form.measured else None
        return [
            Trained(
                encoders=encoders[k],
                decoders=decoders[k],
                encoder_moments=encoder_moments[k] if encoder_moments else None,
                decoder_moments=decoder_moments[k] if decoder_moments else None,
                encoder_statistics=seen_by_encoders.get(k),
                decoder_statistics=seen_by_decoders.get(k),
                losses=None if losses is None else losses[k],
            )
            for k in range(len(tasks))
        ]


def _moments(
    tasks: Sequence[TrainTask],
) -> tuple[list[tuple[Moments, ...]], list[tuple[Moments, ...]]]:
    """Those of encoders and of decoders; nothing where no optimiser is kept."""
    return (
        [task.encoder_moments for task in tasks if task.encoder_moments is not None],
        [task.decoder_moments for task in tasks if task.decoder_moments is not None],
    )


def _made(tasks: Sequence[TrainTask], which: str) -> np.ndarray:
    """How often every network of every task is updated, (tasks, networks)."""
    if tasks[0].encoder_moments is None:
        return np.zeros((0, 0), np.int64)
    return np.array(
        [
            np.bincount(getattr(task.updates, which), minlength=len(getattr(task, f"{which}s")))
            for task in tasks
        ]
    )


def _divisor(number: int, most: int) -> int:
    """The largest divisor that is no larger than `most`."""
    return max(d for d in range(1, most + 1) if number % d == 0)
