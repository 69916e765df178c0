"""A training pass in JAX: one compiled scan over the batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from aes_lipi.arrays import Float32, Int32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Pair
from aes_lipi.engine.protocol import ADAM_EPSILON

RATE = 1e-5


def scanned_pass(
    architecture: Architecture, pair: Pair, data: Float32, batches: Int32, transposed: bool
) -> Callable[[], None]:
    """Compile a pass over all batches; weights stored as (n_in, n_out) where `transposed`.

    Raises:
        ImportError: JAX is not installed.
    """
    import jax  # noqa: PLC0415 - not a dependency of the project
    import jax.numpy as jnp  # noqa: PLC0415

    weights = []
    for layout, network in (
        (architecture.encoder, pair.encoder),
        (architecture.decoder, pair.decoder),
    ):
        for k in range(len(layout.layers)):
            weight = layout.weight(network.genome, k)
            weights.append(jnp.asarray(np.ascontiguousarray(weight.T) if transposed else weight))
            weights.append(jnp.asarray(layout.bias(network.genome, k)))

    def loss(parameters: list[Any], x: Any) -> Any:
        value = x
        for k in range(0, len(parameters), 2):
            weight = parameters[k] if transposed else parameters[k].T
            value = value @ weight + parameters[k + 1]
            last = k == len(parameters) - 2
            value = jax.nn.sigmoid(value) if last else jax.nn.relu(value)
        return jnp.abs(value - x).mean()

    def step(parameters: list[Any], x: Any) -> tuple[list[Any], None]:
        slopes = jax.grad(loss)(parameters, x)
        return [
            weight - RATE * slope / (jnp.abs(slope) + ADAM_EPSILON)
            for weight, slope in zip(parameters, slopes, strict=True)
        ], None

    rows = jnp.asarray(data)[jnp.asarray(batches)]
    passed = jax.jit(lambda parameters, x: jax.lax.scan(step, parameters, x)[0])
    block: Callable[[Any], None] = jax.block_until_ready
    return lambda: block(passed(weights, rows))
