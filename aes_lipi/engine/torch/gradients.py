"""Gradients of a stack of models: derived by hand where that has been done, else by autograd.

Shapes: C models, B rows, P entries of a genome, n nodes of a layer. Every tensor has the same shape
at every step, so that a GPU can replay the steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from aes_lipi.autoencoders.environments import HUBER_LIMIT, OF_PROBABILITIES, Architecture
from aes_lipi.autoencoders.network import LEAK, Activation, NetworkLayout
from aes_lipi.engine.torch.losses import loss_terms
from aes_lipi.engine.torch.passes import (
    ForwardPass,
    Pairs,
    forward_passes,
    layer_parameters,
)


@dataclass(frozen=True)
class Batch:
    """What a stack of models is trained on in one step.

    Attributes:
        target: the models' rows, (C, B, X).
        present: 1 for a row, 0 where a smaller batch is padded, (C, B, 1).
        weight: of every row in the loss, 0 where `present` is: 1 / (rows * X) for a mean over rows
            and dimensions, 1 for a sum, times the row's own weight where it has one; (C, B, 1).
        input_noise: standard normal values for the input, (C, B, X); None without such noise.
        code_noise: the same for the code, (C, B, Z).
    """

    target: Tensor
    present: Tensor
    weight: Tensor
    input_noise: Tensor | None = None
    code_noise: Tensor | None = None


Gradients = Callable[[Architecture, Pairs, Batch, Pairs], tuple[ForwardPass, ForwardPass]]
"""The gradient of every model's loss on its own rows, in every weight; see `_differentiated`."""


def gradients_of(architecture: Architecture) -> Gradients:
    """What computes an architecture's gradients.

    A loss that has none of its own in `_OF_ERROR` is differentiated, and so is GELU, whose slope
    does not follow from its output: slower, and as right.
    """
    layers = (*architecture.encoder.layers, *architecture.decoder.layers)
    by_hand = architecture.loss in _OF_ERROR and all(k.activation != "gelu" for k in layers)
    return _derived if by_hand else _differentiated


def _differentiated(
    architecture: Architecture, genomes: Pairs, batch: Batch, into: Pairs
) -> tuple[ForwardPass, ForwardPass]:
    """The gradients by autograd, for whatever loss a forward pass can compute.

    Args:
        architecture: of all models.
        genomes: of encoders and decoders, (C, P) each.
        batch: what they are trained on.
        into: where the gradients are written, of the shapes of the genomes.

    Returns:
        the forward passes of encoders and decoders.
    """
    leaves = [each.detach().requires_grad_() for each in genomes]
    with torch.enable_grad():
        seen, pairs = _seen(architecture, batch), (leaves[0], leaves[1])
        encoded, _, decoded = forward_passes(architecture, pairs, seen, batch.code_noise)
        loss = weighted_loss(architecture, encoded, decoded, batch).sum()
    for place, gradient in zip(into, torch.autograd.grad(loss, leaves), strict=True):
        place.copy_(gradient)
    return encoded, decoded


def weighted_loss(
    architecture: Architecture, encoded: ForwardPass, decoded: ForwardPass, batch: Batch
) -> Tensor:
    """Every model's loss of its batch, (C,)."""
    terms = loss_terms(architecture, encoded, decoded, batch.target)
    return torch.stack([(term * batch.weight).sum((-2, -1)) for term in terms]).sum(0)


def _derived(
    architecture: Architecture, genomes: Pairs, batch: Batch, into: Pairs
) -> tuple[ForwardPass, ForwardPass]:
    """The gradients by hand, without a graph of autograd; see `_differentiated`."""
    seen = _seen(architecture, batch)
    encoded, code, decoded = forward_passes(architecture, genomes, seen, batch.code_noise)
    of_output = _of_output(architecture, decoded.outputs[-1], batch)
    output = {len(architecture.decoder.layers) - 1: of_output}
    from_code = _backward(architecture.decoder, genomes[1], (code, decoded), output, into[1])
    heads = _of_heads(architecture, encoded, from_code, batch)
    _backward(architecture.encoder, genomes[0], (seen, encoded), heads, into[0], needs_input=False)
    return encoded, decoded


def _seen(architecture: Architecture, batch: Batch) -> Tensor:
    """What encoders see of their rows, (C, B, X)."""
    if batch.input_noise is None:
        return batch.target
    return batch.target + architecture.input_noise * batch.input_noise


_OF_ERROR: dict[str, Callable[[Tensor], Tensor]] = {
    "l1": Tensor.sign_,
    "mse": lambda error: error.mul_(2.0),
    "huber": lambda error: error.clamp_(-HUBER_LIMIT, HUBER_LIMIT),
    "bce": lambda error: error,
    "negative_elbo": lambda error: error,
}
"""By loss, its gradient in the outputs, of the errors there; but in what goes into their sigmoid
for `OF_PROBABILITIES`."""


def _of_output(architecture: Architecture, y: Tensor, batch: Batch) -> Tensor:
    """The loss's gradient in what goes into the last activation, (C, B, X), of the outputs y."""
    gradient = _OF_ERROR[architecture.loss](y - batch.target).mul_(batch.weight)
    if architecture.loss in OF_PROBABILITIES:
        return gradient
    return _through(architecture.decoder.layers[-1].activation, gradient, y)


def _of_heads(
    architecture: Architecture, encoded: ForwardPass, from_code: Tensor, batch: Batch
) -> dict[int, Tensor]:
    """The loss's gradient in what goes into the last layers of the encoder, by layer.

    A variational encoder's code is m + e^(v/2) * noise of mean m and log-variance v. The negative
    ELBO has the gradient of the Kullback-Leibler divergence, -1/2 sum(1 + v - m^2 - e^v), too
    (Kingma and Welling 2014, appendix B).
    """
    last = len(architecture.encoder.layers) - 1
    if not architecture.variational:
        activation = architecture.encoder.layers[last].activation
        return {last: _through(activation, from_code, encoded.outputs[last])}
    mean, log_variance = encoded.outputs[-2:]
    of_mean, of_variance = from_code, torch.zeros_like(log_variance)
    if batch.code_noise is not None:
        of_variance = from_code * batch.code_noise * (0.5 * torch.exp(0.5 * log_variance))
    if architecture.loss == "negative_elbo":
        of_mean = of_mean + mean * batch.weight
        of_variance = of_variance + (torch.exp(log_variance) - 1.0) * (0.5 * batch.weight)
    return {last - 1: of_mean, last: of_variance}


def _backward(
    layout: NetworkLayout,
    genomes: Tensor,
    passed: tuple[Tensor, ForwardPass],
    last: Mapping[int, Tensor],
    into: Tensor,
    *,
    needs_input: bool = True,
) -> Tensor:
    """Carry a loss's gradient from a network's last layers back to its weights and its input.

    Args:
        layout: of the network.
        genomes: (C, P).
        passed: what went in, (C, B, n_in), and the forward pass.
        last: by layer, for those that no other reads, the gradient in the values before
            activation, (C, B, n) each.
        into: where the gradient in the genomes is written, (C, P).
        needs_input: whether the gradient in the input is wanted.

    Returns:
        that gradient, (C, B, n_in); the input itself where it is not wanted.
    """
    x, forward = passed
    parameters, places = layer_parameters(genomes, layout), layer_parameters(into, layout)
    arriving: dict[int, Tensor] = {}
    for k in reversed(range(len(layout.layers))):
        layer = layout.layers[k]
        delta = (
            last[k] if k in last else _through(layer.activation, arriving[k], forward.outputs[k])
        )
        source = x if layer.reads < 0 else forward.outputs[layer.reads]
        weight, bias = places[k]
        torch.bmm(delta.transpose(1, 2), source, out=weight)
        torch.sum(delta, 1, out=bias)
        if layer.reads >= 0 or needs_input:
            arrives = torch.bmm(delta, parameters[k][0])
            known = arriving.get(layer.reads)
            arriving[layer.reads] = arrives if known is None else known + arrives
    return arriving.get(-1, x)


def _through(activation: Activation, gradient: Tensor, output: Tensor) -> Tensor:
    """The gradient before an activation from the one after it."""
    before = gradient
    match activation:
        case "relu":
            before = torch.ops.aten.threshold_backward(gradient, output, 0)
        case "leaky_relu":
            before = torch.ops.aten.leaky_relu_backward(gradient, output, LEAK, True)
        case "tanh":
            before = torch.ops.aten.tanh_backward(gradient, output)
        case "sigmoid":
            before = torch.ops.aten.sigmoid_backward(gradient, output)
    return before
