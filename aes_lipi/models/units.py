"""Between a user's rows and the [0, 1] that networks see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aes_lipi.arrays import Float32, Floats
from aes_lipi.data.scaling import MinMax


@dataclass(frozen=True)
class Units:
    """The rows that a model takes and gives.

    Attributes:
        n_dim: their width.
        scaling: of the columns to [0, 1]; None if they lie there.
        columns: their names, if they have names.
    """

    n_dim: int
    scaling: MinMax | None = None
    columns: tuple[str, ...] | None = None

    def to_network(self, x: Any) -> Float32:
        """Rows (rows, n_dim) in the user's units, or a table of them, as float32 in [0, 1].

        Raises:
            ValueError: they are not of that shape, a value is not finite, or a table's columns are
                others.
        """
        return self.within(self.scaled(x))

    def within(self, rows: Float32) -> Float32:
        """Scaled rows as the network sees them: within [0, 1], and 0 where training was constant.

        Rows that are not scaled stay as they are.
        """
        if self.scaling is None:
            return rows
        inside: Float32 = np.clip(rows, 0, 1) * (self.scaling.high > self.scaling.low)
        return inside

    def scaled(self, x: Any) -> Float32:
        """The same, but what lies beyond the values trained on lies beyond [0, 1].

        A column that was constant in training has no scale: it is 0, and 1 where it has changed.

        Raises:
            ValueError: as `to_network`.
        """
        self._check_columns(x)
        if self.scaling is None:
            unscaled: Float32 = self._checked(matrix(x, self.n_dim))
            return unscaled
        values = self._checked(matrix(x, self.n_dim, np.float64))
        low, high = self.scaling.low, self.scaling.high
        rows = self.scaling.beyond(values) + ((values != low) & (low == high))
        with np.errstate(over="ignore"):
            scaled: Float32 = rows.astype(np.float32)
        return scaled

    def from_network(self, y: Float32) -> Floats:
        """Rows in [0, 1] in the user's units: float32, or float64 where they are scaled."""
        return y if self.scaling is None else self.scaling.invert(y)

    def _check_columns(self, x: Any) -> None:
        names = getattr(x, "columns", None)
        if names is None or self.columns is None or list(map(str, names)) == list(self.columns):
            return
        given = list(map(str, names))
        for k, (name, known) in enumerate(zip(given, self.columns, strict=False)):
            if name != known:
                raise ValueError(
                    f"column {k + 1} is {name!r} where the model knows {known!r}; give the columns "
                    "that it was trained on, in their order"
                )
        raise ValueError(f"expected {len(self.columns)} columns, got {len(given)}")

    def _checked(self, rows: Any) -> Any:
        """The rows.

        Raises:
            ValueError: a value is not finite.
        """
        if not np.isfinite(rows).all():
            row, column = (int(places[0]) for places in np.nonzero(~np.isfinite(rows)))
            name = column + 1 if self.columns is None else repr(self.columns[column])
            raise ValueError(f"row {row + 1}, column {name}: a missing or infinite value")
        return rows


def matrix(values: Any, width: int, dtype: type[np.floating] = np.float32) -> Any:
    """Values as a matrix of so many columns.

    Raises:
        ValueError: they are not of that shape, or no numbers.
    """
    rows = np.asarray(values, dtype)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"expected rows of {width} values, got an array of shape {rows.shape}")
    return rows
