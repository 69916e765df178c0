"""A table's columns in the range that a network takes, and back: one value, kept in every model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from aes_lipi.arrays import Flags, Float64, Floats
from aes_lipi.config import Scale
from aes_lipi.data.yeo_johnson import MOST, restored, transformed

_PARTS: Mapping[Scale, tuple[str, ...]] = {
    "minmax": (),
    "standard": ("centre", "spread"),
    "robust": ("centre", "spread"),
    "quantile": ("quantiles",),
    "power": ("centre", "spread", "power"),
}
"""What each kind of scaling has beside the smallest and the largest value of each column."""

N_QUANTILES = 101

_ALL_COLUMNS = slice(None)


@dataclass(frozen=True, eq=False)
class Scaling:
    """How the columns of a table are scaled: learned on training rows, and undone at the output.

    Values beyond those that it was learned on count as the nearest of them. A column that was
    constant there becomes 0, and comes back as what it was.

    Attributes:
        kind: `minmax`, from smallest to largest value, to [0, 1]; `standard`, by mean and standard
            deviation; `robust`, by median and the distance of the quartiles; `quantile`, the share
            of training rows that lie below, in [0, 1]; `power`, as `standard` after the power of
            each column that makes it most like a normal distribution.
        low: smallest value of each column, float64 of shape (n_columns,).
        high: largest value of each column, the same.
        parts: the further arrays that `_PARTS` names, float64: `centre`, `spread` (above 0) and
            `power`, (n_columns,); `quantiles`, (N_QUANTILES, n_columns), in equal steps of the
            share, from `low` to `high`.
    """

    kind: Scale
    low: Float64
    high: Float64
    parts: Mapping[str, Float64] = field(default_factory=dict)

    @property
    def arrays(self) -> Mapping[str, Float64]:
        """All arrays by their names, `low` and `high` before the parts."""
        return {"low": self.low, "high": self.high, **self.parts}

    @property
    def constant(self) -> Flags:
        """Which columns were the same in all rows, (n_columns,)."""
        constant: Flags = self.low == self.high
        return constant

    @property
    def bounds(self) -> tuple[Float64, Float64]:
        """The smallest and the largest value of each column, scaled: each (n_columns,)."""
        low, high = self.beyond(self.low[None]), self.beyond(self.high[None])
        return low[0], high[0]

    def of(self, columns: slice) -> Scaling:
        """The scaling of some of the columns alone."""
        parts = {name: part[..., columns] for name, part in self.parts.items()}
        return replace(self, low=self.low[columns], high=self.high[columns], parts=parts)

    def sparing(self, columns: Flags) -> Scaling:
        """The same, but some columns, (n_columns,), are in [0, 1] and stay as they are."""
        steps = np.linspace(0.0, 1.0, N_QUANTILES)[:, None]
        plain: Mapping[str, Any] = {"centre": 0.0, "spread": 1.0, "power": 1.0, "quantiles": steps}
        parts = {name: np.where(columns, plain[name], part) for name, part in self.parts.items()}
        low, high = np.where(columns, 0.0, self.low), np.where(columns, 1.0, self.high)
        return replace(self, low=low, high=high, parts=parts)

    def apply(self, block: Float64, columns: slice = _ALL_COLUMNS) -> Float64:
        """Scale a block of columns, shape (rows, columns); values beyond the learned are clipped.

        A column that was constant where it was learned becomes 0.
        """
        return self.within(self.beyond(block, columns), columns)

    def within(self, scaled: Floats, columns: slice = _ALL_COLUMNS) -> Float64:
        """Scaled values clipped to those that it was learned on, and 0 where that was constant."""
        some = self.of(columns)
        inside: Float64 = np.where(some.constant, 0.0, np.clip(scaled, *some.bounds))
        return inside

    def beyond(self, block: Floats, columns: slice = _ALL_COLUMNS) -> Float64:
        """Scale as `apply` does, but leave values beyond the learned beyond it.

        By quantiles there is nothing beyond: such values are 0 or 1.
        """
        some = self.of(columns)
        with np.errstate(over="ignore"):
            scaled: Float64 = np.where(
                some.constant, 0.0, some._scaled(block.astype(np.float64, copy=False))
            )
        return scaled

    def invert(self, scaled: Floats) -> Float64:
        """Back to the columns' own units, shape (rows, n_columns).

        By quantiles and powers, within the values that it was learned on.
        """
        values = scaled.astype(np.float64)  # else an offset costs what float32 rounds of it
        if self.kind == "minmax":
            units: Float64 = self.low * (1.0 - values) + self.high * values
            return units
        with np.errstate(over="ignore"):
            units = self._between(values) if self.kind == "quantile" else self._moved_back(values)
        return np.where(self.constant, self.low, units)

    def check(self, n: int) -> None:
        """Whether the arrays can be those of a scaling of `n` columns, wherever they come from.

        Raises:
            ValueError: a part is missing or of another shape, not finite or not in order; scale
                the data again.
        """
        if set(self.parts) != set(_PARTS[self.kind]):
            raise ValueError(
                f"scaling: {self.kind} has {', '.join(_PARTS[self.kind]) or 'no parts'}"
            )
        shapes = {"quantiles": (N_QUANTILES, n)}
        for name, part in self.arrays.items():
            if part.shape != shapes.get(name, (n,)) or not np.isfinite(part).all():
                raise ValueError(f"scaling: {name} is not that of {n} columns, all finite")
        if not self._is_in_order():
            raise ValueError(f"scaling: not the lowest and highest values of {n} columns")

    def _is_in_order(self) -> bool:
        quantiles = self.parts.get("quantiles", np.stack([self.low, self.high]))
        return bool(
            (self.low <= self.high).all()
            and (quantiles[0] == self.low).all()
            and (quantiles[-1] == self.high).all()
            and (quantiles[:-1] <= quantiles[1:]).all()
            and (self.parts.get("spread", 1.0) > np.zeros(1)).all()
            and (np.abs(self.parts.get("power", 0.0)) <= np.full(1, MOST)).all()
        )

    def _scaled(self, block: Float64) -> Float64:
        if self.kind == "quantile":
            return self._shares(block)
        if self.kind == "minmax":
            # Halves, because the span of two finite numbers can overflow.
            low, high = self.low / 2, self.high / 2
            share: Float64 = (block / 2 - low) / np.where(high > low, high - low, 1.0)
            return share
        values = transformed(block, self.parts["power"]) if self.kind == "power" else block
        scaled: Float64 = (values - self.parts["centre"]) / self.parts["spread"]
        return scaled

    def _moved_back(self, scaled: Float64) -> Float64:
        """By centre and spread, and by the power."""
        values: Float64 = self.parts["centre"] + self.parts["spread"] * scaled
        if self.kind != "power":
            return values
        power = self.parts["power"]
        ends = (transformed(end, power) for end in (self.low, self.high))
        return np.clip(restored(np.clip(values, *ends), power), self.low, self.high)

    def _shares(self, block: Float64) -> Float64:
        """Between two quantiles in proportion; of a value that is several of them, the middle."""
        quantiles = self.parts["quantiles"]
        shares = np.empty(block.shape)
        steps = np.linspace(0.0, 1.0, N_QUANTILES)
        for j, known in enumerate(quantiles.T):
            column = block[:, j]
            upper = np.interp(column, known, steps)
            lower = 1.0 - np.interp(-column, -known[::-1], steps)
            shares[:, j] = (upper + lower) / 2
        ends = np.where(block >= self.high, 1.0, shares)
        return np.where(block <= self.low, 0.0, ends)

    def _between(self, scaled: Float64) -> Float64:
        """The value below which such a share of the training rows lies."""
        quantiles = self.parts["quantiles"]
        places = np.clip(scaled, 0.0, 1.0) * (N_QUANTILES - 1)
        below = np.minimum(places.astype(np.int64), N_QUANTILES - 2)
        share = places - below
        low, high = (np.take_along_axis(quantiles, below + k, axis=0) for k in (0, 1))
        values: Float64 = low * (1.0 - share) + high * share
        return values
