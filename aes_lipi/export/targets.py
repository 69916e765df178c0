"""What an exported model must satisfy, and what a study does for that before it runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from aes_lipi.config import Study, Variant, list_presets
from aes_lipi.config.variant import METHODS_WITHOUT_AMOUNT
from aes_lipi.data.load import data_key
from aes_lipi.errors import UserError
from aes_lipi.execution.control import exported_widths
from aes_lipi.execution.inputs import architecture_on_hand


@dataclass(frozen=True)
class Target:
    """What the exported model must satisfy on the validation rows.

    Attributes:
        capacity: share of its parameters that may be left; the model of lowest loss is taken.
        loss_increase: by which share its loss may lie above the lowest that the study recorded on
            the same data; the model of the fewest parameters is taken.
    """

    capacity: float | None = None
    loss_increase: float | None = None

    def __bool__(self) -> bool:
        return self.capacity is not None or self.loss_increase is not None

    @property
    def flag(self) -> str:
        """As it is given."""
        if self.capacity is not None:
            return f"--target_capacity {self.capacity}"
        return f"--max_loss_increase {self.loss_increase}"


def target_of(capacity: float | None, loss_increase: float | None) -> Target:
    """The target that the flags name.

    Raises:
        UserError: both are given (give one), or a share is out of its bounds.
    """
    if capacity is not None and loss_increase is not None:
        raise UserError(
            "--target_capacity and --max_loss_increase exclude each other; give one of them"
        )
    if capacity is not None and not 0 < capacity <= 1:
        raise UserError(f"--target_capacity {capacity}: is a share of the parameters, as in 0.3")
    if loss_increase is not None and not 0 <= loss_increase < float("inf"):
        raise UserError(f"--max_loss_increase {loss_increase}: is a share of the loss, as in 0.05")
    return Target(capacity, loss_increase)


def aimed(study: Study, target: Target, *, may_prune_more: bool) -> Study:
    """The study as it is run for a target: variants that prune nodes prune as many as it takes.

    Args:
        study: as its file and the flags say.
        target: of the model that is exported in the end.
        may_prune_more: whether `prune_amount` may be raised: nobody has given it.

    Raises:
        UserError: no recorded model will be there to be exported, or none that is as small, or
            losses will be of different data; the line has the flag that helps.
    """
    if all(variant.store_generations == "none" for variant in study.variants):
        raise UserError(
            f"{target.flag}: picks one of the recorded models, of which none is stored; give "
            "--store_generations recorded"
        )
    if len({data_key(variant) for variant in study.variants}) > 1:
        raise UserError(
            f"{target.flag}: losses on different data cannot be compared; run one data set at a "
            "time, or export of one variant"
        )
    if target.capacity is None:
        return study
    unused = ("None", *METHODS_WITHOUT_AMOUNT)
    amounts = {each.prune_amount for each in study.variants if each.prune_method not in unused}
    may_prune_more = may_prune_more and len(amounts) < 2  # else they were swept
    variants = [
        _deepened(each, target.capacity) if may_prune_more else each for each in study.variants
    ]
    _check_reachable(variants, target)
    return study.model_copy(update={"variants": tuple(variants)})


def _deepened(variant: Variant, capacity: float) -> Variant:
    """The variant with the least `prune_amount`, in hundredths, that leaves no more than a share.

    One that does not prune a given number of nodes stays as it is.
    """
    amount = round(100 * variant.prune_amount)
    share = _share_left(variant)
    while share is not None and capacity < share < 1 and amount < _MOST:
        amount += 1
        variant = variant.model_copy(update={"prune_amount": amount / 100})
        share = _share_left(variant)
    return variant


_MOST = 99
"""Hundredths of the nodes that are pruned at the most, to come to a target."""


def _share_left(variant: Variant) -> float | None:
    """The share of a variant's parameters that is left in the end; None where nobody can tell."""
    whole = architecture_on_hand(variant)
    widths = exported_widths(variant)
    if variant.prune_method == "None":
        return 1.0
    if widths == tuple(whole.encoder.hidden_sizes):
        return None
    small = {"hidden_sizes": widths, "initial_weights": "random"}
    return architecture_on_hand(variant.model_copy(update=small)).n_parameters / whole.n_parameters


def _check_reachable(variants: Sequence[Variant], target: Target) -> None:
    """Refuse a size that no variant comes to.

    Raises:
        UserError: none does; prune, or prune more.
    """
    shares = [_share_left(variant) for variant in variants]
    known = [share for share in shares if share is not None]
    if target.capacity is None or len(known) < len(shares) or min(known) <= target.capacity:
        return
    if min(known) == 1:
        raise UserError(f"{target.flag}: nothing is pruned; give {_PRUNED}")
    raise UserError(
        f"{target.flag}: at the least {min(known):.3f} of the parameters are left; ask for less, "
        "or give a larger --prune_amount, or none"
    )


_PRUNED = "--prune_method magnitude --prune_unit hidden_node --prune_schedule gradual"
_EXAMPLE = "--target_capacity 0.3"


def line_for_a_small_model(study: str, data: str | None, place: str) -> str:
    """The command that ends with a smaller model of the same data.

    Args:
        study: its name.
        data: the user's own file, if the study is of one.
        place: of the study's results.
    """
    folder = shlex.quote(f"{place}-small")
    if data is not None:
        return f"aes-lipi run --data {shlex.quote(data)} {_EXAMPLE} --output_dir {folder}"
    name = shlex.quote(study)
    what = f"--rq {name}" if study in list_presets() else f"--config {Path(name).stem}.yaml"
    return (
        f"aes-lipi run {what} {_PRUNED} --store_generations recorded {_EXAMPLE} "
        f"--output_dir {folder}"
    )
