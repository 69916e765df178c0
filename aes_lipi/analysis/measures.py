"""What is measured of a cell in a generation, and which columns it is made of."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from aes_lipi.analysis.units import Rows
from aes_lipi.arrays import Float64
from aes_lipi.errors import UserError, nearest, printable
from aes_lipi.results.schema import generations_schema

SIZES: Mapping[str, tuple[str, ...]] = {
    "network_size": ("n_zero_encoder", "n_zero_decoder"),
    "encoder_size": ("n_zero_encoder",),
    "decoder_size": ("n_zero_decoder",),
}
"""Parameters that are not zero: the measures, and the columns that count the zeros."""

MEASURES = ("mean_L1", "test_L1", "capacity", *SIZES, "wall_time_s")
"""What is read unless other measures are asked for."""

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


def known_measures() -> tuple[str, ...]:
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
        UserError: one is not known.
    """
    known = known_measures()
    wanted = tuple(dict.fromkeys(measures))
    for name in wanted:
        if name not in known:
            raise UserError(f"{printable(name)}: no such measure{nearest(name, known)}")
    return wanted


def columns_of(measures: Iterable[str]) -> list[str]:
    """The columns of the table of generations that measures are made of, without the keys."""
    return list(dict.fromkeys(column for name in measures for column in SIZES.get(name, (name,))))


def parameters_of(architecture: str | None, n_parameters: float) -> Sizes:
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


def rows_of(table: pa.Table, measures: Iterable[str], parameters: Sizes) -> Rows:
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
    return Rows(
        np.array(table["generation"], dtype=np.int64),
        np.array(table["cell"], dtype=np.int64),
        {name: _measure(table, name, parameters) for name in measures},
    )


def _measure(table: pa.Table, name: str, parameters: Sizes) -> Float64:
    if name not in SIZES:
        return _column(table, name)
    zeros = sum(_column(table, column) for column in SIZES[name])
    size: Float64 = getattr(parameters, name) - zeros
    return size


def _column(table: pa.Table, name: str) -> Float64:
    """A column as float64, NaN where it is empty."""
    values: Float64 = table[name].cast(pa.float64(), safe=False).to_numpy()
    return values
