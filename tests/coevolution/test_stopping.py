"""When trials stop, which generation is their answer, and when `plateau` cuts: by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from helpers import tiny_variant

from aes_lipi.coevolution.stopping import (
    Ending,
    LossWatch,
    ending_of,
    generations_decided,
    is_watched,
    stop_reason,
)
from aes_lipi.config import Variant

GRADUAL = {"prune_method": "magnitude", "prune_schedule": "gradual", "gradual_end": 0.5}


def variant(**given: Any) -> Variant:
    return tiny_variant(**{"epochs": 20, "record_interval": 2, **given})


def seen(of: Variant, losses: Sequence[float]) -> LossWatch:
    """What is known after losses in the generations 0, 2, 4, ..., until the trial stops."""
    watch = LossWatch()
    for k, loss in enumerate(losses):
        if stop_reason(of, watch) is None:
            watch = watch.after(2 * k, loss, of)
    return watch


@pytest.mark.parametrize(
    ("settings", "losses", "expected"),
    [
        ({"patience": 2}, [5, 4, 4, 4, 1], Ending(7, "patience", 2)),
        ({"patience": 2}, [5, 4, 6, 3, 9, 3], Ending(11, "patience", 6)),
        ({"patience": 1}, [5, 4, 3, 2, 1], Ending(20, "epochs", 8)),
        ({"patience": 2}, [5, math.nan, math.inf], Ending(5, "patience", 0)),
        ({"target_loss": 3}, [5, 4, 3, 2], Ending(5, "target_loss", 4)),
        ({"target_loss": 0.5}, [5, 4, 3], Ending(20, "epochs", 19)),
        ({"patience": 9, "target_loss": 3}, [5, 2.5], Ending(3, "target_loss", 2)),
        # What comes before the full amount is pruned counts for nothing: 0.5 of T = 19 is 9.5.
        (
            {"patience": 1, "gradual_end": 0.5, **GRADUAL},
            [1] * 5 + [9, 9],
            Ending(13, "patience", 10),
        ),
        ({"target_loss": 1, "gradual_end": 0.5, **GRADUAL}, [1] * 6, Ending(11, "target_loss", 10)),
    ],
)
def test_a_trial_stops_and_goes_back_to_its_best(
    settings: dict[str, Any], losses: list[float], expected: Ending
) -> None:
    of = variant(**settings)
    watch = seen(of, losses)
    stopped = stop_reason(of, watch) is not None
    assert ending_of(of, watch, watch.generation + 1 if stopped else of.epochs) == expected


def test_without_a_rule_nothing_is_watched() -> None:
    assert not is_watched(variant())
    assert generations_decided(variant(), LossWatch(), 3) == 20
    assert ending_of(variant(), LossWatch(), 20) == Ending(20, "epochs", 19)


@pytest.mark.parametrize(
    "settings", [{"patience": 1}, {"target_loss": 0}, {"learning_rate_policy": "plateau"}]
)
def test_no_step_is_asked_for_beyond_what_is_decided(settings: dict[str, Any]) -> None:
    of = variant(**settings)
    assert is_watched(of)
    decided = [generations_decided(of, LossWatch(), g) for g in range(1, 20)]
    assert decided == [3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13, 15, 15, 17, 17, 19, 19, 20]
    assert generations_decided(of, LossWatch(), 0) == 1


def test_a_trial_that_was_stopped_from_outside_says_so() -> None:
    assert ending_of(variant(), LossWatch(), 5) == Ending(5, "callback", 4)


@pytest.mark.parametrize(
    ("losses", "cuts"),
    [
        ([5, 4, 3, 2], [0, 0, 0, 0]),
        ([5, 5, 5, 5, 5, 5], [0, 0, 1, 1, 2, 2]),
        ([5, 6, 4, 4, 4, 3], [0, 0, 0, 0, 1, 1]),
    ],
)
def test_plateau_cuts_after_its_patience(losses: list[float], cuts: list[int]) -> None:
    of = variant(learning_rate_policy="plateau", plateau_patience=2)
    assert [seen(of, losses[: k + 1]).cuts for k in range(len(losses))] == cuts


def test_plateau_waits_for_the_start_of_decay() -> None:
    settings = {"prune_method": "magnitude", "decay_from": "gradual_end", "gradual_end": 0.5}
    of = variant(learning_rate_policy="plateau", plateau_patience=2, **settings)
    assert [seen(of, [5.0] * k).cuts for k in (6, 7, 8, 9)] == [0, 1, 1, 2]
