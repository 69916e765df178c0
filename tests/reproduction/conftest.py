from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _little_to_collect() -> Iterator[None]:
    """`multipletests` collects garbage: let it not look at everything that is imported."""
    gc.freeze()
    yield
    gc.unfreeze()
