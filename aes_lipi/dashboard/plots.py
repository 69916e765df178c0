"""Figures of variants for a browser: losses, sizes, trade-offs.

Colours, dashes and symbols are those of the report's figures.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from aes_lipi.analysis.figures.style import DASHES, INK, PAPER, Look
from aes_lipi.analysis.figures.tradeoff import FRONT, thinned
from aes_lipi.analysis.pareto import Tradeoff, loss_column
from aes_lipi.analysis.tables import Sample
from aes_lipi.arrays import Float64
from aes_lipi.dashboard.spec import (
    ROW_PX,
    Heading,
    Plot,
    Trace,
    layout_of,
    plain_values,
)

_DASHES = dict(zip(DASHES, ("solid", "dash", "dot", "dashdot"), strict=True))
_SYMBOLS = {
    **{"o": "circle", "s": "square", "^": "triangle-up", "D": "diamond"},
    **{"v": "triangle-down", "P": "cross", "X": "x", "*": "star"},
}
_REAL, _COUNT = ".4g", ",.0f"  # how numbers are written
_MARKED = 24  # points of a line that all have markers
_POINTS = 3000  # candidates that are drawn, about, the front's apart
_FAR = 5  # how many times the smallest value the largest one is where an axis is logarithmic
_NAME_LETTERS = 26  # of a line of a name left of a row


def curves_plot(
    named: Heading,
    axis: str,
    table: pd.DataFrame,
    styles: Mapping[str, Look],
    running: Iterable[tuple[str, int, Float64]] = (),
    *,
    is_count: bool = False,
) -> Plot:
    """Medians over generations with their intervals, and trials on their way as thin lines.

    Args:
        named: what it is called.
        axis: what the measure's axis is called.
        table: of `describe_generations`, one measure of it.
        styles: looks of the variants, by label.
        running: label, number and values by generation of trials on their way.
        is_count: whether the measure counts something.
    """
    digits = _COUNT if is_count else _REAL
    known = table[table["n"] > 0]
    traces: list[Trace] = []
    for label, rows in known.groupby("label", sort=False):
        traces += _line(str(label), rows, styles[str(label)], digits)
    named_already = set(known["label"])
    for label, trial, course in running:
        is_new = {"showlegend": label not in named_already}
        traces.append(_thin(label, trial, course, styles[label]) | is_new)
    head = ("variant", "generation", "n", "median", "low", "high")
    values = known[["label", *head[1:]]].astype(object).to_numpy().tolist()
    names = [each["name"] for each in traces if each.get("showlegend", True)]
    layout = layout_of("generation", axis, names)
    layout["xaxis"]["rangemode"] = "nonnegative"
    layout["yaxis"]["tickformat"] = digits if is_count else ""
    return named.drawn(
        traces,
        layout,
        head,
        [plain_values(row) for row in values],
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
    layout = layout_of(axis, "") | {"height": 110 + ROW_PX * n_lines, "showlegend": False}
    order = {"categoryarray": names[::-1], "categoryorder": "array"}
    layout["yaxis"] |= {"type": "category", **order}  # or names such as 0.1 were numbers
    rows = [
        [sample.label, trial, value]
        for sample in samples
        for trial, value in zip(sample.trials.tolist(), sample.values.tolist(), strict=True)
    ]
    return named.drawn(traces, layout, ("variant", "trial", axis), rows)


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
        traces.append(told | {"showlegend": False, **_told_candidates(each, own)})
        key = {"color": styles[label].colour, "symbol": _symbol(styles[label]), "size": 8}
        traces.append(_points([None], [None], key) | {"name": _text(label)})
    front = each.front("capacity")
    traces.append(_front(each, front, sizes) | _told_candidates(each, front))
    size = "capacity: share not zero" if each.is_of_one_size else "parameters that are not zero"
    layout = layout_of(size, f"{each.loss}, validation rows", [*each.labels, FRONT])
    layout["xaxis"]["type"], layout["yaxis"]["type"] = axes["x"], axes["y"]
    of_size, of_loss = "capacity" if each.is_of_one_size else size, loss_column(each.loss)
    columns = ["label", "trial", "generation", "cell", of_size, of_loss, "test_L1"]
    members = each.candidates.iloc[front].assign(**{of_size: sizes[front]})
    rows = members[columns].astype(object).to_numpy().tolist()
    head = ("variant", *columns[1:])
    return named.drawn(
        traces,
        layout,
        head,
        [plain_values(row) for row in rows],
    )


def _line(label: str, rows: pd.DataFrame, look: Look, digits: str) -> list[Trace]:
    """A median, and its interval as a band."""
    columns = [rows[name].to_numpy(dtype=np.float64) for name in ("generation", "low", "high")]
    generation, low, high = (column[np.isfinite(columns[1])] for column in columns)
    line = {"color": look.colour, "dash": _DASHES[look.dashes], "width": 2}
    band = {
        "type": "scatter",
        "x": plain_values([*generation, *generation[::-1]]),
        "y": plain_values([*high, *low[::-1]]),
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
        "x": plain_values(rows["generation"]),
        "y": plain_values(rows["median"]),
        "customdata": [plain_values(row) for row in rows[["low", "high", "n"]].to_numpy().tolist()],
        "mode": "lines+markers" if len(rows) <= _MARKED else "lines",
        "line": line,
        "marker": {"symbol": _symbol(look), "size": 6},
        "hovertemplate": f"generation %{{x}}: %{{y:{digits}}}<br>95 % interval "
        f"%{{customdata[0]:{digits}}} to %{{customdata[1]:{digits}}}<br>%{{customdata[2]}} trials"
        "<extra>%{fullData.name}</extra>",
    }
    return [band, told] if len(generation) else [told]


def _thin(label: str, trial: int, values: Float64, look: Look) -> Trace:
    known = np.flatnonzero(np.isfinite(values))
    return {
        "type": "scatter",
        "x": known.tolist(),
        "y": plain_values(values[known]),
        "mode": "lines" if len(known) > 1 else "markers",
        "line": {"color": look.colour, "width": 1},
        "marker": {"color": look.colour, "size": 4},
        "opacity": 0.7,
        "name": f"{_text(label)}, trial {trial}, running",
        "legendgroup": _text(label),
        "hovertemplate": "generation %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
    }


def _points(x: Any, y: Any, marker: Trace) -> Trace:
    return {
        "type": "scatter",
        "mode": "markers",
        "x": plain_values(x),
        "y": list(y) if isinstance(y, list) else plain_values(y),
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
        "customdata": [plain_values([low, high, row["n"]])],
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
        "customdata": [[_text(str(row[0])), *plain_values(row[1:])] for row in values],
        "hovertemplate": "%{y:.4g} at %{x:.3g}<br>test L1 %{customdata[4]:.4g}<br>trial "
        "%{customdata[1]}, generation %{customdata[2]}, cell %{customdata[3]}"
        "<extra>%{customdata[0]}</extra>",
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
