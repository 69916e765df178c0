"""A trained autoencoder, or a ring of them averaged, used with numpy alone in a user's units."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field

from aes_lipi.arrays import Float32, Floats
from aes_lipi.autoencoders.compaction import compact
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, NetworkLayout, Pair
from aes_lipi.data.encoding import Encoding
from aes_lipi.data.scaling import Scaling
from aes_lipi.summaries import Summarised

_Index = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class Units:
    """The rows that a model takes and gives.

    Attributes:
        n_dim: their width.
        scaling: of the columns; None if they are taken as they are, in [0, 1].
        columns: their names, if they have names.
        encoding: how a table becomes them; None if it is taken as it is.
    """

    n_dim: int
    scaling: Scaling | None = None
    columns: tuple[str, ...] | None = None
    encoding: Encoding | None = None

    def to_network(self, x: Any) -> Float32:
        """Rows (rows, n_dim) in the user's units, or a table of them, scaled: float32.

        Raises:
            ValueError: the shape is another, a value is not finite, or a table's columns are not
                those of training; give rows like those.
        """
        return self.within(self.scaled(x))

    def within(self, rows: Float32) -> Float32:
        """Scaled rows as the network sees them: clipped to the values that it was trained on.

        Rows that are not scaled stay as they are.
        """
        return rows if self.scaling is None else self.scaling.within(rows).astype(np.float32)

    def scaled(self, x: Any) -> Float32:
        """The same, but what lies beyond the values trained on is not clipped.

        A column that was constant in training has no scale: it is 0, and 1 where it has changed by
        more than float32 tells.

        Raises:
            ValueError: as `to_network`.
        """
        x = self._table(x)
        if self.scaling is None:
            unscaled: Float32 = self._checked(self._filled(matrix(x, self.n_dim)))
            return unscaled
        values = self._checked(self._filled(matrix(x, self.n_dim, np.float64)))
        low = self.scaling.low
        with np.errstate(over="ignore"):
            is_low = (values == low) | (values == low.astype(np.float32))
            rows = self.scaling.beyond(values) + (~is_low & self.scaling.constant)
            scaled: Float32 = rows.astype(np.float32)
        return scaled

    def from_network(self, y: Float32) -> Floats:
        """What a network puts out, in the user's units: float32, or float64 where it is scaled."""
        return y if self.scaling is None else self.scaling.invert(y)

    def _filled(self, rows: Any) -> Any:
        return rows if self.encoding is None else self.encoding.filled(rows)

    def _table(self, x: Any) -> Any:
        """Rows as they are, and a table as a pandas one of the columns that were trained on.

        Where it is encoded, the columns are found by their names, and others left alone. Else what
        pandas keeps for an index is left out, as it was from the file.

        Raises:
            ValueError: the columns are not those of training; give them in their order.
        """
        if not hasattr(x, "columns"):
            return x
        table = _flat(x if hasattr(x, "iloc") else x.to_pandas())
        if self.encoding is not None:
            return self.encoding.of_table(table)
        known, given = self.columns, [str(name) for name in table.columns]
        if known is None or given == list(known):
            return table
        data = [k for k, name in enumerate(given) if not _RESERVED.fullmatch(name)]
        plain = [given[k].lstrip("# ") if k == data[0] else given[k] for k in data]
        if plain == [known[0].lstrip("# "), *known[1:]]:
            return table.iloc[:, data]
        for k, (name, wanted) in enumerate(zip(given, known, strict=False)):
            if name != wanted:
                raise ValueError(
                    f"column {k + 1} is {name!r} where the model knows {wanted!r}; give the "
                    "columns that it was trained on, in their order"
                )
        raise ValueError(f"expected {len(known)} columns, got {len(given)}")

    def _checked(self, rows: Any) -> Any:
        """The rows.

        Raises:
            ValueError: a value is missing or infinite; the message says in which row and column.
        """
        if not np.isfinite(rows).all():
            row, column = (int(places[0]) for places in np.nonzero(~np.isfinite(rows)))
            name = column + 1 if self.columns is None else repr(self.columns[column])
            raise ValueError(f"row {row + 1}, column {name}: a missing or infinite value")
        return rows


def matrix(values: Any, width: int, dtype: type[np.floating] = np.float32) -> Any:
    """Values as a matrix of so many columns.

    Raises:
        ValueError: the shape is another, or a value is no number; give rows of that width.
    """
    rows = _numbers(values, dtype)
    if rows.ndim > 2 and math.prod(rows.shape[1:]) == width:
        rows = rows.reshape(len(rows), width)
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"expected rows of {width} values, got an array of shape {rows.shape}")
    return rows


_RESERVED = re.compile(r"__index_level_\d+__|Unnamed: 0(\.\d+)*|")


def _flat(table: Any) -> Any:
    """A pandas table whose columns of lists are a column for each value, as in a study's data."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    if not any(kind.kind == "O" for kind in table.dtypes):
        return table
    parts = [_columns_of(table, k) for k in range(table.shape[1])]
    return pd.concat(parts, axis=1) if any(part.shape[1] != 1 for part in parts) else table


def _columns_of(table: Any, k: int) -> Any:
    """A column as a table: of as many columns as its lists have values.

    Raises:
        ValueError: lists differ in length; give all as many values.
    """
    import pandas as pd  # noqa: PLC0415 - slow to import

    column = table.iloc[:, k]
    if len(column) == 0 or not isinstance(column.iloc[0], list | tuple | np.ndarray):
        return column.to_frame()
    values = np.stack([np.ravel(np.array(list(cell)).tolist()) for cell in column])
    names = [f"{table.columns[k]}[{j}]" for j in range(values.shape[1])]
    return pd.DataFrame(values, columns=names, index=table.index)


def _numbers(values: Any, dtype: type[np.floating]) -> npt.NDArray[Any]:
    """An array of numbers; whatever stands for a missing one is NaN."""
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(dtype), np.nan)
    if hasattr(values, "iloc"):
        return np.asarray(values.to_numpy(dtype=dtype, na_value=np.nan))
    try:
        return np.asarray(values, dtype)
    except (TypeError, ValueError):  # of None and pandas' NA
        import pandas as pd  # noqa: PLC0415 - slow to import

        table = pd.DataFrame(values, dtype=object)
        return np.asarray(table.where(table.notna(), np.nan).to_numpy(dtype))


@dataclass(frozen=True)
class Compaction:
    """What became of the original in a compact model.

    Attributes:
        code: which of the original's latent values are left, in their order; none of a model of
            which pruning left nothing, whose code is one value that says nothing.
        unread_inputs: columns of the data that no weight reads.
        is_constant: whether every row has the same reconstruction.
        n_parameters: of the original.
    """

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # as model files tell it

    code: tuple[_Index, ...]
    unread_inputs: tuple[_Index, ...]
    is_constant: bool
    n_parameters: _Index


@dataclass(frozen=True, repr=False)
class Model(Summarised):
    """A trained autoencoder.

    Rows are given and come back in the units of the data that it was trained on. Where these were
    scaled, the model scales.

    Attributes:
        architecture: of the pair.
        pair: the best pair of its trial.
        others: every cell's centre, in cell order, if the study stored them all.
        provenance: study, variant, trial, cell and settings it comes from.
        scaling: of the data; None if they were taken as they were, in [0, 1].
        columns: names of the data's columns, if they have names.
        compaction: of a compact model, what became of the original.
        encoding: how a table with text or missing values becomes the data's columns; None if it is
            taken as it is.
        score_quantiles: of the training rows, as `score` has them, in percentiles 0 to 100; None if
            they are not known, as of centres of recorded generations.
    """

    architecture: Architecture
    pair: Pair
    others: tuple[Pair, ...] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scaling: Scaling | None = None
    columns: tuple[str, ...] | None = None
    compaction: Compaction | None = None
    encoding: Encoding | None = None
    score_quantiles: tuple[float, ...] | None = None

    @property
    def _summary(self) -> str:
        zero = self.pair.encoder.n_zero + self.pair.decoder.n_zero
        sizes = f"{self.architecture.n_parameters} parameters, {zero} of them zero"
        return f"Model {describe_layers(self.architecture)}: {sizes}"

    def _lines(self) -> list[str]:
        plain = {k: v for k, v in self.provenance.items() if isinstance(v, str | int)}
        return [f"{name}: {value}" for name, value in plain.items()]

    @property
    def units(self) -> Units:
        """Of the rows that the model takes and gives."""
        return Units(self.architecture.n_dim, self.scaling, self.columns, self.encoding)

    def encode(self, x: Any) -> Float32:
        """Codes of rows x (rows, n_dim): float32, (rows, latent size).

        Raises:
            ValueError: x has another shape, or a value is not finite; give rows of n_dim numbers.
        """
        rows = self.units.to_network(x)
        return self.architecture.encode(self.pair.encoder.genome, rows)

    def decode(self, z: Any) -> Floats:
        """Reconstructions from codes z (rows, latent size): (rows, n_dim).

        They are float32; float64 where the model scales.

        Raises:
            ValueError: z has another shape; give codes as `encode` does.
        """
        return self.units.from_network(self._decoded(matrix(z, self.architecture.latent_size)))

    def reconstruct(self, x: Any) -> Floats:
        """Reconstructions of rows x (rows, n_dim): as `decode`.

        Raises:
            ValueError: x has another shape, or a value is not finite; give rows of n_dim numbers.
        """
        return self.decode(self.encode(x))

    def score(self, x: Any) -> Float32:
        """How badly each row (rows, n_dim) is reconstructed: float32, (rows,).

        The mean absolute error over the columns, each scaled as in training: high for a row that is
        unlike those the model was trained on. It is this whatever loss was trained with, so that
        models compare, and that no single column decides as with squares; `errors` has the columns,
        for another mean. The network sees values beyond those it was trained
        on as the nearest that it was; the error is to the values as they are. A column that was
        constant in training has no scale: it counts as 1 where it has changed.

        Raises:
            ValueError: x has another shape, or a value is not finite; give rows of n_dim numbers.
        """
        score: Float32 = self.errors(x).mean(axis=1)
        return score

    def errors(self, x: Any) -> Float32:
        """How badly each value of rows (rows, n_dim) is reconstructed: float32, (rows, n_dim).

        Absolute errors in the units of training, every column scaled as the network saw it: a large
        one says which column makes a row strange. Beyond the values trained on, and where a column
        was constant, they count as in `score`, which is their mean over the columns.

        Raises:
            ValueError: x has another shape, or a value is not finite; give rows of n_dim numbers.
        """
        rows = self.units.scaled(x)
        code = self.architecture.encode(self.pair.encoder.genome, self.units.within(rows))
        errors: Float32 = np.abs(rows - self._decoded(code))
        return errors

    def compacted(self) -> Model:
        """The same function without what pruning made dead: see `autoencoders.compaction`.

        A compact model has nothing more to take out, and is returned as it is.
        """
        if self.compaction is not None:
            return self
        small = compact(self.architecture, self.pair)
        return dataclasses.replace(
            self,
            architecture=small.architecture,
            pair=small.pair,
            others=(),
            compaction=Compaction(
                code=tuple(small.code.tolist()),
                unread_inputs=tuple(small.unread_inputs.tolist()),
                is_constant=small.is_constant,
                n_parameters=self.architecture.n_parameters,
            ),
        )

    def for_use(self) -> Model:
        """The same without what only training needs: the log-variances of a variational encoder."""
        encoder = self.architecture.encoder
        if not self.architecture.variational:
            return self
        heads = NetworkLayout(encoder.layers[:-1])
        architecture = dataclasses.replace(self.architecture, encoder=heads, variational=False)
        pair = Pair(Network(self.pair.encoder.genome[: heads.size]), self.pair.decoder)
        return dataclasses.replace(self, architecture=architecture, pair=pair, others=())

    def _decoded(self, code: Float32) -> Float32:
        return self.architecture.decode(self.pair.decoder.genome, code)


def row_errors(rows: Float32, reconstruction: Float32) -> Float32:
    """Mean absolute error of each row: float32, (rows,)."""
    errors: Float32 = np.abs(rows - reconstruction).mean(axis=1)
    return errors


def percentiles(scores: Floats) -> tuple[float, ...] | None:
    """Percentiles 0 to 100 of scores (rows,), of six digits; None if a score is not finite."""
    if not np.isfinite(scores).all():
        return None
    found = np.quantile(scores.astype(np.float64), np.linspace(0, 1, 101))
    return tuple(float(f"{each:.6g}") for each in found)


def describe_layers(architecture: Architecture) -> str:
    """The widths from input over code to output, as in `1000-30-10-30-1000`."""
    encoder = [architecture.encoder.n_in, *architecture.encoder.hidden_sizes]
    decoder = [layer.n_out for layer in architecture.decoder.layers]
    widths = "-".join(map(str, [*encoder, architecture.latent_size, *decoder]))
    return f"{widths} (variational)" if architecture.variational else widths


@dataclass(frozen=True)
class Ensemble:
    """Several autoencoders whose reconstructions are averaged.

    Attributes:
        architecture: of every pair.
        pairs: the members.
        units: of the rows that they take and give.
    """

    architecture: Architecture
    pairs: tuple[Pair, ...]
    units: Units

    @staticmethod
    def of(model: Model) -> Ensemble:
        """Of all centres that a model's file holds.

        Raises:
            ValueError: the file holds the best pair alone; run the study with store_all_nodes.
        """
        if not model.others:
            raise ValueError("the model's file holds the best pair alone; run with store_all_nodes")
        return Ensemble(model.architecture, model.others, model.units)

    def encode(self, x: Any) -> Float32:
        """Codes of rows x (rows, n_dim), the members' side by side: float32, (rows, members * Z).

        Raises:
            ValueError: x has another shape, or a value is not finite; give rows of n_dim numbers.
        """
        return self._encoded(self.units.to_network(x))

    def decode(self, z: Any) -> Floats:
        """Mean reconstruction from codes z (rows, members * Z): (rows, n_dim), as `Model.decode`.

        Raises:
            ValueError: z has another shape; give codes as `encode` does.
        """
        width = len(self.pairs) * self.architecture.latent_size
        return self.units.from_network(self._decoded(matrix(z, width)))

    def reconstruct(self, x: Any) -> Floats:
        """Mean reconstruction of rows x (rows, n_dim): as `decode`.

        Raises:
            ValueError: x has another shape, or a value is not finite; give rows of n_dim numbers.
        """
        return self.decode(self.encode(x))

    def score(self, x: Any) -> Float32:
        """How badly each row is reconstructed: float32, (rows,), as `Model.score`.

        Raises:
            ValueError: x has another shape, or a value is not finite; give rows of n_dim numbers.
        """
        rows = self.units.scaled(x)
        return row_errors(rows, self._decoded(self._encoded(self.units.within(rows))))

    def _encoded(self, rows: Float32) -> Float32:
        codes = [self.architecture.encode(pair.encoder.genome, rows) for pair in self.pairs]
        return np.concatenate(codes, axis=1)

    def _decoded(self, codes: Float32) -> Float32:
        parts = np.split(codes, len(self.pairs), axis=1)
        members = [
            self.architecture.decode(pair.decoder.genome, part)
            for pair, part in zip(self.pairs, parts, strict=True)
        ]
        mean: Float32 = np.mean(members, axis=0, dtype=np.float32)
        return mean
