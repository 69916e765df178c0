"""`results.show()`: the page's figures as objects, interactive or static."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.figure
import pytest

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


def test_what_cannot_be_shown_is_told(folder: Path) -> None:
    results = aes_lipi.load_results(folder)
    with pytest.raises(UserError, match=r"no committed trial of v0; \.trials has their ids"):
        results.show(["v0"])
    with pytest.raises(UserError, match="measure='loss': choose mean_L1 or test_L1"):
        results.show(measure="loss")
    with pytest.raises(UserError, match="these results are of no folder"):
        replace(results, location=None).show()
