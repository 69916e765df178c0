"""Early stopping: when a trial stops before its last generation, and which one is its answer.

The rules look at one number of every recorded generation, the lowest validation loss of its cells,
once all of them are there; no step of a later generation is asked for before that. So they decide
the same in one process, on actors, resumed from a checkpoint, and in a replay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from aes_lipi.coevolution.records import Record
from aes_lipi.config import Variant
from aes_lipi.pruning.schedules import full_amount_from

Reason = Literal["epochs", "patience", "target_loss", "callback"]
"""What a trial stopped for; `epochs` where it ran all of them."""


@dataclass(frozen=True)
class LossWatch:
    """What is known of a trial's validation loss.

    Attributes:
        generation: the last recorded one that was looked at; -1 before the first.
        lowest: loss so far.
        best: the generation that has it; -1 while there is none.
        waited: recorded generations since then.
        cuts: tenfold cuts of the learning rate that `plateau` has made.
        waited_to_cut: recorded generations since the lowest loss or the last cut.
    """

    generation: int = -1
    lowest: float = math.inf
    best: int = -1
    waited: int = 0
    cuts: int = 0
    waited_to_cut: int = 0

    def after(self, t: int, loss: float, variant: Variant) -> LossWatch:
        """What is known after one more recorded generation.

        Args:
            t: its number.
            loss: the lowest of its cells; one that is not a number is lower than none.
            variant: settings.
        """
        if variant.prune_schedule == "gradual" and t < full_amount_from(variant):
            return replace(self, generation=t)
        if loss < self.lowest:
            return LossWatch(t, loss, t, cuts=self.cuts)
        waits = self.waited_to_cut + (t >= decay_start(variant))
        is_cut = waits >= variant.plateau_patience
        return replace(
            self,
            generation=t,
            waited=self.waited + 1,
            cuts=self.cuts + is_cut,
            waited_to_cut=0 if is_cut else waits,
        )


@dataclass(frozen=True)
class Ending:
    """How a trial ended.

    Attributes:
        epochs_run: generations that it ran.
        stopped: what it stopped for.
        best_generation: whose cells are its answer: that of the lowest validation loss where there
            is patience, else the last.
    """

    epochs_run: int
    stopped: Reason
    best_generation: int


def is_watched(variant: Variant) -> bool:
    """Whether any rule of a variant looks at the validation loss while it trains."""
    rules = (variant.patience, variant.target_loss)
    return variant.learning_rate_policy == "plateau" or any(rule is not None for rule in rules)


def is_recorded(variant: Variant, t: int) -> bool:
    """Whether quality is measured in a generation."""
    return t % variant.record_interval == 0 or t == variant.epochs - 1


def decay_start(variant: Variant) -> int:
    """The generation from which the learning rate decays, or may be cut."""
    return 0 if variant.decay_from == "start" else full_amount_from(variant)


def watched(
    variant: Variant, watch: LossWatch, records: Sequence[Record], generations: int
) -> LossWatch:
    """Look at the recorded generations that have come since.

    Args:
        variant: settings.
        watch: what was known before.
        records: of the trial so far; none of those to be looked at is missing.
        generations: that the whole ring has behind it.
    """
    if not is_watched(variant):
        return watch
    new = [t for t in range(watch.generation + 1, generations) if is_recorded(variant, t)]
    losses: dict[int, list[float]] = {t: [] for t in new}
    missing = len(new) * records_per_generation(variant)
    for record in reversed(records):
        if not missing:
            break
        if record.generation in losses:
            losses[record.generation].append(_comparable(record.validation_loss))
            missing -= 1
    for t in new:
        watch = watch.after(t, min(losses[t]), variant)
    return watch


def stop_reason(variant: Variant, watch: LossWatch) -> Reason | None:
    """What a trial stops for now; None where it goes on."""
    if variant.target_loss is not None and watch.lowest <= variant.target_loss:
        return "target_loss"
    if variant.patience is not None and watch.waited >= variant.patience:
        return "patience"
    return None


def generations_decided(variant: Variant, watch: LossWatch, generations: int) -> int:
    """How many generations a trial is known to run, at least: no step beyond is asked for.

    Args:
        variant: settings.
        watch: what is known of its validation loss.
        generations: that the whole ring has behind it.
    """
    if not is_watched(variant):
        return variant.epochs
    if stop_reason(variant, watch) is not None:
        return generations
    next_recorded = -(-generations // variant.record_interval) * variant.record_interval
    return min(next_recorded + 1, variant.epochs)


def ending_of(variant: Variant, watch: LossWatch, generations: int) -> Ending:
    """How a trial ends that has so many generations behind it."""
    stopped = stop_reason(variant, watch)
    if stopped is None:
        stopped = "epochs" if generations == variant.epochs else "callback"
    best = generations - 1 if variant.patience is None or watch.best < 0 else watch.best
    return Ending(generations, stopped, best)


def records_per_generation(variant: Variant) -> int:
    """Records of a whole generation."""
    n = variant.population_size
    return n * n if variant.cell_evaluation == "all_vs_all" else n


def _comparable(loss: float | None) -> float:
    return math.inf if loss is None or math.isnan(loss) else loss
