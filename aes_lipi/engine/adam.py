"""Adam on a stack of flat genomes (Kingma and Ba 2015), with the published betas."""

from __future__ import annotations

import torch
from torch import Tensor

from aes_lipi.engine.protocol import ADAM_BETAS, ADAM_EPSILON


def new_at_every_step(gradient: Tensor) -> Tensor:
    """The first step of a new Adam: g / (|g| + eps). Algorithm section 4, step 4.

    Args:
        gradient: (C, P).

    Returns:
        the direction, (C, P), to be scaled by the learning rate.
    """
    return gradient / gradient.abs().add_(ADAM_EPSILON)


def corrections(steps: Tensor) -> tuple[Tensor, Tensor]:
    """What corrects both running means for having begun at zero.

    Args:
        steps: number of this step, from 1, float64, (C, 1).

    Returns:
        1 - beta_1^steps, and the root of 1 - beta_2^steps; float32, (C, 1).
    """
    beta_1, beta_2 = ADAM_BETAS
    return (1.0 - beta_1**steps).float(), torch.sqrt(1.0 - beta_2**steps).float()


def kept(
    gradient: Tensor, first: Tensor, second: Tensor, corrections: tuple[Tensor, Tensor]
) -> Tensor:
    """A further step of a kept Adam; the moments are updated in place.

    Args:
        gradient: (C, P).
        first: running mean of the gradient, (C, P).
        second: running mean of its square, (C, P).
        corrections: of this step; see the function of that name.

    Returns:
        the direction, (C, P), to be scaled by the learning rate.
    """
    beta_1, beta_2 = ADAM_BETAS
    first.lerp_(gradient, 1.0 - beta_1)
    second.mul_(beta_2).addcmul_(gradient, gradient, value=1.0 - beta_2)
    return first / corrections[0] / (second.sqrt() / corrections[1] + ADAM_EPSILON)
