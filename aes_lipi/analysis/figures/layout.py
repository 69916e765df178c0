"""Where the parts of a figure stand."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from aes_lipi.analysis.figures.style import Look

LEGEND_LINE = 0.17
"""Height of a line of a legend, in inches."""

_LETTER = 0.066  # mean width of a letter of 8 points, in inches
_ENTRY, _SMALL_LETTER = 0.5, 0.062  # width of a legend's parts


def settled(figure: Figure) -> Figure:
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


def names_per_line(names: Sequence[str], width: float) -> int:
    """How many of a legend's entries stand beside each other: as many as fit, in even lines."""
    longest = max(map(len, names), default=1)
    fit = max(1, int(width / (_ENTRY + _SMALL_LETTER * longest)))
    lines = math.ceil(len(names) / fit)
    return math.ceil(len(names) / lines) if lines else 1


def wrapped(title: str, width: float) -> str:
    """A title on as many lines as a panel of this width needs, in inches."""
    return "\n".join(textwrap.wrap(title, max(8, int(width / _LETTER)))) or title


def power(value: float, place: int | None = None) -> str:
    """A value at a tick of a logarithmic axis, as in 1e-4."""
    del place
    mantissa, exponent = f"{value:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"


def whole_ticks(axis: Axis, most: int) -> None:
    """At most so many intervals between ticks, at round whole numbers."""
    axis.set_major_locator(MaxNLocator(most, integer=True, steps=(1, 2, 5, 10), min_n_ticks=1))
