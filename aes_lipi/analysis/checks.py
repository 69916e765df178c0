"""Bounds of the numbers that analyses take."""

from __future__ import annotations

from aes_lipi.errors import UserError


def check_share(name: str, value: float) -> None:
    """Refuse a level that is none.

    Raises:
        UserError: the value is not between 0 and 1, or is one of them.
    """
    if not 0 < value < 1:
        raise UserError(f"{name}: must lie between 0 and 1, such as 0.95 or 0.05 (got {value})")


def check_count(name: str, value: int) -> None:
    """Refuse a number of repetitions that is none.

    Raises:
        UserError: the value is below 1.
    """
    if value < 1:
        raise UserError(f"{name}: must be 1 or more (got {value})")


def check_seed(name: str, value: int) -> None:
    """Refuse a seed that is none.

    Raises:
        UserError: the value is below 0.
    """
    if value < 0:
        raise UserError(f"{name}: must be 0 or more (got {value})")
