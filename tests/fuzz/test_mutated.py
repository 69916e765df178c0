"""Valid files, damaged where their readers look: what `python -m fuzz.readers` does for longer."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz import readers
from fuzz.targets import TARGETS, Target


@pytest.fixture(params=TARGETS, scope="module")
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Target]:
    tempfile.tempdir = str(tmp_path_factory.mktemp("fuzz"))
    yield TARGETS[request.param]()
    tempfile.tempdir = None


def test_every_target_can_be_asked_for() -> None:
    assert tuple(TARGETS) == readers.NAMES


@settings(max_examples=25, deadline=None, derandomize=True)
@given(number=st.integers(0, 2**32))
def test_damaged(target: Target, number: int) -> None:
    rng = random.Random(number)
    content = target.mutate(rng.choice(target.seeds), rng)[: target.longest]
    assert target.failure(content) is None


@settings(max_examples=8, deadline=None, derandomize=True)
@given(content=st.binary(max_size=100))
def test_random_bytes(target: Target, content: bytes) -> None:
    assert target.failure(content) is None


def test_cut_off_anywhere(target: Target) -> None:
    seed = max(target.seeds, key=len)
    lengths = {0, 1, 7, 8, len(seed) // 2, len(seed) - 8, len(seed) - 1, len(seed)}
    for length in sorted(lengths):
        assert target.failure(seed[:length]) is None
