"""The optimiser's step on a stack of genomes, in one pass over memory where it can be fused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from aes_lipi.engine import adam

Fresh = Callable[[Tensor, Tensor, Tensor, Tensor | None], None]
"""A step of an Adam that is new; see `_fresh`."""

Kept = Callable[
    [Tensor, Tensor, Tensor, Tensor | None, tuple[Tensor, Tensor, Tensor, Tensor]], None
]
"""A step of an Adam that is kept; see `_kept`."""


@dataclass(frozen=True)
class Update:
    """Both kinds of steps, and whether they are fused."""

    fresh: Fresh
    kept: Kept
    fused: bool


@cache
def update_on(device: torch.device) -> Update:
    """The steps on a device: compiled into one kernel each on a GPU whose torch can compile."""
    if device.type == "cpu":
        return Update(_fresh, _kept, fused=False)
    compiled = compiled_update()
    try:
        _try(compiled, device)
    except Exception:  # compilers fail in many ways, and torch without one is right
        return Update(_fresh, _kept, fused=False)
    return compiled


def compiled_update() -> Update:
    """The steps, to be compiled for any number of models on their first use."""
    fresh: Any = torch.compile(_fresh, dynamic=True)
    kept: Any = torch.compile(_kept, dynamic=True)
    return Update(fresh, kept, fused=True)


@torch.no_grad()
def _try(update: Update, device: torch.device) -> None:
    """Compile all that a study can ask for, on small tensors, as it is used: without a graph."""
    for models in (3, 1):  # one model is a case of its own to the compiler
        mask = torch.ones((models, 5), dtype=torch.bool, device=device)
        for alive in (None, mask):
            values = [torch.ones((models, 5), device=device) for _ in range(4)]
            rates = torch.ones((models, 1), device=device)
            update.fresh(values[0], values[1], rates, alive)
            update.kept(values[0], values[1], rates, alive, (values[2], values[3], rates, rates))


def _fresh(genomes: Tensor, gradient: Tensor, rates: Tensor, alive: Tensor | None) -> None:
    """One step of a new Adam.

    Args:
        genomes: changed in place, (C, P).
        gradient: (C, P).
        rates: (C, 1).
        alive: where entries may move, bool, (C, P); None if all may.
    """
    direction = adam.new_at_every_step(gradient)
    if alive is not None:
        direction = direction * alive
    genomes.sub_(direction * rates)


def _kept(
    genomes: Tensor,
    gradient: Tensor,
    rates: Tensor,
    alive: Tensor | None,
    state: tuple[Tensor, Tensor, Tensor, Tensor],
) -> None:
    """A further step of an Adam that is kept.

    Args:
        genomes: changed in place, (C, P).
        gradient: (C, P).
        rates: (C, 1).
        alive: where entries may move, bool, (C, P); None if all may.
        state: running means of the gradient and of its square, (C, P), changed in place, and both
            corrections of this step, (C, 1); see `adam.corrections`.
    """
    first, second, *corrections = state
    direction = adam.kept(gradient, first, second, (corrections[0], corrections[1]))
    if alive is not None:
        direction = direction * alive
    genomes.sub_(direction * rates)
