"""Memory of a device: what stacks are built in, what they take, and what if it runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.engine.protocol import TrainTask

_COPIES = 14
"""Genome-sized tensors that a model in training takes at most: the weights, before and after, the
gradient, both moments, a mask, what the optimiser has in between, and copies of its neighbours."""

_MORE_COPIES = 6
"""The same for every further network of a task, of which one is trained at a time."""

_SIGNS = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""What is said in errors of memory that torch does not raise as such."""

_SHARE = 0.8
"""Of the free memory, what stacks may take."""

_TRIED_AGAIN_AFTER = 64
"""Stacks that fit, after which one of twice the size is tried."""

T = TypeVar("T")
R = TypeVar("R")


def _bytes_per_task(
    architecture: Architecture, batch_size: int, n_rows: int, networks: int = 1
) -> int:
    """Memory that one more task in a stack takes, roughly, from above.

    Args:
        architecture: of its models.
        batch_size: rows of an update.
        n_rows: of a pass; their numbers, presence and weights lie on the device.
        networks: encoders and decoders that it trains.
    """
    nodes = architecture.encoder.n_nodes + architecture.decoder.n_nodes
    values = (_COPIES + _MORE_COPIES * (networks - 1)) * architecture.n_parameters
    values += 8 * batch_size * (nodes + architecture.n_dim)
    return 4 * (values + 4 * n_rows * networks)


def tasks_that_fit(
    architecture: Architecture, batch_size: int, n_rows: int, networks: int, free: int
) -> int:
    """Tasks that can be trained side by side in so many bytes; at least one is tried."""
    per_task = _bytes_per_task(architecture, batch_size, n_rows, networks)
    data = 3 * 4 * n_rows * architecture.n_dim
    return max(1, int(_SHARE * max(0, free - data)) // per_task)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU."""
    free, _ = torch.cuda.mem_get_info(device)
    return int(free)


def _is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or in this process, or an error came of that."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS):
        return True
    return error.__context__ is not None and _is_out_of_memory(error.__context__)


@dataclass(frozen=True)
class Form:
    """What decides the shapes of the tensors in which a stack of tasks is trained.

    Attributes:
        models: C tasks, at least.
        encoders: of each task.
        decoders: of each task.
        steps: S updates of each.
        batch_size: B rows of an update.
        kept: whether an optimiser is kept.
        masked: whether any entry is frozen.
        observers: tasks that gather activation statistics, at least.
        measured: whether the losses of batches are asked for.
    """

    models: int
    encoders: int
    decoders: int
    steps: int
    batch_size: int
    kept: bool
    masked: bool
    observers: int
    measured: bool

    @staticmethod
    def of(tasks: Sequence[TrainTask]) -> Form:
        """The form of a stack of tasks of one kind; see `kind_of`."""
        first, observers = tasks[0], sum(task.observe for task in tasks)
        networks = (each for task in tasks for each in (*task.encoders, *task.decoders))
        return Form(
            models=_padded(len(tasks)),
            encoders=len(first.encoders),
            decoders=len(first.decoders),
            steps=first.updates.rows.shape[0],
            batch_size=first.updates.rows.shape[1],
            kept=first.encoder_moments is not None,
            masked=any(each.is_masked for each in networks),
            observers=_power_of_two(observers) if observers else 0,
            measured=first.measure,
        )


def kind_of(task: TrainTask) -> Form:
    """Equal for tasks that can be a stack: they may differ in masks and in observing."""
    return replace(Form.of([task]), masked=False, observers=0)


def _padded(models: int) -> int:
    """The size of stack in which so many models are trained: at most an eighth larger.

    Few sizes are used, so that what is prepared for one is used again.
    """
    unit = 1 << max(0, models.bit_length() - 4)
    return -(-models // unit) * unit


def _power_of_two(number: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << (number - 1).bit_length()


class Buffers:
    """Named tensors that stay where they are as long as nothing larger is asked for.

    Args:
        device: where they are.
        before_move: called before a tensor is replaced by a larger one: what still holds on to the
            old one should let go.
    """

    def __init__(self, device: torch.device, before_move: Callable[[], None]) -> None:
        self._device = device
        self._before_move = before_move
        self._kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """The tensor of that name, of a shape; its values are what they are, zeros at first."""
        size = math.prod(shape)
        kept = self._kept.get((name, dtype))
        if kept is None or kept.numel() < size:
            if kept is not None:
                del self._kept[name, dtype], kept
                self._before_move()
            kept = torch.zeros(size, dtype=dtype, device=self._device)
            self._kept[name, dtype] = kept
        return kept[:size].view(*shape)

    def clear(self) -> None:
        """Give everything back."""
        self._kept.clear()


class Halving:
    """Asks for a stack at a time, and for halves of it once one did not fit into memory.

    Others may use the memory too, so that twice as much is tried again after a while.

    Args:
        make_room: gives back what is kept for later use.
    """

    def __init__(self, make_room: Callable[[], None]) -> None:
        self._make_room = make_room
        self._most: int | None = None
        self._since = 0

    @property
    def most(self) -> int | None:
        """Tasks that are tried at once; None while all that were asked for did fit."""
        return self._most

    def ask(self, function: Callable[[Sequence[T]], list[R]], tasks: Sequence[T]) -> list[R]:
        """The function's answers to all tasks, however many stacks it takes.

        Raises:
            RuntimeError: not even one task fits into memory.
        """
        answers: list[R] = []
        room_made = False
        while len(answers) < len(tasks):
            n = min(len(tasks) - len(answers), self._most or len(tasks))
            part = tasks[len(answers) : len(answers) + n]
            try:
                answers += function(part)
            except (RuntimeError, MemoryError) as error:
                if not _is_out_of_memory(error) or (n == 1 and room_made):
                    raise
                self._most, self._since = max(1, n // 2), 0
            else:
                self._grow()
                room_made = False
                continue
            self._make_room()  # the error, and the tensors that it held on to, are gone
            room_made = True
        return answers

    def _grow(self) -> None:
        """Stacks fit again: after a while, try more."""
        if self._most is not None:
            self._since += 1
            if self._since == _TRIED_AGAIN_AFTER:
                self._most, self._since = 2 * self._most, 0
