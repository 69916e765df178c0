"""Figures as files, and as part of a page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from aes_lipi.analysis.figures.style import INK, PAPER, settings
from aes_lipi.io.files import write_bytes_atomically

FORMATS = ("svg", "pdf", "png")
"""What figures are written as: two kinds of vectors, and pixels at 300 dots per inch."""

_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA_ELEMENT = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]*)')
_ENLARGED = 1.4  # what fits a column of a paper is small on a screen
_BROAD = 400  # points: wider figures cannot be read if they are shrunk to a phone's width
_SIZE = re.compile(r'<svg([^>]*?) width="([0-9.]+)pt" height="[0-9.]+pt"')


@dataclass(frozen=True)
class Named:
    """What a page calls a figure.

    Attributes:
        name: of its files and of its place in the page.
        title: above it.
        caption: below it: what is drawn, of which trials.
    """

    name: str
    title: str
    caption: str


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as the content of a file: the same bytes for the same figure.

    Args:
        figure: what a function of this package drew.
        kind: one of `FORMATS`. On paper, the ground is white.
    """
    stream = io.BytesIO()
    with settings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for it
        ground = "white" if kind == "png" else "none"
        figure.savefig(stream, format=kind, metadata=_METADATA[kind], facecolor=ground)
    return stream.getvalue()


def inline(svg: bytes, name: str, description: str) -> str:
    """A figure's SVG as an element of a page, in the page's colours.

    Args:
        svg: from `figure_bytes`.
        name: of the figure; its ids begin with it, so that those of several figures differ. Ids
            that nothing refers to are left out.
        description: what a reader hears who does not see it; plain text, without markup.
    """
    text = _METADATA_ELEMENT.sub("", _PROLOGUE.sub("", svg.decode()))
    used = {found[1] for found in _REFERENCE.findall(text)}
    text = _ID.sub(lambda id_: f' id="{name}-{id_[1]}"' if id_[1] in used else "", text)
    text = _REFERENCE.sub(rf"\g<1>{name}-\g<2>", text)
    text = text.replace(INK, "currentColor").replace(PAPER, "var(--ground)")
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")

    def opening(size: re.Match[str]) -> str:
        broad = ' class="broad"' if float(size[2]) > _BROAD else ""
        width = f"width: calc({_ENLARGED} * {size[2]}pt)"
        return f'<svg{size[1]}{broad} style="{width}" role="img" aria-label="{label}"'

    return _SIZE.sub(opening, text, count=1)


@dataclass(frozen=True)
class Shown(Named):
    """A figure as a page has it.

    Attributes:
        svg: the drawing.
        files: their kinds, and their addresses as seen from the page.
    """

    svg: str
    files: tuple[tuple[str, str], ...]


def show(figure: Figure, named: Named, folder: Path, kinds: Iterable[str]) -> Shown:
    """Write a figure's files into the folder `figures` beside a page, and make the page's drawing.

    Args:
        figure: what a function of this package drew.
        named: what the page calls it.
        folder: of the page.
        kinds: of the files, of `FORMATS`.

    Raises:
        UserError: the disk refuses a file; free space, or give another folder.
    """
    svg = figure_bytes(figure, "svg")
    figure.set_layout_engine("none")  # everything has its place now
    files = []
    for kind in kinds:
        address = f"figures/{named.name}.{kind}"
        write_bytes_atomically(
            folder / address, svg if kind == "svg" else figure_bytes(figure, kind)
        )
        files.append((kind.upper(), address))
    drawing = inline(svg, named.name, f"{named.title}. {named.caption}")
    return Shown(named.name, named.title, named.caption, drawing, tuple(files))
