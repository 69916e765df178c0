"""A ring whose nodes are pruned gradually, and stay pruned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers import setup_of, tiny_variant
from rings import cells_of, evolved, records_of

from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.state import Cell, Setup
from aes_lipi.engine.dense.engine import DenseEngine

# Networks of 7-4-3 and 3-4-7 nodes. T = 8 and t1 = 4, so that of an amount of 1/2 there is
# 0, 37/128, 56/128, 63/128 and then 1/2: of the 4 hidden nodes of either network 0, 1, 2, 2, 2 are
# dead, and of the 3 latent nodes 0, 1, 1, 1, 2 (1/2 of 3 is 1.5, rounded to even).
#
# With h hidden and z latent nodes alive, what is left are 8h + z(h + 1) entries of the encoder and
# 4h + 7h + 7 of the decoder, whose weights from dead latent nodes stay.
LEFT = [98, 72, 51, 51, 48, 48, 48, 48, 48]


def setup() -> Setup:
    variant = tiny_variant(
        epochs=9,
        prune_method="magnitude",
        prune_unit="node",
        prune_schedule="gradual",
        prune_probability=1.0,
        prune_amount=0.5,
        gradual_end=0.5,
        pruned_weights="frozen",
    )
    plain = setup_of(variant)
    return replace(plain, engine=DenseEngine(plain.architecture, plain.dataset, variant.batch_size))


def evolve() -> tuple[list[Cell], list[Record]]:
    last = evolved(setup())
    return cells_of(last), records_of(last)


def test_capacity_falls_to_the_amount_and_stays() -> None:
    cells, records = evolve()
    assert all(record.prune_event for record in records)
    expected = [left / 98 for left in LEFT for _ in cells]
    assert [record.capacity for record in records] == pytest.approx(expected)
    for cell in cells:
        for network in (cell.pair.encoder, cell.pair.decoder):
            assert network.mask is not None
            assert np.array_equal(network.genome != 0, network.mask)


def test_the_same_run_has_the_same_bits() -> None:
    (one, records), (other, again) = evolve(), evolve()
    assert records == again
    for left, right in zip(one, other, strict=True):
        for network, twin in (
            (left.pair.encoder, right.pair.encoder),
            (left.pair.decoder, right.pair.decoder),
        ):
            assert network.genome.tobytes() == twin.genome.tobytes()
            assert network.mask is not None
            assert twin.mask is not None
            assert np.array_equal(network.mask, twin.mask)
