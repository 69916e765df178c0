"""Forward passes and losses of a stack of models in torch, for every environment.

Shapes: C models, B rows, P entries of a genome, n nodes of a layer. Parameters are given as one
weight (C, n_out, n_in) and one bias (C, n_out) tensor per layer.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.modules import ACTIVATIONS
from aes_lipi.autoencoders.network import NetworkLayout

Parameters = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Passed:
    """A forward pass through one network.

    Attributes:
        outputs: of every layer, (C, B, n) each.
        recorded: what activation statistics and operators see of every layer: the output after
            ReLU, or the value before a sigmoid; (C, B, n) each.
    """

    outputs: list[Tensor]
    recorded: list[Tensor]

    def nodes(self) -> Tensor:
        """The recorded activations of all layers side by side, (C, B, nodes)."""
        return torch.cat(self.recorded, dim=-1)


def parameters_of(genomes: Tensor, layout: NetworkLayout) -> Parameters:
    """Views of the layers' tensors in a stack of genomes (C, P)."""
    stack = genomes.shape[0]
    return [
        (
            genomes[:, layout.weight_slice(k)].view(stack, layer.n_out, layer.n_in),
            genomes[:, layout.bias_slice(k)],
        )
        for k, layer in enumerate(layout.layers)
    ]


def run(layout: NetworkLayout, parameters: Parameters, x: Tensor) -> Passed:
    """Pass inputs (C, B, n_in) through the layers."""
    outputs: list[Tensor] = []
    recorded: list[Tensor] = []
    for layer, (weight, bias) in zip(layout.layers, parameters, strict=True):
        source = x if layer.reads < 0 else outputs[layer.reads]
        value = torch.baddbmm(bias.unsqueeze(1), source, weight.transpose(1, 2))
        outputs.append(ACTIVATIONS[layer.activation](value))
        recorded.append(outputs[-1] if layer.activation == "relu" else value)
    return Passed(outputs, recorded)


def code_of(architecture: Architecture, encoded: Passed, noise: Tensor | None) -> Tensor:
    """The latent code (C, B, Z).

    Variational: mean + exp(log_variance / 2) * noise, or the mean where there is no noise.
    """
    if not architecture.variational:
        return encoded.outputs[-1]
    mean, log_variance = encoded.outputs[-2:]
    if noise is None:
        return mean
    return mean + torch.exp(0.5 * log_variance) * noise


def losses_of(
    architecture: Architecture, encoded: Passed, decoded: Passed, target: Tensor
) -> Tensor:
    """The environment's loss of every model, (C,).

    `l1`: mean |x - y| over rows and dimensions. `negative_elbo`: binary cross-entropy plus
    KL(N(mean, variance) || N(0, I)), both summed over rows and dimensions (Kingma and Welling 2014,
    appendix B). The cross-entropy is taken from the values before the sigmoid, whose output lies in
    [0, 1] by itself: taken from the output, it would lose its gradient where float32 rounds it to
    0 or 1.
    """
    if architecture.loss == "l1":
        return l1_of(decoded.outputs[-1], target)
    mean, log_variance = encoded.outputs[-2:]
    logits = decoded.recorded[-1]
    cross_entropy = functional.binary_cross_entropy_with_logits(
        logits, target.expand_as(logits), reduction="none"
    )
    divergence = -0.5 * (1.0 + log_variance - mean.square() - log_variance.exp())
    return cross_entropy.sum((-2, -1)) + divergence.sum((-2, -1))


def l1_of(reconstruction: Tensor, target: Tensor) -> Tensor:
    """Mean absolute error over rows and dimensions of every model, (C,)."""
    return (reconstruction - target).abs().mean((-2, -1))
