from __future__ import annotations

import numpy as np
import pyarrow as pa

from aes_lipi.analysis.measures import SIZES, UNITS, Sizes, TrialRows, trial_rows

NAN = np.nan


def rows() -> TrialRows:
    """Three cells in two generations, out of order."""
    return TrialRows(
        generation=np.array([1, 0, 0, 0, 1, 1]),
        cell=np.array([2, 0, 1, 2, 0, 1]),
        measures={
            "loss": np.array([6.0, 3.0, 1.0, 2.0, 4.0, 4.0]),
            "size": np.array([60.0, 30.0, 10.0, 20.0, 40.0, 41.0]),
        },
    )


def test_a_trials_mean_is_over_its_cells() -> None:
    found = UNITS["trial_mean"](rows(), "loss")
    assert found.generation.tolist() == [0, 1]
    assert found.cell.tolist() == [-1, -1]
    assert found.measures["loss"].tolist() == [2, 14 / 3]
    assert found.measures["size"].tolist() == [20, 47]


def test_all_measures_of_the_best_are_of_one_cell_and_the_first_of_ties() -> None:
    found = UNITS["trial_best"](rows(), "loss")
    assert found.cell.tolist() == [1, 0]
    assert found.measures["loss"].tolist() == [1, 4]
    assert found.measures["size"].tolist() == [10, 40]


def test_pooled_cells_are_all_cells_in_order() -> None:
    found = UNITS["pooled_cells"](rows(), "loss")
    assert found.generation.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.cell.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.measures["size"].tolist() == [30, 10, 20, 40, 41, 60]


def test_a_mean_needs_all_cells_and_a_best_any() -> None:
    partly = TrialRows(
        np.array([0, 0, 1, 1]),
        np.array([0, 1, 0, 1]),
        {"loss": np.array([NAN, 2.0, NAN, NAN]), "size": np.array([10.0, 20.0, 30.0, 40.0])},
    )
    np.testing.assert_array_equal(UNITS["trial_mean"](partly, "loss").measures["loss"], [NAN, NAN])
    best = UNITS["trial_best"](partly, "loss")
    assert best.cell.tolist() == [1, -1]
    np.testing.assert_array_equal(best.measures["size"], [20, NAN])


def test_published_sizes_take_off_what_was_zero_at_the_last_prune_event() -> None:
    counts = {
        "n_zero_encoder": 1,
        "n_zero_decoder": 2,
        "n_pruned_encoder": 4,
        "n_pruned_decoder": 8,
    }
    table = pa.table({name: [n] for name, n in {"generation": 0, "cell": 0, **counts}.items()})
    found = trial_rows(table, SIZES, Sizes(100.0, 60.0, 40.0)).measures
    assert {name: values.tolist() for name, values in found.items()} == {
        **{"network_size": [97], "encoder_size": [59], "decoder_size": [38]},
        **{"network_size_published": [88], "encoder_size_published": [56]},
        "decoder_size_published": [32],
    }


def test_units_of_no_rows_are_empty() -> None:
    none = TrialRows(np.empty(0, np.int64), np.empty(0, np.int64), {"loss": np.empty(0)})
    for unit in UNITS.values():
        assert len(unit(none, "loss").measures["loss"]) == 0
