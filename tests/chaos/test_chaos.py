"""The short version of `python -m chaos`: two minutes of kills in all placements."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chaos.places import place
from chaos.rounds import Chaos, prepare


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("chaos")
    prepare(directory)
    return directory


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "kills"),
    [
        ("jobs", 8),
        pytest.param("trial", 6, marks=pytest.mark.xdist_group("ray")),
        pytest.param("cell", 8, marks=pytest.mark.xdist_group("ray")),
    ],
)
def test_a_study_that_is_killed_again_and_again_has_the_bits_of_an_undisturbed_one(
    mode: str, kills: int, folder: Path
) -> None:
    seed = f"suite {mode}"
    with place(mode) as where:
        chaos = Chaos(folder, mode, where, random.Random(seed))
        chaos.round(kills)
    print(f"seed {seed!r}: {chaos.figures.line()}")
    assert chaos.figures.kills.total() >= 2
