"""Gradients of a stack of models, derived by hand and written into flat buffers.

Shapes: C models, B rows, P entries of a genome, n nodes of a layer. Nothing here records a graph of
autograd, and every tensor has the same shape at every step, so that a GPU can replay the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Activation, NetworkLayout
from aes_lipi.engine.functional import Passed, code_of, parameters_of, run


@dataclass(frozen=True)
class Batch:
    """What a stack of models is trained on in one step.

    Attributes:
        target: the models' rows, (C, B, X).
        present: 1 for a row, 0 where a smaller batch is padded, (C, B, 1).
        weight: of every row in the loss, 0 where `present` is: 1 / (rows * X) for a mean over rows
            and dimensions, 1 for a sum; (C, B, 1).
        input_noise: standard normal values for the input, (C, B, X); None without such noise.
        code_noise: the same for the code, (C, B, Z).
    """

    target: Tensor
    present: Tensor
    weight: Tensor
    input_noise: Tensor | None = None
    code_noise: Tensor | None = None


def gradients(
    architecture: Architecture,
    genomes: tuple[Tensor, Tensor],
    batch: Batch,
    into: tuple[Tensor, Tensor],
) -> tuple[Passed, Passed]:
    """The gradient of every model's loss on its own rows, in every weight.

    Args:
        architecture: of all models.
        genomes: of encoders and decoders, (C, P) each.
        batch: what they are trained on.
        into: where the gradients are written, of the shapes of the genomes.

    Returns:
        the forward passes of encoders and decoders.
    """
    encoder, decoder = architecture.encoder, architecture.decoder
    seen = batch.target
    if batch.input_noise is not None:
        seen = seen + architecture.input_noise * batch.input_noise
    encoded = run(encoder, parameters_of(genomes[0], encoder), seen)
    code = code_of(architecture, encoded, batch.code_noise)
    decoded = run(decoder, parameters_of(genomes[1], decoder), code)
    output = {len(decoder.layers) - 1: _of_output(architecture, decoded.outputs[-1], batch)}
    from_code = backward(decoder, genomes[1], (code, decoded), output, into[1])
    heads = _of_heads(architecture, encoded, from_code, batch)
    backward(encoder, genomes[0], (seen, encoded), heads, into[0], needs_input=False)
    return encoded, decoded


def _of_output(architecture: Architecture, y: Tensor, batch: Batch) -> Tensor:
    """The loss's gradient in what goes into the last sigmoid, (C, B, X)."""
    if architecture.loss == "l1":
        return _through("sigmoid", (y - batch.target).sign_().mul_(batch.weight), y)
    return (y - batch.target).mul_(batch.weight)  # of the cross-entropy


def _of_heads(
    architecture: Architecture, encoded: Passed, from_code: Tensor, batch: Batch
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
        of_mean = of_mean + mean * batch.present
        of_variance = of_variance + (torch.exp(log_variance) - 1.0) * (0.5 * batch.present)
    return {last - 1: of_mean, last: of_variance}


def backward(
    layout: NetworkLayout,
    genomes: Tensor,
    passed: tuple[Tensor, Passed],
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
    parameters, places = parameters_of(genomes, layout), parameters_of(into, layout)
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
    if activation == "relu":
        before = torch.ops.aten.threshold_backward(gradient, output, 0)
    elif activation == "sigmoid":
        before = torch.ops.aten.sigmoid_backward(gradient, output)
    return before
