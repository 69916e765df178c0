"""Which rows a cell trains on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from helpers import setup_of, tiny_variant
from rings import advanced, begun

from aes_lipi.arrays import Float64
from aes_lipi.coevolution.cell import in_batches, random_batch, rows_of_cell, shuffled_pass
from aes_lipi.engine.protocol import EvaluateTask, Trained, TrainTask
from aes_lipi.randomness import Address, Purpose


def test_a_pass_visits_every_row_once_and_pads_the_last_batch() -> None:
    variant = tiny_variant()
    rows = np.arange(12, dtype=np.int32)
    batches = shuffled_pass(rows, variant, np.random.default_rng(0))
    assert batches.shape == (3, 5)
    assert sorted(batches.ravel()[:12].tolist()) == list(range(12))
    assert batches.ravel()[12:].tolist() == [-1, -1, -1]
    assert batches.ravel()[:12].tolist() != list(range(12))


def test_unshuffled_rows_come_in_order() -> None:
    rows = np.arange(4, 9, dtype=np.int32)
    variant = tiny_variant(no_shuffle_data=True)
    batches = shuffled_pass(rows, variant, np.random.default_rng(0))
    assert batches.tolist() == [[4, 5, 6, 7, 8]]


def test_batches_of_any_length() -> None:
    assert in_batches(np.arange(3, dtype=np.int32), 2).tolist() == [[0, 1], [2, -1]]
    assert in_batches(np.arange(2, dtype=np.int32), 5).tolist() == [[0, 1, -1, -1, -1]]


def test_a_cells_subset_is_fixed_and_its_own() -> None:
    setup = setup_of(tiny_variant(cell_data_fraction=0.5))
    subsets = [rows_of_cell(setup, Address(1, 0, cell, 0)) for cell in range(4)]
    later = [rows_of_cell(setup, Address(1, 0, cell, 9)) for cell in range(4)]
    for subset, again in zip(subsets, later, strict=True):
        assert len(set(subset.tolist())) == 6
        np.testing.assert_array_equal(subset, again)
    assert len({tuple(subset.tolist()) for subset in subsets}) > 1


def test_a_cell_trains_and_is_evaluated_on_its_subset_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cells that are computed at once, in the order of their numbers."""
    setup = setup_of(tiny_variant(cell_data_fraction=0.5, update_order="synchronous"))
    subsets = [set(rows_of_cell(setup, Address(1, 0, cell, 0)).tolist()) for cell in range(4)]
    trained: list[TrainTask] = []
    evaluated: list[EvaluateTask] = []
    train, loss_matrices = setup.engine.train, setup.engine.loss_matrices

    def training(tasks: Sequence[TrainTask]) -> list[Trained]:
        trained.extend(tasks)
        return train(tasks)

    def evaluating(tasks: Sequence[EvaluateTask]) -> list[Float64]:
        evaluated.extend(tasks)
        return loss_matrices(tasks)

    monkeypatch.setattr(setup.engine, "train", training)
    monkeypatch.setattr(setup.engine, "loss_matrices", evaluating)
    advanced(begun(setup), setup)
    passes = [sorted(task.updates.rows.ravel().tolist()) for task in trained]
    assert passes == [[-1] * 4 + sorted(subset) for subset in subsets]
    batches = [set(task.rows.tolist()) for task in evaluated if task.split == "train"]
    assert [len(batch) for batch in batches] == [5] * 8
    for batch, subset in zip(batches, subsets * 2, strict=True):  # at selection, at replacement
        assert batch < subset


def test_a_batch_larger_than_the_rows_takes_them_all() -> None:
    rows = np.arange(3, dtype=np.int32)
    batch = random_batch(rows, tiny_variant(), Address(1, 0), Purpose.SELECTION_BATCH)
    assert sorted(batch.tolist()) == [0, 1, 2]
