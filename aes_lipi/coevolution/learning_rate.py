"""How a cell's learning rate goes from one generation to the next."""

from __future__ import annotations

from collections.abc import Callable

from aes_lipi.config import Variant
from aes_lipi.randomness import Address, Purpose

LOWEST_RATE = 1e-9
HIGHEST_RATE = 10.0
STEP_FACTOR = 0.1
STEPS_PER_RUN = 4


def walk(rate: float, variant: Variant, address: Address) -> float:
    """The rate plus Normal(0, sd), clipped to [1e-9, 10]: algorithm section 4, step 8."""
    change = address.stream(Purpose.LEARNING_RATE).normal(0.0, variant.learning_rate_sd)
    return min(max(rate + change, LOWEST_RATE), HIGHEST_RATE)


def step(rate: float, variant: Variant, address: Address) -> float:
    """A tenth of the rate every max(1, epochs // 4) generations: `ann_canonical`, section 4."""
    interval = max(1, variant.epochs // STEPS_PER_RUN)
    return variant.learning_rate * STEP_FACTOR ** ((address.generation + 1) // interval)


def constant(rate: float, variant: Variant, address: Address) -> float:
    """The same rate."""
    return rate


LEARNING_RATE_POLICIES: dict[str, Callable[[float, Variant, Address], float]] = {
    "walk": walk,
    "step": step,
    "constant": constant,
}


def next_learning_rate(rate: float, variant: Variant, address: Address) -> float:
    """The rate of the cell for the generation after `address.generation`."""
    policy = LEARNING_RATE_POLICIES[variant.learning_rate_policy or "walk"]
    return policy(rate, variant, address)
