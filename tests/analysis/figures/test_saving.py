"""Figures as files and in pages."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from made_up import sample
from matplotlib import rcParams
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from aes_lipi.analysis.figures.boxes import plot_final_values
from aes_lipi.analysis.figures.style import (
    FIGURE_FORMATS,
    INK,
    Named,
    _figure_bytes,
    _inline,
    looks,
    show,
)
from aes_lipi.errors import UserError


@pytest.fixture(scope="module")
def figure() -> Figure:
    rng = np.random.default_rng(1)
    return plot_final_values([("loss", [sample(name, rng.normal(size=9)) for name in "abc"])])


@pytest.mark.parametrize("kind", FIGURE_FORMATS)
def test_the_same_figure_has_the_same_bytes(figure: Figure, kind: str) -> None:
    assert _figure_bytes(figure, kind) == _figure_bytes(figure, kind)


def test_pixels_are_fit_for_print_and_on_white(figure: Figure) -> None:
    image = Image.open(io.BytesIO(_figure_bytes(figure, "png")))
    assert image.info["dpi"] == pytest.approx((300, 300), abs=1)
    assert image.width == pytest.approx(7 * 300, abs=2)
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_vectors_have_no_ground_and_fetch_nothing(figure: Figure) -> None:
    svg = _figure_bytes(figure, "svg").decode()
    assert "http://www.w3.org/2000/svg" in svg
    references = [each.split('"')[0] for each in svg.split('href="')[1:]]
    assert all(each.startswith("#") for each in references)


def test_in_a_page_a_figure_takes_the_pages_colours(figure: Figure) -> None:
    drawing = _inline(_figure_bytes(figure, "svg"), "loss", 'A "loss" & more')
    root = ET.fromstring(drawing.replace("xlink:href", "href"))
    assert root.get("aria-label") == 'A "loss" & more'
    assert INK not in drawing
    assert "currentColor" in drawing
    assert "<metadata>" not in drawing
    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert ids
    assert all(str(each).startswith("loss-") for each in ids)
    used = {each.split(")")[0] for each in drawing.split("url(#")[1:]}
    assert used <= set(ids)


def test_files_lie_in_a_folder_beside_the_page(figure: Figure, tmp_path: Path) -> None:
    shown = show(figure, Named("loss", "Loss", "Of all.", "Medians."), tmp_path, ["svg", "png"])
    assert shown.files == (("SVG", "figures/loss.svg"), ("PNG", "figures/loss.png"))
    for _, address in shown.files:
        assert (tmp_path / address).stat().st_size > 1000
    assert (shown.title, shown.caption, shown.note) == ("Loss", "Of all.", "Medians.")


def test_a_folder_that_cannot_be_written_is_said_in_a_line(figure: Figure, tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        show(figure, Named("loss", "Loss", "", ""), tmp_path, ["png"])


def test_drawing_leaves_matplotlib_as_it_was() -> None:
    before = dict(rcParams)
    plot_final_values([("loss", [sample("a", [1.0, 2.0])])])
    assert dict(rcParams) == before


@pytest.mark.parametrize("ground", ["#ffffff", "#0f1419"])
def test_colours_stand_out_on_light_and_dark_ground(ground: str) -> None:
    """At least three to one (WCAG 2, 1.4.11), but for the ink, which has the text's colour."""
    for look in looks([str(k) for k in range(8)]).values():
        if look.colour != INK:
            low, high = sorted([luminance(look.colour), luminance(ground)])
            assert (high + 0.05) / (low + 0.05) >= 3, look.colour


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in to_rgb(colour)]
    return float(np.dot(parts, [0.2126, 0.7152, 0.0722]))


def test_looks_differ() -> None:
    names = [str(k) for k in range(32)]
    found = [(look.colour, look.dashes) for look in looks(names).values()]
    assert len(set(found)) == 32
    assert len(looks([str(k) for k in range(40)])) == 40
