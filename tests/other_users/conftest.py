"""A machine of two users for each file of tests here."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from other_users.machine import Machine, booted, start, stop, why_not


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A machine with the ordinary users ada and bob."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    process = start()
    try:
        yield booted(process)
    finally:
        stop(process)
