"""Which training rows a cell sees, and when."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from aes_lipi.arrays import Int32
from aes_lipi.coevolution.plan import Setup
from aes_lipi.config import Variant
from aes_lipi.randomness import Address, Purpose


def rows_of_cell(setup: Setup, address: Address) -> Int32:
    """Indices of the training rows that a cell may see, in order, int32, shape (rows,)."""
    n_rows = len(setup.dataset.train)
    fraction = setup.variant.cell_data_fraction
    if fraction == 1.0:
        return np.arange(n_rows, dtype=np.int32)
    subset = Address(address.seed, address.trial, address.cell).stream(Purpose.DATA_SUBSET)
    chosen = subset.permutation(n_rows)[: max(1, round(fraction * n_rows))]
    return np.sort(chosen).astype(np.int32)


def random_batch(rows: Int32, variant: Variant, address: Address, purpose: Purpose) -> Int32:
    """One batch of distinct rows, int32, shape (min(batch_size, rows),)."""
    size = min(variant.batch_size, len(rows))
    return address.stream(purpose).choice(rows, size, replace=False)


def shuffled_pass(rows: Int32, variant: Variant, rng: np.random.Generator) -> Int32:
    """All rows once, in batches, int32, shape (batches, batch_size); -1 pads the last one."""
    order = rows if variant.no_shuffle_data else rng.permutation(rows)
    return in_batches(order, variant.batch_size)


def in_batches(rows: Int32, batch_size: int) -> Int32:
    """Cut rows into batches, int32, shape (batches, batch_size); -1 pads the last one."""
    padded: npt.NDArray[np.int32] = np.full(
        -(-len(rows) // batch_size) * batch_size, -1, dtype=np.int32
    )
    padded[: len(rows)] = rows
    return padded.reshape(-1, batch_size)
