"""Figures that a browser draws: what plotly.js takes, and the values behind each as a table.

Colours, dashes and symbols are those of the report's figures; `INK` stands for the text's colour,
which the page replaces by its own. Nothing here needs plotly.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
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
from aes_lipi.analysis.figures.style import DASHES, INK, LOSSES, PAPER, Look
from aes_lipi.analysis.figures.tradeoff import FRONT, thinned
from aes_lipi.analysis.history import Courses, History
from aes_lipi.analysis.pareto import Tradeoff
from aes_lipi.analysis.tables import Sample
from aes_lipi.arrays import Float64

_GRID = "rgba(128, 128, 128, 0.25)"
_CLEAR = "rgba(0, 0, 0, 0)"
_DASHES = dict(zip(DASHES, ("solid", "dash", "dot", "dashdot"), strict=True))
_SYMBOLS = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"},
    **{"v": "triangle-down", "P": "cross", "X": "x", "*": "star"},
}
_MARKED = 24  # points of a line that all have markers
_POINTS = 3000  # candidates that are drawn, about, the front's apart
_FAR = 5  # how many times the smallest value the largest one is where an axis is logarithmic
_ROW_PX, _PLOT_PX = 24, 320
_LEGEND_PX, _ENTRY_PX, _LETTER_PX = 520, 50, 7
_NAME_LETTERS = 26  # of a line of a name left of a row
_STOPS = 16  # of a colour scale

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


def curves_plot(
    named: Heading,
    axis: str,
    table: pd.DataFrame,
    styles: Mapping[str, Look],
    running: Iterable[tuple[str, int, Float64]] = (),
) -> Plot:
    """Medians over generations with their intervals, and trials on their way as thin lines.

    Args:
        named: what it is called.
        axis: what the measure's axis is called.
        table: of `describe_generations`, one measure of it.
        styles: looks of the variants, by label.
        running: label, number and values by generation of trials on their way.
    """
    known = table[table["n"] > 0]
    traces: list[Trace] = []
    for label, rows in known.groupby("label", sort=False):
        traces += _line(str(label), rows, styles[str(label)])
    traces += [_thin(label, trial, values, styles[label]) for label, trial, values in running]
    head = ("variant", "generation", "n", "median", "low", "high")
    values = known[["label", *head[1:]]].astype(object).to_numpy().tolist()
    return Plot(
        named.name,
        named.title,
        named.caption,
        traces,
        _layout("generation", axis, [each["name"] for each in traces if "name" in each]),
        head,
        [_plain(row) for row in values],
    )


def finals_plot(
    named: Heading, axis: str, table: pd.DataFrame, samples: Sequence[Sample], looks: Sequence[Look]
) -> Plot:
    """A row per variant: every trial, and the median with its interval.

    Args:
        named: what it is called.
        axis: what the measure's axis is called.
        table: of `describe_trials`, one measure of it.
        samples: of the same variants.
        looks: of the variants, in the order of the samples.
    """
    by_variant = {row["variant"]: row for row in table.to_dict("records")}
    traces: list[Trace] = []
    for sample, look in zip(samples, looks, strict=True):
        name = _row_name(sample.label)
        if not len(sample.values):
            continue
        points = {"color": look.colour, "opacity": 0.4, "size": 6, "symbol": _symbol(look)}
        traces.append(
            _points(sample.values, [name] * len(sample.values), points)
            | {
                "customdata": sample.trials.tolist(),
                "hovertemplate": "trial %{customdata}: %{x:.4g}<extra>%{y}</extra>",
            }
        )
        traces.append(_median(name, by_variant[sample.variant], look))
    names = [_row_name(sample.label) for sample in samples]
    n_lines = sum(1 + name.count("<br>") for name in names)
    layout = _layout(axis, "") | {"height": 110 + _ROW_PX * n_lines, "showlegend": False}
    layout["yaxis"] |= {"categoryarray": names[::-1], "categoryorder": "array", "automargin": True}
    rows = [
        [sample.label, trial, value]
        for sample in samples
        for trial, value in zip(sample.trials.tolist(), sample.values.tolist(), strict=True)
    ]
    return Plot(
        named.name, named.title, named.caption, traces, layout, ("variant", "trial", axis), rows
    )


def tradeoff_plot(named: Heading, each: Tradeoff, styles: Mapping[str, Look]) -> Plot:
    """Every candidate's size and loss on validation rows, and the Pareto front.

    Args:
        named: what it is called.
        each: candidates that may be compared.
        styles: looks of the variants, by label.
    """
    sizes = each.shares("capacity") if each.is_of_one_size else each.counts("capacity")
    axes = {"x": _scale(sizes), "y": _scale(each.losses)}
    drawn = np.column_stack(
        [np.log(v) if axes[k] == "log" else v for k, v in (("x", sizes), ("y", each.losses))]
    )
    labels = each.candidates["label"].to_numpy()
    traces = []
    for label in each.labels:
        own = np.flatnonzero(labels == label)
        own = own[thinned(drawn[own], _POINTS // len(each.labels))]
        look = {"color": styles[label].colour, "opacity": 0.45, "size": 5}
        told = _points(sizes[own], each.losses[own], look | {"symbol": _symbol(styles[label])})
        traces.append(told | {"name": _text(label), **_told_candidates(each, own)})
    front = each.front("capacity")
    traces.append(_front(each, front, sizes) | _told_candidates(each, front))
    size = "capacity: share not zero" if each.is_of_one_size else "parameters that are not zero"
    layout = _layout(size, f"{each.loss}, validation rows", [*each.labels, FRONT])
    layout["xaxis"]["type"], layout["yaxis"]["type"] = axes["x"], axes["y"]
    columns = ["label", "trial", "generation", "cell", "capacity", "validation_loss", "test_L1"]
    rows = each.candidates.iloc[front][columns].astype(object).to_numpy().tolist()
    head = ("variant", *columns[1:])
    return Plot(
        named.name,
        named.title,
        named.caption,
        traces,
        layout,
        head,
        [_plain(row) for row in rows],
    )


def ring_plots(named: Heading, courses: Courses) -> Iterator[Plot]:
    """Cells over generations, coloured by loss, and by the cell that their centres descend from.

    Args:
        named: what they are called.
        courses: labels and trials, each with two plots.
    """
    for place, (label, history) in enumerate(courses):
        title = f"{named.title}: {label}, trial {history.trial.trial}"
        yield _losses_plot(Heading(f"{named.name}_{place}", title, named.caption), history)
        if history.n_cells > 1:
            caption = (
                "A centre has the colour of the cell from whose centre it descends since the last "
                "vertical line, where one pair's descendants had taken all cells."
            )
            if history.n_cells >= FOLLOWED:
                caption += " The line is the descent of the pair that is best at the end."
            title = f"Descent: {label}, trial {history.trial.trial}"
            yield _lineage_plot(Heading(f"lineage_{place}", title, caption), history)


def _line(label: str, rows: pd.DataFrame, look: Look) -> list[Trace]:
    """A median, and its interval as a band."""
    columns = [rows[name].to_numpy(dtype=np.float64) for name in ("generation", "low", "high")]
    generation, low, high = (column[np.isfinite(columns[1])] for column in columns)
    line = {"color": look.colour, "dash": _DASHES[look.dashes], "width": 2}
    band = {
        "type": "scatter",
        "x": _plain([*generation, *generation[::-1]]),
        "y": _plain([*high, *low[::-1]]),
        "fill": "toself",
        "fillcolor": _faded(look.colour),
        "line": {"width": 0},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
        "legendgroup": _text(label),
    }
    told = {
        "type": "scatter",
        "name": _text(label),
        "legendgroup": _text(label),
        "x": _plain(rows["generation"]),
        "y": _plain(rows["median"]),
        "customdata": [_plain(row) for row in rows[["low", "high", "n"]].to_numpy().tolist()],
        "mode": "lines+markers" if len(rows) <= _MARKED else "lines",
        "line": line,
        "marker": {"symbol": _symbol(look), "size": 6},
        "hovertemplate": "generation %{x}: %{y:.4g}<br>95 % interval %{customdata[0]:.4g} to "
        "%{customdata[1]:.4g}<br>%{customdata[2]} trials<extra>%{fullData.name}</extra>",
    }
    return [band, told] if len(generation) else [told]


def _thin(label: str, trial: int, values: Float64, look: Look) -> Trace:
    known = np.flatnonzero(np.isfinite(values))
    return {
        "type": "scatter",
        "x": known.tolist(),
        "y": _plain(values[known]),
        "mode": "lines" if len(known) > 1 else "markers",
        "line": {"color": look.colour, "width": 1},
        "marker": {"color": look.colour, "size": 4},
        "opacity": 0.7,
        "name": f"{_text(label)}, trial {trial}, running",
        "legendgroup": _text(label),
        "showlegend": False,
        "hovertemplate": "generation %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
    }


def _points(x: Any, y: Any, marker: Trace) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": _plain(x),
        "y": list(y) if isinstance(y, list) else _plain(y),
        "marker": marker,
    }


def _median(name: str, row: Mapping[Any, Any], look: Look) -> Trace:
    """A median with its interval."""
    median, low, high = (float(row[key]) for key in ("median", "low", "high"))
    bars: Trace = {"visible": False}
    if math.isfinite(low):
        bars = {
            **{"type": "data", "symmetric": False, "color": INK, "thickness": 2},
            **{"array": [high - median], "arrayminus": [median - low]},
        }
    marker = {"color": look.colour, "size": 11, "symbol": _symbol(look)}
    return _points([median], [name], marker | {"line": {"color": INK, "width": 1.5}}) | {
        "error_x": bars,
        "customdata": [_plain([low, high, row["n"]])],
        "hovertemplate": "median %{x:.4g}<br>95 % interval %{customdata[0]:.4g} to "
        "%{customdata[1]:.4g}<br>%{customdata[2]} trials<extra>%{y}</extra>",
    }


def _front(each: Tradeoff, front: npt.NDArray[np.int64], sizes: Float64) -> Trace:
    marker = {"color": PAPER, "size": 8, "line": {"color": INK, "width": 1.5}}
    return _points(sizes[front], each.losses[front], marker) | {
        "mode": "lines+markers",
        "line": {"color": INK, "width": 1.5, "shape": "hv"},
        "name": FRONT,
    }


def _told_candidates(each: Tradeoff, places: npt.NDArray[np.int64]) -> Trace:
    rows = each.candidates.iloc[places][["label", "trial", "generation", "cell", "test_L1"]]
    values = rows.astype(object).to_numpy().tolist()
    return {
        "customdata": [[_text(str(row[0])), *_plain(row[1:])] for row in values],
        "hovertemplate": "%{y:.4g} at %{x:.3g}<br>test L1 %{customdata[4]:.4g}<br>trial "
        "%{customdata[1]}, generation %{customdata[2]}, cell %{customdata[3]}"
        "<extra>%{customdata[0]}</extra>",
    }


def _losses_plot(named: Heading, history: History) -> Plot:
    values = history.measures[RING_MEASURE]
    scale = loss_scale(values, ROBUST)
    shown, low, high = block_means(values.T), float(scale.vmin or 0), float(scale.vmax or 1)
    is_log = isinstance(scale, LogNorm)
    heat = _heatmap(np.log10(shown) if is_log else shown, history, _stops(colormaps[LOSSES]))
    bar = {"title": {"text": "log10 loss" if is_log else "loss", "side": "right"}}
    trace = heat | {
        "zmin": math.log10(low) if is_log else low,
        "zmax": math.log10(high) if is_log else high,
        "colorbar": bar | {"thickness": 12, "outlinewidth": 0},
        "customdata": [_plain(row) for row in shown],
        "hovertemplate": "generation %{x:.0f}, cell %{y:.0f}<br>loss %{customdata:.4g}"
        "<extra></extra>",
    }
    layout = _layout("generation", "cell") | {"height": _ring_px(history)}
    rows = [
        [t, cell, _number(value)]
        for t, row in enumerate(values.tolist())
        for cell, value in enumerate(row)
    ]
    head = ("generation", "cell", LOSS_NAMES[RING_MEASURE])
    return Plot(named.name, named.title, named.caption, [trace], layout, head, rows)


def _lineage_plot(named: Heading, history: History) -> Plot:
    told = descents(history)
    founders = block_middles(told.founders.T)
    heat = _heatmap(founders.astype(np.float64), history, _stops(lineage_colours()))
    trace = heat | {
        **{"zmin": 0, "zmax": history.n_cells, "showscale": False},
        "hovertemplate": "generation %{x:.0f}, cell %{y:.0f}<br>from cell %{z}<extra></extra>",
    }
    line = _line_of_descent(history) if history.n_cells >= FOLLOWED else []
    layout = _layout("generation", "cell") | {"height": _ring_px(history), "showlegend": False}
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
    return Plot(
        named.name,
        named.title,
        named.caption,
        [trace, *line],
        layout,
        head,
        rows,
    )


def _line_of_descent(history: History) -> list[Trace]:
    generations, cells, jumps = line_on_ring(history, history.final_cell)
    x = np.insert(generations.astype(np.float64), jumps, np.nan)
    y = np.insert(cells.astype(np.float64), jumps, np.nan)
    base = {"type": "scatter", "mode": "lines", "x": _plain(x), "y": _plain(y), "hoverinfo": "skip"}
    return [
        base | {"line": {"color": colour, "width": width}}
        for colour, width in ((PAPER, 4), (INK, 1.5))
    ]


def _heatmap(values: Float64, history: History, stops: Sequence[Sequence[Any]]) -> Trace:
    """An image of cells (up) over generations (across), whose blocks may be of several of both."""
    places = [
        _plain((np.arange(n) + 0.5) * whole / n - 0.5)
        for n, whole in zip(values.shape, (history.n_cells, history.n_generations), strict=True)
    ]
    return {
        **{"type": "heatmap", "y": places[0], "x": places[1], "colorscale": stops},
        "z": [_plain(row) for row in values],
    }


def _ring_px(history: History) -> int:
    return 150 + min(14 * history.n_cells, 260)


def _stops(colours: Colormap) -> list[list[Any]]:
    return [[k / _STOPS, to_hex(colours(k / _STOPS))] for k in range(_STOPS + 1)]


def _layout(x: str, y: str, names: Sequence[str] = ()) -> Trace:
    """Axes, and room for a legend of the names."""
    per_line = max(1, _LEGEND_PX // (_ENTRY_PX + _LETTER_PX * max(map(len, names), default=1)))
    lines = math.ceil(len(names) / per_line)
    axis = {"gridcolor": _GRID, "zeroline": False, "automargin": True, "linecolor": _GRID}
    return {
        "xaxis": axis | {"title": {"text": x}},
        "yaxis": axis | {"title": {"text": y}},
        "height": _PLOT_PX + _ROW_PX * lines,
        "margin": {"l": 60, "r": 16, "t": 12, "b": 48},
        "font": {"color": INK, "size": 13},
        "hoverlabel": {"font": {"size": 13}, "namelength": -1},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        "uirevision": "kept",  # what was zoomed stays so when values come
    }


def _scale(values: Float64) -> str:
    """`log` where values are far apart."""
    low, high = values.min(), values.max()
    return "log" if 0 < low * _FAR <= high else "linear"


def _symbol(look: Look) -> str:
    return _SYMBOLS[look.marker]


def _faded(colour: str) -> str:
    red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.18)"


def _text(label: str) -> str:
    """A name as plotly shows it: what looks like markup is text."""
    return html.escape(label, quote=False)


def _row_name(label: str) -> str:
    """A name left of a row, on as many lines as leave room for the row."""
    return "<br>".join(map(_text, textwrap.wrap(label, _NAME_LETTERS))) or _text(label)


def _plain(values: Iterable[Any]) -> list[Any]:
    """Values as JSON has them; what is not finite is missing."""
    return [_number(value) for value in values]


def _number(value: Any) -> Any:
    if isinstance(value, str | None):
        return value
    if isinstance(value, int | np.integer):
        return int(value)
    return float(value) if not pd.isna(value) and math.isfinite(value) else None
