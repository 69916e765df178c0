"""A matrix as it stands in a file, fitted to a network: its scaling learned, and its rows read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Flags, Float32, Float64, Floats
from aes_lipi.config import Scale
from aes_lipi.data.columns import untaken
from aes_lipi.data.scaling import N_QUANTILES, Scaling
from aes_lipi.data.source import Block, Source
from aes_lipi.data.yeo_johnson import best_power, transformed
from aes_lipi.errors import UserError

Rows = npt.NDArray[np.intp]
"""Indices of rows."""

_MOST_SAMPLED, _FEWEST_SAMPLED, _SAMPLE_VALUES = 10_000, 1_000, 2**24


def learn_scaling(source: Source, rows: Rows | None = None, kind: Scale = "minmax") -> Scaling:
    """Learn the scaling of a matrix's columns from some of its rows, by default from all.

    Quartiles, quantiles and powers are those of the first 10,000 of these rows (fewer where there
    are more than 1,677 columns, but 1,000 at least): a sample, where rows are in an order by seed.

    Args:
        source: the matrix.
        rows: to learn from, in an order of their own.
        kind: of the scaling.

    Raises:
        UserError: a value is missing or infinite (fill it in, or drop its row), a column spans more
            than this kind can hold (choose another), or the file cannot be read.
    """
    learned = np.full(source.n_rows, rows is None)
    learned[rows] = True
    chosen = np.arange(source.n_rows) if rows is None else rows
    sampled = np.sort(chosen[: _sample_size(source, kind)])
    known, sample = _Moments(source.n_columns), np.empty((len(sampled), source.n_columns))
    for block_rows, columns, block in _finite_blocks(source):
        known.add(columns, block[learned[block_rows]], spreads=kind in ("standard", "robust"))
        start, stop = np.searchsorted(sampled, (block_rows.start, block_rows.stop))
        sample[start:stop, columns] = block[sampled[start:stop] - block_rows.start]
    with np.errstate(over="ignore", invalid="ignore"):
        scaling = _fitted(kind, known, sample)
        if source.flags is not None:
            scaling = scaling.sparing(source.flags)
        _check_spans(source, scaling)
    return scaling


def _sample_size(source: Source, kind: Scale) -> int:
    """How many rows to keep whole: none, where a sum over blocks is enough."""
    if kind not in ("robust", "quantile", "power"):
        return 0
    return max(_FEWEST_SAMPLED, min(_MOST_SAMPLED, _SAMPLE_VALUES // source.n_columns))


class _Moments:
    """What is known of columns whose rows come a block at a time.

    Args:
        n_columns: how many there are.

    Attributes:
        low: smallest values, (n_columns,), float64.
        high: largest values.
        count: how many rows there were.
        mean: of the rows, where asked for.
        squares: sum of the squared distances from it, where asked for.
    """

    def __init__(self, n_columns: int) -> None:
        self.low, self.high = np.full(n_columns, np.inf), np.full(n_columns, -np.inf)
        self.count, self.mean, self.squares = (np.zeros(n_columns) for _ in range(3))

    def add(self, columns: slice, block: Float64, *, spreads: bool) -> None:
        """Take in rows, (rows, columns); means and squares by Chan's formula."""
        if not len(block):
            return
        self.low[columns] = np.minimum(self.low[columns], block.min(axis=0))
        self.high[columns] = np.maximum(self.high[columns], block.max(axis=0))
        if not spreads:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            count, mean = self.count[columns], block.mean(axis=0)
            total, apart = count + len(block), mean - self.mean[columns]
            squares = ((block - mean) ** 2).sum(axis=0)
            self.squares[columns] += squares + apart**2 * (count * len(block) / total)
            self.mean[columns] += apart * (len(block) / total)
            self.count[columns] = total

    @property
    def deviation(self) -> Float64:
        """Standard deviations, (n_columns,)."""
        deviation: Float64 = np.sqrt(self.squares / np.maximum(self.count, 1))
        return deviation


def _fitted(kind: Scale, known: _Moments, sample: Float64) -> Scaling:
    """A scaling of columns, by what is known of them and a sample of their rows."""
    low, high = known.low, known.high
    if kind == "minmax":
        return Scaling(kind, low, high)
    if kind == "quantile":
        return Scaling(kind, low, high, {"quantiles": _quantiles(low, high, sample)})
    parts = {"centre": known.mean, "spread": known.deviation}
    if kind == "robust":
        first, middle, third = np.quantile(sample, (0.25, 0.5, 0.75), axis=0)
        spread = np.where(third > first, third - first, known.deviation)
        parts = {"centre": middle, "spread": spread}
    elif kind == "power":
        powers = [best_power(each) if np.ptp(each) > 0 else 1.0 for each in sample.T]
        power = np.array(powers)
        raised = transformed(sample, power)
        parts = {"centre": raised.mean(axis=0), "spread": raised.std(axis=0), "power": power}
    spread = np.where(parts["spread"] > 0, parts["spread"], np.where(low < high, high - low, 1.0))
    return Scaling(kind, low, high, {**parts, "spread": spread})


def _quantiles(low: Float64, high: Float64, sample: Float64) -> Float64:
    """Quantiles in equal steps, (N_QUANTILES, n_columns), the ends those of all rows."""
    quantiles = np.quantile(sample, np.linspace(0, 1, N_QUANTILES), axis=0)
    quantiles[0], quantiles[-1] = low, high
    rising: Float64 = np.maximum.accumulate(quantiles, axis=0)  # interpolation rounds
    return np.minimum(rising, high)


def _check_spans(source: Source, scaling: Scaling) -> None:
    """Refuse columns that float64, or scaled float32, cannot hold.

    Raises:
        UserError: there are such columns; choose another scaling, or drop them.
    """
    if scaling.kind == "minmax":
        return
    ends = [end.astype(np.float32) for end in scaling.bounds]
    arrays: list[Floats] = [scaling.high - scaling.low, *ends, *scaling.parts.values()]
    held = [np.isfinite(array.reshape(-1, source.n_columns)).all(axis=0) for array in arrays]
    bad = np.flatnonzero(~np.all(held, axis=0))
    if len(bad):
        raise UserError(
            f"{source.label}, {source.columns_named(bad)}: spans more than --scale {scaling.kind} "
            "can hold; use --scale minmax, or drop the column"
        )


def read_scaled(source: Source, scaling: Scaling | None, order: Rows | None = None) -> Float32:
    """Read a matrix whose values are numbers in [0, 1], or scale it.

    Only a part is held in another precision at any time.

    Args:
        source: the matrix in its file.
        scaling: how columns are scaled; None if they must be in [0, 1] already.
        order: the file's rows in the order they are wanted in, by default the file's.

    Returns:
        float32 of shape (n_rows, n_columns), C-contiguous.

    Raises:
        UserError: a value is missing, infinite or outside [0, 1], the file cannot be read, or its
            data does not fit in memory; fill it in, or scale it with --scale, or use fewer rows.
    """
    values = _allocated(source)
    places = None if order is None else np.argsort(order)
    for rows, columns, block in _finite_blocks(source):
        if scaling is None:
            with np.errstate(over="ignore", under="ignore"):
                narrow = block.astype(np.float32)
            _check_range(source, (rows, columns, block), narrow)
        else:
            narrow = scaling.apply(block, columns).astype(np.float32)
        values[rows if places is None else places[rows], columns] = narrow
    return values


def _allocated(source: Source) -> Float32:
    try:
        return np.empty((source.n_rows, source.n_columns), dtype=np.float32)
    except (MemoryError, ValueError):
        size = 4 * source.n_rows * source.n_columns / 2**30
        raise UserError(
            f"{source.label}: {source.n_rows} rows of {source.n_columns} columns take "
            f"{size:.1f} GiB, more than there is; use fewer rows"
        ) from None


def _finite_blocks(source: Source) -> Iterator[Block]:
    for rows, columns, block in source.blocks():
        place = _first(~np.isfinite(block))
        if place is not None:
            row, column = place
            at = source.place(rows.start + row, columns.start + column)
            if np.isnan(block[row, column]):
                raise untaken(f"{at}: a missing value (empty, null or NaN)", missing=_gone(source))
            raise UserError(f"{at}: an infinite value; fill it in, or drop the row or the column")
        yield rows, columns, block


def _gone(source: Source) -> dict[str, int]:
    """By the names of columns, how many of their values are missing."""
    count = np.zeros(source.n_columns, np.int64)
    for _, columns, block in source.blocks():
        count[columns] += np.isnan(block).sum(axis=0)
    return {source.names[j]: int(count[j]) for j in np.flatnonzero(count)}


def _check_range(source: Source, where: Block, narrow: Float32) -> None:
    """Refuse values outside [0, 1], as float32 sees them."""
    place = _first((narrow < 0) | (narrow > 1))
    if place is not None:
        rows, columns, block = where
        value = block[place]
        raise UserError(
            f"{source.place(rows.start + place[0], columns.start + place[1])}: the value "
            f"{value:.9g} is outside [0, 1]; scale the columns with --scale minmax"
        )


def _first(bad: Flags) -> tuple[int, int] | None:
    """Row and column of the first marked value, by columns and then by rows."""
    if not bad.any():
        return None
    column = int(bad.any(axis=0).argmax())
    return int(bad[:, column].argmax()), column
