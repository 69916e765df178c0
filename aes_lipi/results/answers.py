"""How a trial's answer was chosen, and how its loss is marked on the rows that chose it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BY_VALIDATION = "valid."
"""What tables call the value of the cell that was chosen on validation rows."""


def was_chosen_on_test(settings: Mapping[Any, Any]) -> bool:
    """Whether an answer was chosen among several cells by the rows on which it is tested.

    Args:
        settings: of its variant, or a row of the table of trials.
    """
    return (
        settings.get("final_cell") == "best_on_test"
        and settings.get("population_size") != 1
        and settings.get("cell_evaluation") != "all_vs_all"  # answers with its last pair
    )


def starred(heading: str, is_starred: bool) -> str:
    """A heading, with a star where its values are of rows that chose them."""
    return f"{heading}*" if is_starred else heading


def note_on_star(*, beside: bool) -> str:
    """What the star means.

    Args:
        beside: whether `BY_VALIDATION` stands beside it.
    """
    valid = f"; {BY_VALIDATION}: of the one chosen on validation rows" if beside else ""
    return f"* of the cell chosen on these test rows{valid}"
