"""Analysis: from a study's Parquet files to tables, tests, figures and a report.

What a notebook uses. Everything is imported on first use, since pandas and matplotlib are slow to.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aes_lipi.analysis.comparisons import Comparisons, compare
    from aes_lipi.analysis.distances import Distances, read_distances
    from aes_lipi.analysis.figures.boxes import plot_final_values
    from aes_lipi.analysis.figures.cells import plot_learning_rates, plot_prune_events
    from aes_lipi.analysis.figures.columns import plot_columns
    from aes_lipi.analysis.figures.curves import plot_curves
    from aes_lipi.analysis.figures.distances import plot_distances
    from aes_lipi.analysis.figures.losses import plot_neighbourhood
    from aes_lipi.analysis.figures.response import plot_response
    from aes_lipi.analysis.figures.ring import plot_ring
    from aes_lipi.analysis.figures.structure import plot_network
    from aes_lipi.analysis.figures.tradeoff import plot_tradeoff
    from aes_lipi.analysis.history import History, read_history
    from aes_lipi.analysis.pareto import Tradeoff, read_candidates
    from aes_lipi.analysis.read import Measurements, read_measurements
    from aes_lipi.analysis.report import Report, analyse
    from aes_lipi.analysis.tables import (
        Sample,
        describe_generations,
        describe_trials,
        generation_samples,
        trial_samples,
    )
    from aes_lipi.coevolution.records import pareto_front

__all__ = [
    "Comparisons",
    "Distances",
    "History",
    "Measurements",
    "Report",
    "Sample",
    "Tradeoff",
    "analyse",
    "compare",
    "describe_generations",
    "describe_trials",
    "generation_samples",
    "pareto_front",
    "plot_columns",
    "plot_curves",
    "plot_distances",
    "plot_final_values",
    "plot_learning_rates",
    "plot_neighbourhood",
    "plot_network",
    "plot_prune_events",
    "plot_response",
    "plot_ring",
    "plot_tradeoff",
    "read_candidates",
    "read_distances",
    "read_history",
    "read_measurements",
    "trial_samples",
]

_HOMES = {
    "analysis.comparisons": ("Comparisons", "compare"),
    "analysis.distances": ("Distances", "read_distances"),
    "analysis.figures.boxes": ("plot_final_values",),
    "analysis.figures.cells": (
        "plot_learning_rates",
        "plot_prune_events",
    ),
    "analysis.figures.columns": ("plot_columns",),
    "analysis.figures.curves": ("plot_curves",),
    "analysis.figures.distances": ("plot_distances",),
    "analysis.figures.losses": ("plot_neighbourhood",),
    "analysis.figures.response": ("plot_response",),
    "analysis.figures.ring": ("plot_ring",),
    "analysis.figures.structure": ("plot_network",),
    "analysis.figures.tradeoff": ("plot_tradeoff",),
    "analysis.history": ("History", "read_history"),
    "analysis.pareto": ("Tradeoff", "read_candidates"),
    "analysis.read": ("Measurements", "read_measurements"),
    "analysis.report": ("Report", "analyse"),
    "analysis.tables": (
        *("Sample", "generation_samples", "trial_samples"),
        *("describe_generations", "describe_trials"),
    ),
    "coevolution.records": ("pareto_front",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"aes_lipi.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """All public names, whether they were imported or not, and no others."""
    return sorted(__all__)
