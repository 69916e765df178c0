"""Trials that were run: what their histories know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_study

import aes_lipi
from aes_lipi.analysis.history import BEGINNING, History, read_history
from aes_lipi.coevolution.topology import neighbourhoods as reachable

SHORT: dict[str, Any] = {"trials": 1, "epochs": 7, "record_interval": 5}
IN_SPACE = tiny_study(**SHORT, topology=["ring", "grid"])
WITHOUT = tiny_study(**SHORT, cell_evaluation="all_vs_all")
STUDY = IN_SPACE.model_copy(update={"variants": (*IN_SPACE.variants, *WITHOUT.variants)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    location = tmp_path_factory.mktemp("real")
    aes_lipi.run(STUDY, location)
    return location


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[tuple[str, History]]:
    return [
        (STUDY.label(variant), read_history(folder, variant.id, 0)) for variant in STUDY.variants
    ]


def test_histories_know_their_neighbourhoods(rows: list[tuple[str, History]]) -> None:
    assert len(rows) == 3
    for variant, (_, history) in zip(STUDY.variants, rows, strict=True):
        assert history.members == reachable(variant)
        members = [[set(each) for each in history.members]] * history.n_generations
        for parents, sets in zip(history.parent_cell, members, strict=True):
            assert all(parent in known for parent, known in zip(parents, sets, strict=True))
        assert sorted(history.selection_losses) == [0, 5, 6]
        for losses in history.selection_losses.values():
            assert [each.shape for each in losses] == [(len(m), len(m)) for m in history.members]
            assert all(np.isfinite(each).all() for each in losses)
        assert history.line_of(0)[-1][0] == BEGINNING
