"""Forward passes and losses of a stack of models, for every environment.

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
from aes_lipi.autoencoders.network import Activation, NetworkLayout
from aes_lipi.engine.protocol import Measure

Pairs = tuple[Tensor, Tensor]
"""Genomes of encoders and of decoders, (C, P) each."""

_ACTIVATIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "linear": lambda value: value,
}


@dataclass(frozen=True)
class ForwardPass:
    """What came out of the layers of one network of each model.

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
        recorded.append(outputs[-1] if layer.activation == "relu" else value)
    return ForwardPass(outputs, recorded)


def _code_of(architecture: Architecture, encoded: ForwardPass, noise: Tensor | None) -> Tensor:
    """Variational: mean + exp(log_variance / 2) * noise, or the mean where there is no noise."""
    if not architecture.variational:
        return encoded.outputs[-1]
    mean, log_variance = encoded.outputs[-2:]
    if noise is None:
        return mean
    return mean + torch.exp(0.5 * log_variance) * noise


def loss_terms(
    architecture: Architecture, encoded: ForwardPass, decoded: ForwardPass, target: Tensor
) -> list[Tensor]:
    """What the environment's loss is the mean, or the sum, of: (C, B, n) each.

    `l1`: |x - y|. `negative_elbo`: binary cross-entropy, and KL(N(mean, variance) || N(0, I))
    (Kingma and Welling 2014, appendix B). The cross-entropy is taken from the values before the
    sigmoid, whose output lies in [0, 1] by itself: taken from the output, it would lose its
    gradient where float32 rounds it to 0 or 1.
    """
    if architecture.loss == "l1":
        return [(decoded.outputs[-1] - target).abs()]
    mean, log_variance = encoded.outputs[-2:]
    logits = decoded.recorded[-1]
    cross_entropy = functional.binary_cross_entropy_with_logits(
        logits, target.expand_as(logits), reduction="none"
    )
    return [cross_entropy, -0.5 * (1.0 + log_variance - mean.square() - log_variance.exp())]


def losses_of(
    architecture: Architecture,
    passes: tuple[ForwardPass, ForwardPass],
    target: Tensor,
    measure: Measure = "loss",
) -> Tensor:
    """What every model's passes through encoder and decoder lose of their rows, (C,).

    `l1` is the mean over rows and dimensions, `negative_elbo` the sum.
    """
    encoded, decoded = passes
    if measure == "l1":
        return (decoded.outputs[-1] - target).abs_().mean((-2, -1))
    terms = loss_terms(architecture, encoded, decoded, target)
    if architecture.loss == "l1":
        return terms[0].mean((-2, -1))
    first, *others = [term.sum((-2, -1)) for term in terms]
    return sum(others, first)


def loss_matrices(
    architecture: Architecture, encoders: Tensor, decoders: Tensor, x: Tensor
) -> Tensor:
    """The environment's loss of every encoder of a task with every decoder of it.

    Every encoder is run once, and every decoder once on all codes of its task.

    Args:
        architecture: of all models.
        encoders: genomes, (C, E, P).
        decoders: genomes, (C, D, P).
        x: the tasks' rows, (C, B, X).

    Returns:
        (C, E, D).
    """
    c, e, d, b = encoders.shape[0], encoders.shape[1], decoders.shape[1], x.shape[1]
    each = x.unsqueeze(1).expand(-1, e, -1, -1).flatten(0, 1)
    encoded = _forward_pass(architecture.encoder, encoders.flatten(0, 1), each)
    code = _code_of(architecture, encoded, None)
    codes = code.view(c, 1, e * b, -1).expand(-1, d, -1, -1).flatten(0, 1)
    decoded = _forward_pass(architecture.decoder, decoders.flatten(0, 1), codes)
    passes = encoded.reshaped(c, 1, e, b), decoded.reshaped(c, d, e, b)
    return losses_of(architecture, passes, x.view(c, 1, 1, b, -1)).transpose(1, 2)
