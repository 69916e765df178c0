"""Evaluation of stacks of models; shapes as in `aes_lipi.engine.functional`."""

from __future__ import annotations

from torch import Tensor

from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.engine.functional import Passed, code_of, losses_of, parameters_of, run
from aes_lipi.engine.protocol import Measure


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
    parameters = parameters_of(encoders.flatten(0, 1), architecture.encoder)
    encoded = run(architecture.encoder, parameters, each)
    code = code_of(architecture, encoded, None)
    codes = code.view(c, 1, e * b, -1).expand(-1, d, -1, -1).flatten(0, 1)
    parameters = parameters_of(decoders.flatten(0, 1), architecture.decoder)
    decoded = run(architecture.decoder, parameters, codes)
    pairs = _shaped(decoded, c, d, e, b)
    losses = losses_of(architecture, _shaped(encoded, c, 1, e, b), pairs, x.view(c, 1, 1, b, -1))
    return losses.transpose(1, 2)


def _shaped(passed: Passed, *shape: int) -> Passed:
    """The same with the rows of all models under other leading axes."""
    return Passed(
        [part.reshape(*shape, -1) for part in passed.outputs],
        [part.reshape(*shape, -1) for part in passed.recorded],
    )


def forward(
    architecture: Architecture, encoders: Tensor, decoders: Tensor, x: Tensor
) -> tuple[Passed, Passed]:
    """Every encoder (C, P) on its rows (C, B, X), and its decoder (C, P) on the code."""
    encoded = run(architecture.encoder, parameters_of(encoders, architecture.encoder), x)
    code = code_of(architecture, encoded, None)
    return encoded, run(architecture.decoder, parameters_of(decoders, architecture.decoder), code)


def losses_of_batches(
    architecture: Architecture, passed: tuple[Passed, Passed], x: Tensor, measure: Measure
) -> Tensor:
    """Loss or L1 of every pair on every batch.

    Args:
        architecture: of all models.
        passed: forward passes of encoders and decoders on the batches, (C, N, B, n) each.
        x: the batches, (N, B, X).
        measure: which.

    Returns:
        (C, N).
    """
    encoded, decoded = passed
    if measure == "l1":
        return (decoded.outputs[-1] - x).abs_().mean((-2, -1))
    return losses_of(architecture, encoded, decoded, x)


def reshaped(passed: tuple[Passed, Passed], batch: int) -> tuple[Passed, Passed]:
    """Forward passes on rows (C, R, n) as those on batches of them, (C, R / batch, batch, n)."""
    encoded, decoded = passed
    c, r = decoded.outputs[-1].shape[:2]
    return _shaped(encoded, c, r // batch, batch), _shaped(decoded, c, r // batch, batch)


def rows_as(rows: Tensor, batch: int) -> Tensor:
    """Rows (R, X) as batches (R / batch, batch, X)."""
    return rows.view(-1, batch, rows.shape[1])


def same_rows(rows: Tensor, models: int) -> Tensor:
    """The same rows (R, X) for every model, (C, R, X), without a copy."""
    return rows.unsqueeze(0).expand(models, -1, -1)
