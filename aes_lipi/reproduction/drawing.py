"""Our trials beside the published values, as a figure."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from aes_lipi.analysis.figures.layout import LEGEND_LINE, legend_handle
from aes_lipi.analysis.figures.style import COLUMN, INK, Look, looks, styled
from aes_lipi.reproduction.series import FigureFinding, SeriesFinding


@styled
def beside_published(found: FigureFinding) -> Figure:
    """Mean losses over generations with their intervals, and what was published.

    Args:
        found: of one figure; its series share a panel.
    """
    styles = looks([series.name for series in found.series])
    entries = len(found.series) + 1
    figure = Figure(figsize=(COLUMN * 1.35, 2.6 + math.ceil(entries / 2) * LEGEND_LINE))
    axes = figure.subplots()
    axes.grid(axis="y")
    axes.set_xlabel("generation")
    axes.set_ylabel("mean L1, training rows")
    for series in found.series:
        _draw(axes, series, styles[series.name])
    handles = [legend_handle(series.label, styles[series.name]) for series in found.series]
    if any(point.published is not None for series in found.series for point in series.points):
        handles.append(_published_handle())
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _draw(axes: Axes, series: SeriesFinding, look: Look) -> None:
    points = [point for point in series.points if point.ours.n]
    generation = [point.generation for point in points]
    low, high = ([getattr(point.ours, end) for point in points] for end in ("low", "high"))
    axes.fill_between(generation, low, high, color=look.colour, alpha=0.2, linewidth=0)
    axes.plot(
        generation,
        [point.ours.mean for point in points],
        color=look.colour,
        linestyle=look.dashes,
        marker=look.marker,
    )
    published = {p.generation: p.published for p in series.points if p.published is not None}
    axes.plot(
        list(published),
        list(published.values()),
        linestyle="",
        marker="_",
        markersize=13,
        markeredgewidth=1.6,
        color=look.colour,
    )


def _published_handle() -> Line2D:
    return Line2D(
        [], [], color=INK, linestyle="", marker="_", markersize=13, mew=1.6, label="published"
    )
