"""Memory of a device: what stacks are built in, what they take, and what if it runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from aes_lipi.autoencoders.environments import Architecture

COPIES = 14
"""Genome-sized tensors that a model in training takes at most: the weights, before and after, the
gradient, both moments, a mask, what the optimiser has in between, and copies of its neighbours."""

SHARE = 0.8
"""Of the free memory, what stacks may take."""

T = TypeVar("T")
R = TypeVar("R")


def bytes_per_model(architecture: Architecture, batch_size: int) -> int:
    """Memory that one more model in a stack takes, an upper estimate."""
    nodes = architecture.encoder.n_nodes + architecture.decoder.n_nodes
    values = COPIES * architecture.n_parameters + 8 * batch_size * (nodes + architecture.n_dim)
    return 4 * values


def models_that_fit(architecture: Architecture, batch_size: int, free: int) -> int:
    """Models that can be trained side by side in so many bytes; at least one is tried."""
    return max(1, int(SHARE * free) // bytes_per_model(architecture, batch_size))


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU, those included that torch keeps for later use."""
    free, _ = torch.cuda.mem_get_info(device)
    idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + idle)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on a GPU or in this process, or an error came of that."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):
        return True
    return error.__context__ is not None and is_out_of_memory(error.__context__)


def padded(models: int) -> int:
    """The size of stack in which so many models are trained: at most an eighth larger.

    Few sizes are used, so that what is prepared for one is used again.
    """
    unit = 1 << max(0, models.bit_length() - 4)
    return -(-models // unit) * unit


def power_of_two(number: int) -> int:
    """The smallest power of two that is no smaller."""
    return 1 << (number - 1).bit_length()


class Buffers:
    """Named tensors that stay where they are as long as nothing larger is asked for.

    Args:
        device: where they are.

    Attributes:
        moves: how often a tensor had to be replaced by a larger one.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._kept: dict[tuple[str, torch.dtype], Tensor] = {}
        self.moves = 0

    def take(self, name: str, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """The tensor of that name, of a shape; its values are what they are, zeros at first."""
        size = math.prod(shape)
        kept = self._kept.get((name, dtype))
        if kept is None or kept.numel() < size:
            self.moves += kept is not None
            self._kept.pop((name, dtype), None)
            kept = torch.zeros(size, dtype=dtype, device=self._device)
            self._kept[name, dtype] = kept
        return kept[:size].view(*shape)

    def clear(self) -> None:
        """Give everything back."""
        self._kept.clear()
        self.moves += 1


class Halving:
    """Asks for a stack at a time, and for halves of it once one did not fit into memory.

    Args:
        make_room: gives back what is kept for later use.
    """

    def __init__(self, make_room: Callable[[], None]) -> None:
        self._make_room = make_room
        self._most: int | None = None

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
        while len(answers) < len(tasks):
            n = min(len(tasks) - len(answers), self._most or len(tasks))
            part = tasks[len(answers) : len(answers) + n]
            try:
                answers += function(part)
            except (RuntimeError, MemoryError) as error:
                if n == 1 or not is_out_of_memory(error):
                    raise
                self._most = n // 2
            else:
                continue
            self._make_room()  # the error, and the tensors that it held on to, are gone
        return answers
