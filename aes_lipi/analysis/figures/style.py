"""How figures look and are written: fit for a paper, and for colour-blind readers.

Colours have a contrast of three to one at least with white and with dark ground: those of Okabe and
Ito ("Color Universal Design", 2008) that do, and others; where they run out, the line style
changes. Heat maps use viridis and cividis, which are even in brightness. Lines differ in their
markers too, so that a figure survives a grey printer. A figure becomes files, and a part of a page.
"""

from __future__ import annotations

import functools
import io
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, ParamSpec

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from aes_lipi.io.files import write_bytes_atomically

_P = ParamSpec("_P")

_Dashes = Literal["-"] | tuple[float, tuple[float, ...]]

COLUMN = 3.4
"""Width of a column of a two-column paper, in inches."""

PAGE = 7.0
"""Width of its text, in inches."""

INK = "#1f2328"
"""Of text, axes and the first series; in a page the text's colour takes its place."""

PAPER = "#fffffe"
"""Of what is to look like the ground; in a page the ground's colour takes its place."""

GONE = "#d55e00"
"""Of what was pruned or marks an event."""

LOSS_COLOURS = "viridis"
"""Colour map of losses, the lower the darker."""

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", INK, "#8a6f00", "#7b5bd6", "#c2255c")
DASHES: tuple[_Dashes, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (5, 1, 1, 1)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")

_SETTINGS: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "text.color": INK,
    "text.parse_math": False,  # a name with a dollar sign is a name
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.grid": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.5,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.5,
    "patch.linewidth": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "image.interpolation": "nearest",
    "figure.dpi": 150,
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "aes_lipi",
    "pdf.fonttype": 42,
    "figure.constrained_layout.use": True,
}


@dataclass(frozen=True)
class Look:
    """What tells a series from the others.

    Attributes:
        colour: of line and points.
        dashes: line style: from where, and lengths on and off.
        marker: of points.
    """

    colour: str
    dashes: _Dashes
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for every series, in their order: 32 that differ, then again from the first."""
    return dict(zip(names, _looks(), strict=False))


def _looks() -> Iterator[Look]:
    place = 0
    while True:
        lap, colour = divmod(place, len(_COLOURS))
        dashes = DASHES[lap % len(DASHES)]
        yield Look(_COLOURS[colour], dashes, _MARKERS[(colour + lap) % len(_MARKERS)])
        place += 1


class ShownFigure(Figure):
    """A figure that notebooks show as a picture, without pyplot or any backend."""

    def _repr_svg_(self) -> str:
        """The figure on white ground: notebooks may be dark, its text is not."""
        return _PROLOGUE.sub("", _figure_bytes(self, "svg", "white").decode())


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Draw with the settings above; matplotlib's own stay as they are."""

    @functools.wraps(draw)
    def drawn(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with _settings():
            return draw(*args, **kwargs)

    return drawn


def _settings() -> AbstractContextManager[None]:
    """The settings above, for as long as the context lasts."""
    chosen: dict[str, Any] = {
        **{str(name): value for name, value in mpl.rcParamsDefault.items()},
        **_SETTINGS,
    }
    return mpl.rc_context(chosen)  # type: ignore[arg-type]


LEGEND_LINE = 0.17
"""Height of a line of a legend, in inches."""

_LETTER = 0.066  # mean width of a letter of 8 points, in inches
_ENTRY, _SMALL_LETTER = 0.5, 0.062  # width of a legend's parts


def laid_out(figure: Figure) -> Figure:
    """The figure with its parts where the constrained layout puts them, and no layout to come.

    It takes longer to lay out a figure of many panels than to write it: once is enough for all
    kinds of files.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    return figure


def legend_handle(name: str, look: Look) -> Line2D:
    """A series' entry in a legend."""
    return Line2D([], [], color=look.colour, linestyle=look.dashes, marker=look.marker, label=name)


def add_legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Put a legend below all panels, at the left, where it is seen before a narrow page scrolls."""
    if handles:
        names = [str(each.get_label()) for each in handles]
        ncols = names_per_line(names, COLUMN)
        figure.legend(handles=list(handles), loc="outside lower left", ncols=ncols)


def legend_lines(names: Sequence[str]) -> int:
    """On how many lines `add_legend` puts such names."""
    return math.ceil(len(names) / names_per_line(names, COLUMN))


def names_per_line(names: Sequence[str], width: float) -> int:
    """How many of a legend's entries stand beside each other: as many as fit, in even lines."""
    longest = max(map(len, names), default=1)
    fit = max(1, int(width / (_ENTRY + _SMALL_LETTER * longest)))
    lines = math.ceil(len(names) / fit)
    return math.ceil(len(names) / lines) if lines else 1


_BRIGHT = 0.18  # luminance beyond which a colour needs dark text


def readable_on(colour: npt.ArrayLike) -> str:
    """The colour of text that is legible on another (relative luminance, WCAG 2)."""
    red, green, blue, opacity = (float(part) ** 2.2 for part in np.asarray(colour))
    if opacity == 0:  # of what is not a number
        return INK
    return "#000000" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > _BRIGHT else "#ffffff"


def wrapped(title: str, width: float) -> str:
    """A title on as many lines as a panel of this width needs, in inches."""
    return "\n".join(textwrap.wrap(title, max(8, int(width / _LETTER)))) or title


def log_ticks(axis: Axis, low: float, high: float) -> None:
    """Round values at the ticks of a logarithmic axis: powers of ten, and others where it is short.

    Args:
        axis: an axis, or that of a scale of colours.
        low: where it begins.
        high: where it ends.
    """
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < low * _FARTHER else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _at_tick(value)))
    axis.set_minor_formatter(NullFormatter())


def _at_tick(value: float) -> str:
    """As in 1e-4, or 0.05."""
    if _PLAIN[0] <= value <= _PLAIN[1]:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def thousands(axis: Axis, highest: float) -> None:
    """Whole numbers at the ticks of an axis, as in 1,550, where its values are in the thousands."""
    if highest >= _THOUSAND:
        axis.set_major_locator(MaxNLocator("auto", integer=True, steps=(1, 2, 5, 10)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))


def whole_ticks(axis: Axis, most: int) -> None:
    """At most so many intervals between ticks, at round whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=(1, 2, 5, 10), min_n_ticks=1))


_FARTHER = 100  # times as far as it begins an axis ends that has powers of ten alone
_PLAIN = 0.001, 9999  # values that are not written as powers of ten
_THOUSAND = 1000

FIGURE_FORMATS = ("svg", "pdf", "png")
"""What figures are written as: two kinds of vectors, and pixels at 300 dots per inch."""

_METADATA = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
_PROLOGUE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA_ELEMENT = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_ID = re.compile(r' id="([^"]*)"')
_REFERENCE = re.compile(r'(href="#|url\(#)([^")]*)')
_ENLARGED = 1.4  # what fits a column of a paper is small on a screen
_BROAD = 400  # points: wider figures cannot be read if they are shrunk to a phone's width
_TALL = 1.3  # times its width: higher ones of those have a printed page of their own
_SIZE = re.compile(r'<svg([^>]*?) width="([0-9.]+)pt" height="([0-9.]+)pt"')


@dataclass(frozen=True)
class Named:
    """What a page calls a figure.

    Attributes:
        name: of its files and of its place in the page.
        title: above it.
        caption: below it, in a line or two: what is drawn.
        note: what else is to be known, of how it is drawn and of which trials; may be empty.
    """

    name: str
    title: str
    caption: str
    note: str


def _figure_bytes(figure: Figure, kind: str, ground: str = "none") -> bytes:
    """A figure as the content of a file: the same bytes for the same figure.

    Args:
        figure: what a function of this package drew.
        kind: one of `FIGURE_FORMATS`.
        ground: its colour; of pixels it is white.
    """
    stream = io.BytesIO()
    with _settings(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a box stands for it
        ground = "white" if kind == "png" else ground
        figure.savefig(stream, format=kind, metadata=_METADATA[kind], facecolor=ground)
    return stream.getvalue()


def _inline(svg: bytes, name: str, description: str) -> str:
    """A figure's SVG as an element of a page, in the page's colours.

    Args:
        svg: from `_figure_bytes`.
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
        across, up = float(size[2]), float(size[3])
        kind = "broad tall" if up > _TALL * across else "broad"
        shape = f' class="{kind}"' if across > _BROAD else ""
        width = f"width: calc({_ENLARGED} * {size[2]}pt)"
        return f'<svg{size[1]}{shape} style="{width}" role="img" aria-label="{label}"'

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
        kinds: of the files, of `FIGURE_FORMATS`.

    Raises:
        UserError: the disk refuses a file; free space, or give another folder.
    """
    svg = _figure_bytes(figure, "svg")
    figure.set_layout_engine("none")  # everything has its place now
    files = []
    for kind in kinds:
        address = f"figures/{named.name}.{kind}"
        write_bytes_atomically(
            folder / address, svg if kind == "svg" else _figure_bytes(figure, kind)
        )
        files.append((kind.upper(), address))
    drawing = _inline(svg, named.name, f"{named.title}. {named.caption}")
    return Shown(named.name, named.title, named.caption, named.note, drawing, tuple(files))
