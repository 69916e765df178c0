"""A trained autoencoder, used with numpy alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aes_lipi.arrays import Float32, Floats
from aes_lipi.autoencoders.compaction import compact
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Network, NetworkLayout, Pair
from aes_lipi.data.scaling import MinMax
from aes_lipi.models.units import Units, matrix


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

    code: tuple[int, ...]
    unread_inputs: tuple[int, ...]
    is_constant: bool
    n_parameters: int


@dataclass(frozen=True)
class Model:
    """A trained autoencoder.

    Rows are given and come back in the units of the data that it was trained on. Where these were
    scaled, the model scales.

    Attributes:
        architecture: of the pair.
        pair: the best pair of its trial.
        others: every cell's centre, in cell order, if the study stored them all.
        provenance: study, variant, trial, cell and settings it comes from.
        scaling: of the data to [0, 1]; None if they lie there.
        columns: names of the data's columns, if they have names.
        compaction: of a compact model, what became of the original.
    """

    architecture: Architecture
    pair: Pair
    others: tuple[Pair, ...] = ()
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scaling: MinMax | None = None
    columns: tuple[str, ...] | None = None
    compaction: Compaction | None = None

    @property
    def units(self) -> Units:
        """Of the rows that the model takes and gives."""
        return Units(self.architecture.n_dim, self.scaling, self.columns)

    def encode(self, x: Any) -> Float32:
        """Codes of rows x (rows, n_dim): float32, (rows, latent size).

        Raises:
            ValueError: x is not of that shape, or a value is not finite.
        """
        rows = self.units.to_network(x)
        return self.architecture.encode(self.pair.encoder.genome, rows)

    def decode(self, z: Any) -> Floats:
        """Reconstructions from codes z (rows, latent size): (rows, n_dim).

        They are float32; float64 where the model scales.

        Raises:
            ValueError: z is not of that shape.
        """
        return self.units.from_network(self._decoded(matrix(z, self.architecture.latent_size)))

    def reconstruct(self, x: Any) -> Floats:
        """Reconstructions of rows x (rows, n_dim): as `decode`.

        Raises:
            ValueError: x is not of that shape, or a value is not finite.
        """
        return self.decode(self.encode(x))

    def score(self, x: Any) -> Float32:
        """How badly each row (rows, n_dim) is reconstructed: float32, (rows,).

        The mean absolute error over the columns, each scaled to [0, 1]: high for a row that is
        unlike those the model was trained on. The network sees values beyond those it was trained
        on as the nearest that it was; the error is to the values as they are. A column that was
        constant in training has no scale: it counts as 1 where it has changed.

        Raises:
            ValueError: x is not of that shape, or a value is not finite.
        """
        rows = self.units.scaled(x)
        code = self.architecture.encode(self.pair.encoder.genome, self.units.within(rows))
        return row_errors(rows, self._decoded(code))

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


def describe_layers(architecture: Architecture) -> str:
    """The widths from input over code to output, as in `1000-30-10-30-1000`."""
    encoder = [architecture.encoder.n_in, *architecture.encoder.hidden_sizes]
    decoder = [layer.n_out for layer in architecture.decoder.layers]
    widths = "-".join(map(str, [*encoder, architecture.latent_size, *decoder]))
    return f"{widths} (variational)" if architecture.variational else widths
