"""Training that diverged: noticed in the generation in which it happens."""

from __future__ import annotations

import math
from dataclasses import replace

from aes_lipi.coevolution.cell import InHand
from aes_lipi.coevolution.plan import Record, Setup


class DivergenceError(ArithmeticError):
    """A weight or a loss is not finite, and the policy is to give the trial up."""


def caught(hand: InHand, setup: Setup) -> InHand:
    """The pair in hand; what the policy says instead, if a weight or a training loss is not finite.

    With `skip`, the cell keeps its previous state, all of it, as if the generation had not been;
    its record keeps the losses, and says that it diverged. Losses on test rows decide nothing.

    Raises:
        DivergenceError: the policy is `fail`.
    """
    what = _not_finite(hand)
    if what is None:
        return hand
    if setup.variant.on_divergence == "fail":
        address = hand.task.plan.address
        raise _error(what, address.cell, address.generation)
    return replace(hand, cell=hand.task.cell, winner=0, diverged=True)


def check_measured(record: Record, setup: Setup) -> None:
    """Whether the losses that were measured of a new centre are finite.

    Raises:
        DivergenceError: one is not, and the policy is `fail`.
    """
    if setup.variant.on_divergence != "fail":
        return
    for name in ("test_loss", "mean_L1", "test_L1", "validation_L1"):
        value = getattr(record, name)
        if value is not None and not math.isfinite(value):
            raise _error(name, record.cell, record.generation)


def _not_finite(hand: InHand) -> str | None:
    """Which of a pair's weights and losses are not finite."""
    if not hand.cell.pair.encoder.is_finite:
        return "a weight of the encoder"
    if not hand.cell.pair.decoder.is_finite:
        return "a weight of the decoder"
    if not math.isfinite(hand.min_selection_loss):
        return "min_selection_loss"
    return None if math.isfinite(hand.min_replacement_loss) else "min_replacement_loss"


def _error(what: str, cell: int, generation: int) -> DivergenceError:
    return DivergenceError(
        f"training diverged: in generation {generation} of cell {cell}, {what} is not finite; "
        "lower learning_rate or learning_rate_sd, or set on_divergence to skip"
    )
