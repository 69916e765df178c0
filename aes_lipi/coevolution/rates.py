"""How a learning rate goes from one generation to the next.

What cosine and linear decay come to has the same bits on every machine: no function of a C library
is asked for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from aes_lipi.coevolution.stopping import decay_start
from aes_lipi.config import Variant
from aes_lipi.randomness import Address, Purpose

LOWEST_RATE, HIGHEST_RATE = 1e-9, 10.0
STEP_FACTOR, STEPS_PER_RUN = 0.1, 4


def _walk(rate: float, variant: Variant, address: Address) -> float:
    """The rate plus Normal(0, sd), clipped to [1e-9, 10]: algorithm section 4, step 8."""
    change = address.stream(Purpose.LEARNING_RATE).normal(0.0, variant.learning_rate_sd)
    return min(max(rate + change, LOWEST_RATE), HIGHEST_RATE)


def _step(rate: float, variant: Variant, address: Address) -> float:
    """A tenth of the rate every max(1, epochs // 4) generations: `ann_canonical`, section 4."""
    start = decay_start(variant)
    interval = max(1, (variant.epochs - start) // STEPS_PER_RUN)
    return variant.learning_rate * STEP_FACTOR ** (
        max(0, address.generation + 1 - start) // interval
    )


def _constant(rate: float, variant: Variant, address: Address) -> float:
    """The same rate."""
    return rate


def _cosine(rate: float, variant: Variant, address: Address) -> float:
    """Half of a cosine, from the whole rate at the start of the decay to 0 after the last one.

    Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts and down to 0.
    """
    u = _decayed(variant, address.generation + 1)
    sine = _sine(0.5 * math.pi * min(u, 1.0 - u))
    return variant.learning_rate * (1.0 - sine * sine if u <= 0.5 else sine * sine)


def _linear(rate: float, variant: Variant, address: Address) -> float:
    """A line from the whole rate at the start of the decay to 0 after the last generation."""
    return variant.learning_rate * (1.0 - _decayed(variant, address.generation + 1))


LEARNING_RATE_POLICIES: dict[str, Callable[[float, Variant, Address], float]] = {
    "walk": _walk,
    "step": _step,
    "constant": _constant,
    "cosine": _cosine,
    "linear": _linear,
    "plateau": _constant,
}
"""What `plateau` cuts follows from losses: see `rate_in`."""


def next_learning_rate(rate: float, variant: Variant, address: Address) -> float:
    """The rate for the generation after `address.generation`, of whom the address is."""
    policy = LEARNING_RATE_POLICIES[variant.learning_rate_policy or "walk"]
    return policy(rate, variant, address)


def rate_in(variant: Variant, rate: float, t: int, cuts: int) -> float:
    """The rate that a generation trains at.

    Args:
        variant: settings.
        rate: of the policy, before cuts and warm-up.
        t: number of the generation.
        cuts: tenfold cuts that `plateau` has made.
    """
    if variant.learning_rate_policy == "plateau":
        cut = rate / 10 ** min(cuts, 300)  # no rate is so high that it would not be the lowest
        rate = max(cut, min(rate, LOWEST_RATE))
    return rate * (t / variant.warmup) if t < variant.warmup else rate


def _decayed(variant: Variant, t: int) -> float:
    """The share of the decay that lies behind in a generation, in [0, 1]; 1 after the last one."""
    start = min(decay_start(variant), variant.epochs - 1)
    return max(0.0, (t - start) / (variant.epochs - start))


def _sine(x: float) -> float:
    """The sine in [0, pi/4] by its series, to rounding, of sums, products and quotients alone."""
    term = total = x
    for k in range(2, 18, 2):
        term *= -x * x / (k * (k + 1))
        total += term
    return total
