"""A small study, run once for a process of tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers import tiny_study
from studies import run_study


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants, one of them pruned, of two trials each."""
    made: Path = tmp_path_factory.mktemp("studies") / "tiny"
    run_study(tiny_study(2, epochs=8, prune_method=["None", "random"], prune_probability=0.6), made)
    return made
