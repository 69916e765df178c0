"""A ring's centres as one averaged model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from aes_lipi.arrays import Float32, Floats
from aes_lipi.autoencoders.environments import Architecture
from aes_lipi.autoencoders.network import Pair
from aes_lipi.models.model import Model, Units, matrix, row_errors


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
