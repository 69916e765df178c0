"""Analysis: from a study's Parquet files to tables, tests, figures and a report.

What a notebook uses. Everything is imported on first use, since pandas and matplotlib are slow to.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aes_lipi.analysis.compare import Comparisons, compare
    from aes_lipi.analysis.history import History, read_history
    from aes_lipi.analysis.pareto import Tradeoff, read_candidates
    from aes_lipi.analysis.read import (
        Measurements,
        Sample,
        generation_samples,
        read_measurements,
        trial_samples,
    )
    from aes_lipi.analysis.report import Report, analyse
    from aes_lipi.analysis.tables import describe_generations, describe_trials
    from aes_lipi.coevolution.records import pareto_front

_MODULES = {
    "Comparisons": "comparisons",
    "History": "history",
    "Measurements": "reading",
    "Report": "report",
    "Sample": "samples",
    "Tradeoff": "fronts",
    "analyse": "report",
    "compare": "comparisons",
    "describe_generations": "tables",
    "describe_trials": "tables",
    "generation_samples": "samples",
    "pareto_front": "fronts",
    "read_candidates": "tradeoff",
    "read_history": "history",
    "read_measurements": "reading",
    "trial_samples": "samples",
}

__all__ = [
    "Comparisons",
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
    "read_candidates",
    "read_history",
    "read_measurements",
    "trial_samples",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
