"""What is measured of a cell in a generation, and what counts as one observation.

The cells of a trial copy from each other, so their values are no independent observations: a test
that takes them for such finds differences that are not there (pseudoreplication; Hurlbert,
Ecological Monographs 54, 1984). The unit is the trial, in one of two ways; the published figures
pool cells, which is offered for comparison with them only.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa

from aes_lipi.arrays import Float64, Int64
from aes_lipi.config.defaults import METRIC_PREFIX
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.results.schema import generations_schema

AnalysisUnit = Literal["trial_mean", "trial_best", "pooled_cells"]

_NO_CELL = -1
"""The cell of a mean over cells."""


@dataclass(frozen=True)
class TrialRows:
    """Values of one trial, a row per generation and cell, or per generation.

    Attributes:
        generation: shape (rows,).
        cell: shape (rows,); `_NO_CELL` for a mean over cells.
        measures: by name, of shape (rows,) each; NaN where not measured.
    """

    generation: Int64
    cell: Int64
    measures: Mapping[str, Float64]

    def take(self, rows: Int64) -> TrialRows:
        """Some of the rows, by their indices."""
        measures = {name: values[rows] for name, values in self.measures.items()}
        return TrialRows(self.generation[rows], self.cell[rows], measures)


def _trial_mean(rows: TrialRows, best_by: str) -> TrialRows:
    """The mean over the trial's cells, a row per generation.

    A generation in which a cell was not measured has no mean: one over the others would be a mean
    of something else.

    Args:
        rows: a row per generation and cell, in any order.
        best_by: not used.
    """
    del best_by
    ordered = rows.take(np.argsort(rows.generation, kind="stable"))
    generation, starts, counts = np.unique(
        ordered.generation, return_index=True, return_counts=True
    )
    means = {
        name: np.add.reduceat(values, starts) / counts if len(starts) else values
        for name, values in ordered.measures.items()
    }
    return TrialRows(generation, np.full(len(generation), _NO_CELL), means)


def _trial_best(rows: TrialRows, best_by: str) -> TrialRows:
    """The trial's best cell, a row per generation.

    The same cell gives all measures of a generation, so a test loss is not the lowest of several.
    Of cells that tie, it is the first; a generation without any value to choose by has none: its
    cell is `_NO_CELL`, its measures are NaN.

    Args:
        rows: a row per generation and cell, in any order.
        best_by: the measure whose lowest value is best.
    """
    order = np.lexsort((rows.cell, rows.measures[best_by], rows.generation))  # NaN comes last
    ordered = rows.take(order)
    best = ordered.take(np.unique(ordered.generation, return_index=True)[1])
    known = ~np.isnan(best.measures[best_by])
    return TrialRows(
        best.generation,
        np.where(known, best.cell, _NO_CELL),
        {name: np.where(known, values, np.nan) for name, values in best.measures.items()},
    )


def _pooled_cells(rows: TrialRows, best_by: str) -> TrialRows:
    """Every cell for itself, as in the published figures: for comparison with them only.

    Args:
        rows: a row per generation and cell, in any order.
        best_by: not used.
    """
    del best_by
    return rows.take(np.lexsort((rows.cell, rows.generation)))


UNITS: Mapping[AnalysisUnit, Callable[[TrialRows, str], TrialRows]] = {
    "trial_mean": _trial_mean,
    "trial_best": _trial_best,
    "pooled_cells": _pooled_cells,
}
"""The units, and what makes them of a trial's cells."""


_PUBLISHED = "_published"
SIZES: Mapping[str, tuple[str, ...]] = {
    "network_size": ("n_zero_encoder", "n_zero_decoder"),
    "encoder_size": ("n_zero_encoder",),
    "decoder_size": ("n_zero_decoder",),
    f"network_size{_PUBLISHED}": ("n_pruned_encoder", "n_pruned_decoder"),
    f"encoder_size{_PUBLISHED}": ("n_pruned_encoder",),
    f"decoder_size{_PUBLISHED}": ("n_pruned_decoder",),
}
"""Parameters that are not zero, and by the published definition, which takes those off that were
zero at the line's last prune event: the measures, and the columns that are taken off."""

MEASURES = (
    *("mean_L1", "test_L1", "capacity", "capacity_published", *SIZES),
    *("min_replacement_loss", "wall_time_s"),
)
"""What is read unless other measures are asked for."""

MEASURE_NAMES: Mapping[str, str] = {
    "mean_L1": "L1, training rows",
    "mean_test_L1": "L1, test rows",
    "best_mean_L1": "L1, training rows",
    "test_L1": "L1, test rows",
    "test_L1_by_validation": "the same, chosen on validation rows",
    "min_replacement_loss": "loss, training batch",
    "capacity": "capacity",
    "mean_capacity": "capacity",
    "capacity_published": "capacity, published",
    "mean_capacity_published": "capacity, published",
    "network_size": "network size",
    "encoder_size": "encoder size",
    "decoder_size": "decoder size",
    "network_size_published": "network size, published",
    "encoder_size_published": "encoder size, published",
    "decoder_size_published": "decoder size, published",
    "wall_time_s": "wall time, s",
}
"""What tables and figures call measures."""

_KEYS = ("trial", "generation", "cell")
_WIDTHS = re.compile(r"[0-9]{1,9}(-[0-9]{1,9}){2,}")


@dataclass(frozen=True)
class Sizes:
    """How many parameters a trial's networks have; NaN where that is not known.

    Attributes:
        network_size: of encoder and decoder together.
        encoder_size: of the encoder.
        decoder_size: of the decoder.
    """

    network_size: float
    encoder_size: float
    decoder_size: float


def _known_measures() -> tuple[str, ...]:
    """All measures: numbers of the table of generations, and the sizes."""
    numeric = [
        field.name
        for field in generations_schema()
        if field.name not in _KEYS
        and (pa.types.is_integer(field.type) or field.type in (pa.float64(), pa.bool_()))
    ]
    return (*numeric, *SIZES)


def check_measures(measures: Iterable[str]) -> tuple[str, ...]:
    """Measures without repetitions.

    Raises:
        UserError: the measure is unknown; names like it are told.
    """
    known = _known_measures()
    wanted = (measures,) if isinstance(measures, str) else tuple(dict.fromkeys(measures))
    for name in wanted:
        if name not in known and not name.startswith(METRIC_PREFIX):
            raise UserError(f"{printable(name)}: no such measure{nearest(name, known)}")
    return wanted


def parameters_of(parameters: Sizes, name: str) -> float:
    """All parameters of the networks that one of `SIZES` is about."""
    return float(getattr(parameters, name.removesuffix(_PUBLISHED)))


def columns_of(measures: Iterable[str]) -> list[str]:
    """The columns of the table of generations that measures are made of, without the keys."""
    return list(dict.fromkeys(column for name in measures for column in SIZES.get(name, (name,))))


def sizes_of(architecture: str | None, n_parameters: float) -> Sizes:
    """How many parameters a trial's networks have.

    Args:
        architecture: the widths in the table of trials, as in `1000-30-10-30-1000`; the decoder
            mirrors the encoder, which has a second head if it is variational.
        n_parameters: of both networks, in the table of trials.
    """
    found = _WIDTHS.match(architecture or "")
    widths = [int(width) for width in found[0].split("-")] if found else []
    if len(widths) % 2 == 0:
        return Sizes(n_parameters, math.nan, math.nan)
    decoder = widths[len(widths) // 2 :]
    pairs = itertools.pairwise(decoder)
    decoder_size = sum((n_in + 1) * n_out for n_in, n_out in pairs)
    return Sizes(n_parameters, n_parameters - decoder_size, decoder_size)


def trial_rows(table: pa.Table, measures: Iterable[str], parameters: Sizes) -> TrialRows:
    """A trial's measures.

    Args:
        table: of the trial's generations, with the columns of `columns_of` and the keys.
        measures: which.
        parameters: how many the trial's networks have.

    Raises:
        ValueError: a generation or a cell is missing.
    """
    if table["generation"].null_count or table["cell"].null_count:
        raise ValueError("a row is of no generation or of no cell")
    return TrialRows(
        np.array(table["generation"], dtype=np.int64),
        np.array(table["cell"], dtype=np.int64),
        {name: _measure(table, name, parameters) for name in measures},
    )


def _measure(table: pa.Table, name: str, parameters: Sizes) -> Float64:
    if name not in SIZES:
        return _column(table, name)
    zeros: Float64 = np.sum([_column(table, column) for column in SIZES[name]], axis=0)
    size: Float64 = parameters_of(parameters, name) - zeros
    return size


def _column(table: pa.Table, name: str) -> Float64:
    """A column as float64, NaN where it is empty."""
    values: Float64 = table[name].cast(pa.float64(), safe=False).to_numpy()
    return values
