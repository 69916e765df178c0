"""How much of each column is explained, by a model and by PCA of the same code."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aes_lipi.analysis.figures.style import (
    COLUMN,
    INK,
    LEGEND_LINE,
    PAGE,
    ShownFigure,
    laid_out,
    looks,
    styled,
    whole_ticks,
    wrapped,
)
from aes_lipi.coevolution.baselines import LEARNT_FROM

_LOWEST = -0.25
"""Of the axis: what explains less than nothing is drawn here."""

_MODEL, _PCA = "model", "PCA of the same code"


def plot_columns(tables: Sequence[tuple[str, pd.DataFrame]]) -> Figure | None:
    """R2 of every column that varies, from the lowest of PCA to the highest.

    Args:
        tables: labels of models, and of each `column_table`.

    Returns:
        a panel for each; None where no column varies.
    """
    known = [(label, table[table["model_r2"].notna()]) for label, table in tables]
    shown = [(label, table) for label, table in known if len(table)]
    return _drawn(shown) if shown else None


@styled
def _drawn(tables: Sequence[tuple[str, pd.DataFrame]]) -> Figure:
    n_columns = min(2, len(tables))
    n_rows = -(-len(tables) // n_columns)
    width = PAGE if n_columns == 2 else COLUMN * 1.35
    figure = ShownFigure(figsize=(width, 2.0 * n_rows + LEGEND_LINE))
    panels = figure.subplots(n_rows, n_columns, squeeze=False, sharey=True)
    for axes in panels.ravel()[len(tables) :]:
        axes.set_visible(False)
    for (label, table), axes in zip(tables, panels.ravel(), strict=False):
        if len(tables) > 1:
            axes.set_title(wrapped(label, width / n_columns - 0.4))
        _panel(axes, table)
        axes.set_xlabel("columns that vary")
    for axes in panels[:, 0]:
        axes.set_ylabel("R2, test rows")
    handles, names = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=len(names))
    return laid_out(figure)


def _panel(axes: Axes, table: pd.DataFrame) -> None:
    """PCA as a line from its lowest value to its highest, the model as points."""
    styles = looks([_MODEL, _PCA])
    has_pca = bool(table["pca_r2"].notna().all())
    ordered = table.sort_values("pca_r2" if has_pca else "model_r2", kind="stable")
    places = np.arange(1, len(ordered) + 1)
    axes.axhline(LEARNT_FROM, linewidth=0.7, linestyle=":", color=INK)
    if has_pca:
        pca = ordered["pca_r2"].clip(lower=_LOWEST)
        axes.plot(places, pca, color=styles[_PCA].colour, label=_PCA)
    model = ordered["model_r2"].clip(lower=_LOWEST)
    size = 3.5 if len(ordered) <= 60 else 1.5
    axes.plot(places, model, "o", markersize=size, color=styles[_MODEL].colour, label=_MODEL)
    axes.set_ylim(_LOWEST - 0.05, 1.05)
    whole_ticks(axes.xaxis, 8)
    axes.grid(axis="y")
