"""Architectures and ways of stacking, for the tests of the engine torch."""

from __future__ import annotations

import pytest
from torch_tasks import KINDS, architecture_named

from aes_lipi.autoencoders.environments import Architecture


@pytest.fixture(params=KINDS)
def architecture(request: pytest.FixtureRequest) -> Architecture:
    return architecture_named(request.param)


@pytest.fixture(params=[False, True], ids=["one by one", "stacked"])
def stacked(request: pytest.FixtureRequest) -> bool:
    value: bool = request.param
    return value
