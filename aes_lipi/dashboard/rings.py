"""Figures of single trials for a browser: the ring in space and time, and its lineages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap, LogNorm, to_hex

from aes_lipi.analysis.figures.cells import block_means, block_middles, loss_scale
from aes_lipi.analysis.figures.ring import (
    FOLLOWED,
    LOSS_NAMES,
    RING_MEASURE,
    ROBUST,
    descents,
    line_on_ring,
    lineage_colours,
)
from aes_lipi.analysis.figures.style import INK, LOSS_COLOURS, PAPER
from aes_lipi.analysis.history import Courses, History
from aes_lipi.analysis.measures import MEASURE_NAMES
from aes_lipi.arrays import Float64
from aes_lipi.dashboard.spec import Heading, Plot, Trace, layout_of, plain_value, plain_values

OF_BASELINES = (
    " Of a baseline (ann_canonical) with the published measurement it is the lowest of all batches "
    "of the epoch, which the loss of one batch is not to be compared with."
)
"""What is said of losses on a training batch."""

NO_RING = (
    "All pairs meet in all_vs_all: it has no ring of cells, and nothing is known of their descent."
)
"""What is said where there is no ring to draw."""

_STOPS = 16  # of a colour scale


def ring_plots(named: Heading, courses: Courses) -> Iterator[Plot]:
    """Cells over generations, coloured by loss, and by the cell that their centres descend from.

    Args:
        named: what they are called.
        courses: labels and trials, each with two plots.
    """
    for place, (label, history) in enumerate(courses):
        title = f"{named.title}: {label}, trial {history.trial.trial}"
        caption = named.caption + (OF_BASELINES if history.n_cells == 1 else "")
        yield _losses_plot(Heading(f"{named.name}_{place}", title, caption), history)
        if history.n_cells > 1:
            caption = (
                "A centre has the colour of the cell from whose centre it descends since the last "
                "vertical line, where one pair's descendants had taken all cells."
            )
            if history.n_cells >= FOLLOWED:
                caption += " The line is the descent of the pair that is best at the end."
            title = f"Descent: {label}, trial {history.trial.trial}"
            yield _lineage_plot(Heading(f"lineage_{place}", title, caption), history)


def _losses_plot(named: Heading, history: History) -> Plot:
    values = history.measures[RING_MEASURE]
    scale = loss_scale(values, ROBUST)
    shown, low, high = block_means(values.T), float(scale.vmin or 0), float(scale.vmax or 1)
    is_log = isinstance(scale, LogNorm)
    heat = _heatmap(np.log10(shown) if is_log else shown, history, _stops(colormaps[LOSS_COLOURS]))
    bar = {"title": {"text": "log10 loss" if is_log else "loss", "side": "right"}}
    trace = heat | {
        "zmin": math.log10(low) if is_log else low,
        "zmax": math.log10(high) if is_log else high,
        "colorbar": bar | {"thickness": 12, "outlinewidth": 0},
        "customdata": [plain_values(row) for row in shown],
        "hovertemplate": "generation %{x:.0f}, cell %{y:.0f}<br>loss %{customdata:.4g}"
        "<extra></extra>",
    }
    layout = layout_of("generation", "cell") | {"height": _ring_px(history)}
    rows = [
        [t, cell, plain_value(value)]
        for t, row in enumerate(values.tolist())
        for cell, value in enumerate(row)
    ]
    names = LOSS_NAMES if history.n_cells > 1 else MEASURE_NAMES
    head = ("generation", "cell", names[RING_MEASURE])
    return named.drawn([trace], layout, head, rows)


def _lineage_plot(named: Heading, history: History) -> Plot:
    told = descents(history)
    founders = block_middles(told.founders.T)
    heat = _heatmap(founders.astype(np.float64), history, _stops(lineage_colours()))
    trace = heat | {
        **{"zmin": 0, "zmax": history.n_cells, "showscale": False},
        "hovertemplate": "generation %{x:.0f}, cell %{y:.0f}<br>from cell %{z}<extra></extra>",
    }
    line = _line_of_descent(history) if history.n_cells >= FOLLOWED else []
    layout = layout_of("generation", "cell") | {"height": _ring_px(history), "showlegend": False}
    layout["shapes"] = [
        {
            **{"type": "line", "x0": start - 0.5, "x1": start - 0.5, "yref": "paper"},
            **{"y0": 0, "y1": 1, "line": {"color": PAPER, "width": 1.5}},
        }
        for start in told.starts[1:]
    ]
    rows = [
        [t, cell, founder]
        for t, row in enumerate(told.founders.tolist())
        for cell, founder in enumerate(row)
    ]
    head = ("generation", "cell", "descends from cell")
    return named.drawn(
        [trace, *line],
        layout,
        head,
        rows,
    )


def _line_of_descent(history: History) -> list[Trace]:
    generations, cells, jumps = line_on_ring(history, history.final_cell)
    x = np.insert(generations.astype(np.float64), jumps, np.nan)
    y = np.insert(cells.astype(np.float64), jumps, np.nan)
    base = {
        "type": "scatter",
        "mode": "lines",
        "x": plain_values(x),
        "y": plain_values(y),
        "hoverinfo": "skip",
    }
    return [
        base | {"line": {"color": colour, "width": width}}
        for colour, width in ((PAPER, 4), (INK, 1.5))
    ]


def _heatmap(values: Float64, history: History, stops: Sequence[Sequence[Any]]) -> Trace:
    """An image of cells (up) over generations (across), whose blocks may be of several of both."""
    places = [
        plain_values((np.arange(n) + 0.5) * whole / n - 0.5)
        for n, whole in zip(values.shape, (history.n_cells, history.n_generations), strict=True)
    ]
    return {
        **{"type": "heatmap", "y": places[0], "x": places[1], "colorscale": stops},
        "z": [plain_values(row) for row in values],
    }


def _ring_px(history: History) -> int:
    return 150 + min(14 * history.n_cells, 260)


def _stops(colours: Colormap) -> list[list[Any]]:
    return [[k / _STOPS, to_hex(colours(k / _STOPS))] for k in range(_STOPS + 1)]
