"""`results.show()`: the page's figures as objects, interactive or static."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.figure
import pytest
from helpers import tiny_study
from studies import run_study

import aes_lipi
from aes_lipi.dashboard import notebook
from aes_lipi.errors import UserError

NAMES = ["loss", "final_loss", "encoder_size", "decoder_size", "tradeoff_0", "ring_0"]


def test_figures_are_interactive_where_plotly_is_and_fetch_nothing(folder: Path) -> None:
    graph_objects = pytest.importorskip("plotly.graph_objects")
    figures = aes_lipi.load_results(folder).show(measure="test_L1")
    assert list(figures) == [*NAMES, "lineage_0"]
    assert all(isinstance(each, graph_objects.Figure) for each in figures.values())
    assert figures["loss"].layout.yaxis.title.text == "L1, test rows"
    page = figures._repr_html_()
    assert page.count("plotly-graph-div") >= len(figures)
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=", page) == []


def test_figures_are_static_where_it_is_not(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "is_installed", lambda module: False)
    results = aes_lipi.load_results(folder)
    figures = results.show()
    assert list(figures) == NAMES
    assert all(isinstance(each, matplotlib.figure.Figure) for each in figures.values())
    page = figures._repr_html_()
    assert page.count("<svg") == len(figures)
    assert "<script" not in page
    assert figures["loss"]._repr_svg_().startswith("<svg")  # so does a cell that ends in it
    assert repr(figures) == f"Figures: {', '.join(NAMES)}"


@pytest.mark.parametrize("with_plotly", [False, True])
def test_what_means_nothing_is_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_plotly: bool
) -> None:
    """The ring where all pairs meet, and batches' losses of several kinds."""
    if with_plotly:
        pytest.importorskip("plotly")
    monkeypatch.setattr(notebook, "is_installed", lambda module: with_plotly)
    kinds = ["AutoencoderBinaryClustering", "VariationalAutoencoderBinaryClustering"]
    shape: dict[str, Any] = {"population_size": 2, "epochs": 11, "record_interval": 10}
    run_study(tiny_study(1, cell_evaluation="all_vs_all", environment=kinds, **shape), tmp_path)
    figures = aes_lipi.load_results(tmp_path).show()
    assert not {"ring_0", "lineage_0", "batch_loss"} & set(figures)
    _, *notes = repr(figures).splitlines()
    assert [note[:14] for note in notes] == ["All pairs meet", "Losses on a tr"]
    assert all(f"<p>{note}</p>" in figures._repr_html_() for note in notes)


def test_what_cannot_be_shown_is_told(folder: Path) -> None:
    results = aes_lipi.load_results(folder)
    with pytest.raises(UserError, match=r"no committed trial of v0; \.trials has their ids"):
        results.show(["v0"])
    with pytest.raises(UserError, match="measure='loss': choose mean_L1 or test_L1"):
        results.show(measure="loss")
    with pytest.raises(UserError, match="these results are of no folder"):
        replace(results, location=None).show()
