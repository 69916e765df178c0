"""A training pass of the published setting as users of PyTorch and of JAX write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_modules import AutoencoderModule

from aes_lipi.arrays import Float32, Int32
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Pair
from aes_lipi.engine.protocol import ADAM_BETAS, ADAM_EPSILON

RATE = 1e-5


def plain_loop(
    architecture: Architecture, pair: Pair, data: Tensor, batches: Int32, fused: bool
) -> Callable[[], None]:
    """Module, a new `torch.optim.Adam` for every batch, backward, step."""
    module = AutoencoderModule(architecture, pair)

    def work() -> None:
        for rows in batches:
            x = data[rows]
            optimiser = torch.optim.Adam(
                module.parameters(), lr=RATE, betas=ADAM_BETAS, eps=ADAM_EPSILON, fused=fused
            )
            optimiser.zero_grad()
            nn.functional.l1_loss(module(x), x).backward()  # type: ignore[no-untyped-call]
            optimiser.step()

    return work


def _forward(weights: list[Tensor], x: Tensor) -> Tensor:
    """Layers of one model, or, with a leading axis everywhere, of a stack of models."""
    value = x
    for k in range(0, len(weights), 2):
        weight, bias = weights[k], weights[k + 1]
        value = value @ weight.transpose(-1, -2) + bias
        value = torch.sigmoid(value) if k == len(weights) - 2 else torch.relu(value)
    return value


def _step(weights: list[Tensor], x: Tensor) -> list[Tensor]:
    """The closed form of a new Adam's step on every tensor."""

    def loss(parameters: list[Tensor]) -> Tensor:
        error = (_forward(parameters, x) - x).abs()
        return error.mean(dim=(-1, -2)).sum()

    gradients = torch.func.grad(loss)(weights)
    return [
        weight - RATE * gradient / (gradient.abs() + ADAM_EPSILON)
        for weight, gradient in zip(weights, gradients, strict=True)
    ]


def compiled_steps(
    architecture: Architecture, pair: Pair, data: Tensor, batches: Int32, models: int
) -> Callable[[], None]:
    """`torch.compile` of the whole step, for one model or for a stack of them side by side."""
    module = AutoencoderModule(architecture, pair)
    weights = [parameter.detach().clone() for parameter in module.parameters()]
    if models > 1:
        weights = [
            _stacked(weight, models).unsqueeze(-2)
            if weight.dim() == 1
            else _stacked(weight, models)
            for weight in weights
        ]
    step = torch.compile(_step, fullgraph=True, dynamic=False)
    indices = torch.from_numpy(batches.astype(np.int64))

    def work() -> None:
        current = weights
        for rows in indices:
            x = data[rows]
            current = step(current, x.expand(models, -1, -1) if models > 1 else x)

    return work


def _stacked(weight: Tensor, models: int) -> Tensor:
    return weight.expand(models, *weight.shape).contiguous()


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
