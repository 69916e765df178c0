"""A figure that a browser draws: what plotly.js takes, and the values behind it as a table.

Nothing here needs plotly. `INK` stands for the text's colour, which the page replaces by its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from aes_lipi.analysis.figures.style import INK

ROW_PX = 24
"""Height of a row of names, in a legend or left of an axis."""

_GRID = "rgba(128, 128, 128, 0.25)"
_CLEAR = "rgba(0, 0, 0, 0)"
_PLOT_PX = 320
_LEGEND_PX, _ENTRY_PX, _LETTER_PX = 520, 50, 7

Trace = dict[str, Any]
"""A trace, or the layout, as plotly.js takes it."""


@dataclass(frozen=True)
class Heading:
    """What the page calls a figure.

    Attributes:
        name: of its place, and of files that are saved.
        title: above it.
        caption: below it.
    """

    name: str
    title: str
    caption: str

    def drawn(
        self,
        data: Sequence[Trace],
        layout: Trace,
        head: Sequence[str],
        rows: Sequence[Sequence[Any]],
    ) -> Plot:
        """The figure of that name; see `Plot`."""
        return Plot(self.name, self.title, self.caption, data, layout, head, rows)


@dataclass(frozen=True)
class Plot(Heading):
    """A figure for a browser.

    Attributes:
        data: its traces.
        layout: axes, legend, height.
        head: names of the table's columns.
        rows: the values behind the figure.
    """

    data: Sequence[Trace]
    layout: Trace
    head: Sequence[str]
    rows: Sequence[Sequence[Any]]


def layout_of(x: str, y: str, names: Sequence[str] = ()) -> Trace:
    """Axes, and room for a legend of the names."""
    per_line = max(1, _LEGEND_PX // (_ENTRY_PX + _LETTER_PX * max(map(len, names), default=1)))
    lines = math.ceil(len(names) / per_line)
    axis = {"gridcolor": _GRID, "zeroline": False, "automargin": True, "linecolor": _GRID}
    return {
        "xaxis": axis | {"title": {"text": x}},
        "yaxis": axis | {"title": {"text": y}},
        "height": _PLOT_PX + ROW_PX * lines,
        "margin": {"l": 60, "r": 16, "t": 12, "b": 48},
        "font": {"color": INK, "size": 13},
        "hoverlabel": {"font": {"size": 13}, "namelength": -1},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "uirevision": "kept",  # what was zoomed stays so when values come
    }


def plain_values(values: Iterable[Any]) -> list[Any]:
    """Values as JSON has them; what is not finite is missing."""
    return [plain_value(value) for value in values]


def plain_value(value: Any) -> Any:
    """A value as JSON has it; None where it is not finite."""
    if isinstance(value, str | None):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    return float(value) if not pd.isna(value) and math.isfinite(value) else None
