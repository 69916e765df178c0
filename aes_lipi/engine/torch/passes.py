"""Forward passes of a stack of models, for every environment.

Shapes: C models, B rows, P entries of a genome, n nodes of a layer. A pass is through one network
of each model, all at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import LEAK, Activation, NetworkLayout

Pairs = tuple[Tensor, Tensor]
"""Genomes of encoders and of decoders, (C, P) each."""

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "leaky_relu": lambda value: functional.leaky_relu(value, LEAK),
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "sigmoid": torch.sigmoid,
    "linear": lambda value: value,
}


@dataclass(frozen=True)
class ForwardPass:
    """What came out of the layers of one network of each model.

    Attributes:
        outputs: of every layer, (C, B, n) each.
        recorded: what activation statistics and operators see of every layer: its output, or the
            value before a sigmoid; (C, B, n) each.
    """

    outputs: list[Tensor]
    recorded: list[Tensor]

    def nodes(self) -> Tensor:
        """The recorded activations of all layers side by side, (C, B, nodes)."""
        return torch.cat(self.recorded, dim=-1)

    def reshaped(self, *shape: int) -> ForwardPass:
        """The same with the rows of all models under other leading axes."""
        return ForwardPass(
            [part.reshape(*shape, part.shape[-1]) for part in self.outputs],
            [part.reshape(*shape, part.shape[-1]) for part in self.recorded],
        )


def layer_parameters(genomes: Tensor, layout: NetworkLayout) -> list[tuple[Tensor, Tensor]]:
    """Views of every layer's weights (C, n_out, n_in) and biases (C, n_out) in genomes (C, P)."""
    stack = genomes.shape[0]
    return [
        (
            genomes[:, layout.weight_slice(k)].view(stack, layer.n_out, layer.n_in),
            genomes[:, layout.bias_slice(k)],
        )
        for k, layer in enumerate(layout.layers)
    ]


def forward_passes(
    architecture: Architecture, genomes: Pairs, x: Tensor, noise: Tensor | None = None
) -> tuple[ForwardPass, Tensor, ForwardPass]:
    """Pass rows through encoders, and their codes through decoders.

    Args:
        architecture: of all models.
        genomes: of encoders and decoders, (C, P) each.
        x: every model's rows, (C, B, X).
        noise: of a variational encoder's code, (C, B, Z); None for its mean.

    Returns:
        the encoders' pass, the code (C, B, Z), and the decoders' pass.
    """
    encoded = _forward_pass(architecture.encoder, genomes[0], x)
    code = _code_of(architecture, encoded, noise)
    return encoded, code, _forward_pass(architecture.decoder, genomes[1], code)


def _forward_pass(layout: NetworkLayout, genomes: Tensor, x: Tensor) -> ForwardPass:
    """Pass inputs (C, B, n_in) through the layers of networks (C, P)."""
    outputs: list[Tensor] = []
    recorded: list[Tensor] = []
    parameters = layer_parameters(genomes, layout)
    for layer, (weight, bias) in zip(layout.layers, parameters, strict=True):
        source = x if layer.reads < 0 else outputs[layer.reads]
        value = torch.baddbmm(bias.unsqueeze(1), source, weight.transpose(1, 2))
        outputs.append(_ACTIVATIONS[layer.activation](value))
        recorded.append(value if layer.activation == "sigmoid" else outputs[-1])
    return ForwardPass(outputs, recorded)


def _code_of(architecture: Architecture, encoded: ForwardPass, noise: Tensor | None) -> Tensor:
    """Variational: mean + exp(log_variance / 2) * noise, or the mean where there is no noise."""
    if not architecture.variational:
        return encoded.outputs[-1]
    mean, log_variance = encoded.outputs[-2:]
    if noise is None:
        return mean
    return mean + torch.exp(0.5 * log_variance) * noise


def forward_passes_of_all_pairs(
    architecture: Architecture,
    encoders: Tensor,
    decoders: Tensor,
    x: Tensor,
    noise: Tensor | None = None,
) -> tuple[ForwardPass, ForwardPass]:
    """Every encoder of a task with every decoder of it.

    Every encoder is run once, and every decoder once on all codes of its task.

    Args:
        architecture: of all models.
        encoders: genomes, (C, E, P).
        decoders: genomes, (C, D, P).
        x: the tasks' rows, (C, B, X).
        noise: of a variational code, of every pair its own, (C, E, D, B, Z); None for its mean.

    Returns:
        the encoders' passes, outputs of shape (C, 1, E, B, n), and the decoders', (C, D, E, B, n).
    """
    c, e, d, b = encoders.shape[0], encoders.shape[1], decoders.shape[1], x.shape[1]
    each = x.unsqueeze(1).expand(-1, e, -1, -1).flatten(0, 1)
    passed = _forward_pass(architecture.encoder, encoders.flatten(0, 1), each)
    encoded = passed.reshaped(c, 1, e, b)
    code = _code_of(architecture, encoded, None if noise is None else noise.transpose(1, 2))
    codes = code.expand(-1, d, -1, -1, -1).reshape(c * d, e * b, -1)
    decoded = _forward_pass(architecture.decoder, decoders.flatten(0, 1), codes)
    return encoded, decoded.reshaped(c, d, e, b)
