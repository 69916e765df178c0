"""Adam on a stack of genomes (Kingma and Ba 2015), in one pass over memory where it can be fused.

Algorithm section 4, step 4: with the published betas, either new at every update or kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from aes_lipi.engine.protocol import ADAM_BETAS, ADAM_EPSILON

_State = tuple[Tensor, Tensor, Tensor, Tensor]
"""Both running means, and what corrects them; see `_kept`."""


@dataclass(frozen=True)
class Adam:
    """An optimiser's step, in both kinds.

    Attributes:
        fresh: of an Adam that is new at every update; see `_fresh`.
        kept: of one that is kept; see `_kept`.
        fused: whether each is one kernel.
    """

    fresh: Callable[[Tensor, Tensor, Tensor, Tensor | None], None]
    kept: Callable[[Tensor, Tensor, Tensor, Tensor | None, _State], None]
    fused: bool


@cache
def adam_on(device: torch.device) -> Adam:
    """The steps on a device: compiled into one kernel each on a GPU whose torch can compile."""
    if device.type == "cpu":
        return Adam(_fresh, _kept, fused=False)
    compiled = _compiled()
    try:
        _try(compiled, device)
    except Exception:  # compilers fail in many ways, and torch without one is right
        return Adam(_fresh, _kept, fused=False)
    return compiled


def _compiled() -> Adam:
    """The steps, to be compiled for any number of models on their first use."""
    fresh: Any = torch.compile(_fresh, dynamic=True)
    kept: Any = torch.compile(_kept, dynamic=True)
    return Adam(fresh, kept, fused=True)


@torch.no_grad()
def _try(adam: Adam, device: torch.device) -> None:
    """Compile all that a study can ask for, on small tensors, as it is used: without a graph."""
    for models in (3, 1):  # one model is a case of its own to the compiler
        mask = torch.ones((models, 5), dtype=torch.bool, device=device)
        for alive in (None, mask):
            values = [torch.ones((models, 5), device=device) for _ in range(4)]
            rates = torch.ones((models, 1), device=device)
            adam.fresh(values[0], values[1], rates, alive)
            adam.kept(values[0], values[1], rates, alive, (values[2], values[3], rates, rates))


def corrections(steps: Tensor) -> tuple[Tensor, Tensor]:
    """What corrects both running means for having begun at zero.

    Args:
        steps: number of this step, from 1, float64, (C, 1).

    Returns:
        1 - beta_1^steps, and the root of 1 - beta_2^steps; float32, (C, 1).
    """
    beta_1, beta_2 = ADAM_BETAS
    return (1.0 - beta_1**steps).float(), torch.sqrt(1.0 - beta_2**steps).float()


def _fresh(genomes: Tensor, gradient: Tensor, rates: Tensor, alive: Tensor | None) -> None:
    """The first step of a new Adam: against g / (|g| + eps).

    Args:
        genomes: changed in place, (C, P).
        gradient: (C, P).
        rates: (C, 1).
        alive: where entries may move, bool, (C, P); None if all may.
    """
    _move(genomes, gradient / gradient.abs().add_(ADAM_EPSILON), rates, alive)


def _kept(
    genomes: Tensor, gradient: Tensor, rates: Tensor, alive: Tensor | None, state: _State
) -> None:
    """A further step of an Adam that is kept.

    Args:
        genomes: changed in place, (C, P).
        gradient: (C, P).
        rates: (C, 1).
        alive: where entries may move, bool, (C, P); None if all may.
        state: running means of the gradient and of its square, (C, P), changed in place, and both
            corrections of this step, (C, 1); see the function of that name.
    """
    beta_1, beta_2 = ADAM_BETAS
    first, second, of_first, of_second = state
    first.lerp_(gradient, 1.0 - beta_1)
    second.mul_(beta_2).addcmul_(gradient, gradient, value=1.0 - beta_2)
    direction = first / of_first / (second.sqrt() / of_second + ADAM_EPSILON)
    _move(genomes, direction, rates, alive)


def _move(genomes: Tensor, direction: Tensor, rates: Tensor, alive: Tensor | None) -> None:
    if alive is not None:
        direction = direction * alive
    genomes.sub_(direction * rates)
