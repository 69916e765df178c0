"""Trials that were run, from their files to all figures of single trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import tiny_study
from matplotlib.figure import Figure

import aes_lipi
from aes_lipi.analysis.figures.events import learning_rates, prune_events
from aes_lipi.analysis.figures.losses import neighbourhood_losses
from aes_lipi.analysis.figures.ring import space_time
from aes_lipi.analysis.figures.saving import FORMATS, figure_bytes
from aes_lipi.analysis.figures.structure import network_structure
from aes_lipi.analysis.history import BEGINNING, History, read_history
from aes_lipi.coevolution.order import reachable
from aes_lipi.data.load import load_dataset

STUDY = tiny_study(
    trials=1,
    epochs=12,
    prune_method=["None", "random"],
    prune_schedule="increase",
    prune_probability=0.8,
    record_interval=5,
    topology=["ring", "grid"],
    cell_evaluation=["lipi_simple", "all_vs_all"],
)
FIGURES = {
    "ring": space_time,
    "events": prune_events,
    "rates": learning_rates,
    "losses": neighbourhood_losses,
}


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
    assert len(rows) == 8
    for variant, (_, history) in zip(STUDY.variants, rows, strict=True):
        assert history.members == reachable(variant)
        members = [[set(each) for each in history.members]] * history.n_generations
        for parents, sets in zip(history.parent_cell, members, strict=True):
            assert all(parent in known for parent, known in zip(parents, sets, strict=True))
        assert sorted(history.selection_losses) == [0, 5, 10, 11]
        for losses in history.selection_losses.values():
            assert losses.shape == (4, len(history.members[0]), len(history.members[0]))
            assert np.isfinite(losses).all()
        assert history.line_of(0)[-1][0] == BEGINNING


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_of_trials_is_written(rows: list[tuple[str, History]], name: str) -> None:
    figure = FIGURES[name](rows[4:7])
    assert figure is not None
    assert_written(figure)


def test_the_structure_of_a_saved_model_is_written(folder: Path) -> None:
    variant = STUDY.variants[-1]
    model = aes_lipi.load_model(folder / f"models/variant={variant.id}/trial=0000.safetensors")
    assert_written(network_structure(model, load_dataset(variant).test))


def assert_written(figure: Figure) -> None:
    beginnings = {"svg": b"<?xml", "pdf": b"%PDF", "png": b"\x89PNG"}
    for kind in FORMATS:
        assert figure_bytes(figure, kind).startswith(beginnings[kind])
