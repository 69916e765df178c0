"""Networks as values: what a cell holds, trains, hands to its neighbours and prunes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Float32

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Network:
    """One encoder or decoder.

    Attributes:
        genome: flat weights, float32, shape (P,).
        mask: True where a weight is alive, False where pruning froze it at zero, shape (P,);
            None while nothing is frozen.
        n_pruned: zeros in the genome right after the last prune event of its line.
    """

    genome: Float32
    mask: Mask | None = None
    n_pruned: int = 0

    @property
    def size(self) -> int:
        """Entries of the genome."""
        return self.genome.size

    @cached_property
    def n_zero(self) -> int:
        """Entries of the genome that are exactly zero."""
        return int(self.genome.size - np.count_nonzero(self.genome))

    @property
    def is_finite(self) -> bool:
        """Whether no entry of the genome is infinite or not a number."""
        return bool(np.isfinite(self.genome).all())

    def with_genome(self, genome: Float32) -> Network:
        """The same network with other weights."""
        return replace(self, genome=genome)


@dataclass(frozen=True)
class Pair:
    """An encoder and the decoder that belongs to it: the centre of a cell."""

    encoder: Network
    decoder: Network
