"""Losses of a stack of models, for every environment, and those that users add.

Shapes: C models, B rows, X dimensions. Losses are of a reconstruction y and the rows x, and means
over rows and dimensions, but for `negative_elbo`, which is a sum.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from aes_lipi.autoencoders.environments import HUBER_LIMIT, Architecture
from aes_lipi.engine.protocol import Measure
from aes_lipi.engine.torch.passes import ForwardPass, forward_passes_of_all_pairs
from aes_lipi.extension import Kind, Plugin, called, load, settled

_Terms = Callable[[ForwardPass, Tensor], Tensor]
"""What a loss is the mean of, (..., B, X), of the decoders' passes and the rows, (..., B, X)."""


def _l1(decoded: ForwardPass, x: Tensor) -> Tensor:
    return (decoded.outputs[-1] - x).abs()


def _squared(decoded: ForwardPass, x: Tensor) -> Tensor:
    return (decoded.outputs[-1] - x).square()


def _huber(decoded: ForwardPass, x: Tensor) -> Tensor:
    y = decoded.outputs[-1]
    return functional.huber_loss(y, x.expand_as(y), reduction="none", delta=HUBER_LIMIT)


def _cross_entropy(decoded: ForwardPass, x: Tensor) -> Tensor:
    """From the values before the sigmoid, whose output lies in [0, 1] by itself.

    Taken from the output, it would lose its gradient where float32 rounds it to 0 or 1.
    """
    logits = decoded.recorded[-1]
    return functional.binary_cross_entropy_with_logits(
        logits, x.expand_as(logits), reduction="none"
    )


def loss_terms(
    architecture: Architecture, encoded: ForwardPass, decoded: ForwardPass, target: Tensor
) -> list[Tensor]:
    """What the architecture's loss is the mean, or the sum, of: (C, B, n) each.

    `negative_elbo`: binary cross-entropy, and KL(N(mean, variance) || N(0, I)) (Kingma and Welling
    2014, appendix B).
    """
    terms = [load(LOSS, architecture.loss)(decoded, target)]
    if architecture.loss == "negative_elbo":
        mean, log_variance = encoded.outputs[-2:]
        terms.append(-0.5 * (1.0 + log_variance - mean.square() - log_variance.exp()))
    return terms


def losses_of(
    architecture: Architecture,
    passes: tuple[ForwardPass, ForwardPass],
    target: Tensor,
    measure: Measure = "loss",
    weights: Tensor | None = None,
) -> Tensor:
    """What every model's passes through encoder and decoder lose of their rows, (C,).

    Args:
        architecture: of all models.
        passes: of encoders and decoders.
        target: the rows, (C, B, X).
        measure: the architecture's loss, or another.
        weights: by what rows count in the loss, (C, B, 1); None where all count alike.
    """
    encoded, decoded = passes
    if measure != "loss":
        return LOSS.built_in[measure](decoded, target).mean((-2, -1))
    terms = loss_terms(architecture, encoded, decoded, target)
    if weights is not None:
        terms = [term * weights for term in terms]
    if architecture.loss != "negative_elbo":
        return terms[0].mean((-2, -1))
    first, *others = [term.sum((-2, -1)) for term in terms]
    return sum(others, first)


def _plugged(plugin: Plugin) -> _Terms:
    """A loss of a user's: a function of reconstructions and rows, tried on some.

    Raises:
        UserError: it takes other parameters, or breaks a rule; the line says what to change.
    """
    function = plugin.function("reconstruction", "rows")

    def terms(decoded: ForwardPass, x: Tensor) -> Tensor:
        y = decoded.outputs[-1]
        found = called(plugin, {}, lambda _: function(y, x.expand_as(y)))
        return _as_terms(plugin, found, y)

    _try(plugin, lambda y, x: _as_terms(plugin, called(plugin, {}, lambda _: function(y, x)), y))
    return terms


def _as_terms(plugin: Plugin, found: object, y: Tensor) -> Tensor:
    """A user's losses of values, or of rows, for every value: (..., B, X).

    Raises:
        UserError: the result is no tensor of one of these shapes.
    """
    wanted = "return a tensor with a loss for each value, or for each row"
    if not isinstance(found, Tensor):
        raise plugin.error(f"returns a value of type {type(found).__name__}; {wanted}")
    if found.dtype != y.dtype:
        raise plugin.error(f"returns a tensor of {found.dtype} of one of {y.dtype}; {wanted}")
    if found.shape == y.shape:
        return found
    if found.shape == y.shape[:-1]:
        return found.unsqueeze(-1).expand_as(y)
    raise plugin.error(
        f"returns a tensor of shape {tuple(found.shape)} of one of {tuple(y.shape)}; {wanted}"
    )


def _try(plugin: Plugin, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    """Try a user's loss on a few rows of two models.

    Raises:
        UserError: it gives another result the second time, changes what it is given, gives no
            finite gradient, or a row's loss depends on another row.
    """
    generator = torch.Generator().manual_seed(1)
    y, x = (0.1 + 0.8 * torch.rand((2, 4, 3), generator=generator) for _ in range(2))
    with torch.enable_grad():
        given = y.clone().requires_grad_()
        found = settled(plugin, lambda: loss(given, x.clone()), torch.equal)
        if not found.requires_grad:
            raise plugin.error(
                "has no gradient by the reconstruction; compute with torch's functions alone"
            )
        [gradient] = torch.autograd.grad(found.sum(), [given])
    if not (found.isfinite().all() and gradient.isfinite().all()):
        raise plugin.error(
            "is not finite, or its gradient is not, at values from 0.1 to 0.9; mend it"
        )
    kept, rows = y.clone(), x.clone()
    loss(kept, rows)
    if not (torch.equal(kept, y) and torch.equal(rows, x)):
        raise plugin.error("changes what it is given; work on a copy")
    other = y.clone()
    other[:, 1:] += 0.05
    if not torch.allclose(loss(other, x)[:, 0], found[:, 0].detach()):
        raise plugin.error("makes a row's loss depend on other rows; treat each by itself")


LOSS: Kind[_Terms] = Kind(
    "loss",
    _plugged,
    {
        "l1": _l1,
        "mse": _squared,
        "huber": _huber,
        "bce": _cross_entropy,
        "negative_elbo": _cross_entropy,
    },
)
"""What `load` finds losses by."""


def loss_matrices(
    architecture: Architecture,
    encoders: Tensor,
    decoders: Tensor,
    x: Tensor,
    *,
    weights: Tensor | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """The architecture's loss of every encoder of a task with every decoder of it.

    Args:
        architecture: of all models.
        encoders: genomes, (C, E, P).
        decoders: genomes, (C, D, P).
        x: the tasks' rows, (C, B, X).
        weights: of these rows, (C, B); None where all count alike.
        noise: of a variational code, (C, E, D, B, Z); None for its mean.

    Returns:
        (C, E, D).
    """
    c, b = x.shape[:2]
    passes = forward_passes_of_all_pairs(architecture, encoders, decoders, x, noise)
    by_row = None if weights is None else weights.view(c, 1, 1, b, 1)
    found = losses_of(architecture, passes, x.view(c, 1, 1, b, -1), weights=by_row)
    return found.transpose(1, 2)
