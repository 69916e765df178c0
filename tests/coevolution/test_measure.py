"""Weights and losses that are not finite are caught in the generation where they arise."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import tiny_study, tiny_variant
from rings import advanced, begun, cells_of, with_cells
from studies import assert_same_study, run_study

from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.coevolution.measure import DivergenceError
from aes_lipi.coevolution.records import Record
from aes_lipi.coevolution.state import Cell, Held, Setup, TrialState
from aes_lipi.config import Variant
from aes_lipi.execution.inputs import prepare
from aes_lipi.execution.run import Summary
from aes_lipi.results.reading import load_results

WILD: dict[str, Any] = {
    "environment": "VariationalAutoencoderBinaryClustering",
    "engine": "torch",
    "learning_rate": 10.0,
    "learning_rate_policy": "constant",
    "epochs": 30,
}
"""A setting that diverges for real: the latent code's variance overflows."""


def overflowing(cell: Cell) -> Cell:
    """The cell with weights, all finite, whose products are not."""
    genomes = [np.full_like(n.genome, 1e30) for n in (cell.pair.encoder, cell.pair.decoder)]
    return dataclasses.replace(cell, pair=Pair(*map(Network, genomes)))


def ring_with_an_overflowing_cell(variant: Variant) -> tuple[TrialState[Held], Setup]:
    """Cell 2 cannot select anything but itself."""
    setup = prepare(variant)
    start = begun(setup)
    return with_cells(start, {2: overflowing(cells_of(start)[2])}), setup


@pytest.mark.parametrize("engine", ["dense", "torch"])
def test_an_event_before_the_evaluation_does_not_hide_what_diverged(engine: str) -> None:
    """It takes nodes whose activations are not above a draw, as no NaN is."""
    settings: dict[str, Any] = {"radius": 0, "cell_evaluation": "lipi_simple_pte"}
    settings |= {"prune_method": "activation", "prune_schedule": "fixed", "prune_probability": 1.0}
    ring, setup = ring_with_an_overflowing_cell(tiny_variant(engine=engine, **settings))
    with pytest.raises(DivergenceError, match="in generation 0 of cell 2, "):
        advanced(ring, setup)


@pytest.mark.parametrize("engine", ["dense", "torch"])
@pytest.mark.parametrize("cell_evaluation", ["lipi_simple", "lipi_simple_pte", "epoch-node"])
def test_a_generation_that_diverges_ends_the_trial_and_is_named(
    engine: str, cell_evaluation: str
) -> None:
    settings: dict[str, Any] = {"radius": 0, "cell_evaluation": cell_evaluation}
    ring, setup = ring_with_an_overflowing_cell(tiny_variant(engine=engine, **settings))
    with pytest.raises(DivergenceError, match="in generation 0 of cell 2, ") as error:
        advanced(ring, setup)
    assert "on_divergence to skip" in str(error.value)


@pytest.mark.parametrize("engine", ["dense", "torch"])
def test_a_cell_that_diverges_keeps_its_state_on_request(engine: str) -> None:
    ring, setup = ring_with_an_overflowing_cell(
        tiny_variant(engine=engine, radius=0, on_divergence="skip", optimizer_state="cell")
    )
    after, records = advanced(ring, setup)
    assert [record.diverged for record in records] == [False, False, True, False]
    assert cells_of(after)[2] == cells_of(ring)[2]
    assert (records[2].winner, records[2].winner_cell) == (0, 2)
    assert not is_finite(records[2])
    assert after.learning_rates[2] != ring.learning_rates[2]
    for i in (0, 1, 3):
        assert is_finite(records[i])
        assert cells_of(after)[i] is not cells_of(ring)[i]
    [again, _] = advanced(after, setup)
    assert cells_of(again)[2] == cells_of(ring)[2]


def is_finite(record: Record) -> bool:
    return bool(np.isfinite([record.min_selection_loss, record.min_replacement_loss]).all())


def test_a_trial_that_diverges_is_recorded_as_failed(tmp_path: Path) -> None:
    study = tiny_study(trials=2, **WILD)
    assert run_study(study, tmp_path, jobs=2) == Summary(committed=0, failed=2)
    for error in load_results(tmp_path).failures["error"]:
        assert error.startswith("DivergenceError: training diverged: in generation ")
        assert "\n" not in error


def test_a_trial_goes_on_past_divergence_with_finite_weights(tmp_path: Path) -> None:
    study = tiny_study(trials=1, on_divergence="skip", store_all_nodes=True, **WILD)
    assert run_study(study, tmp_path / "a") == Summary(1, 0)
    results = load_results(tmp_path / "a")
    diverged = results.generations[results.generations["diverged"]]
    assert len(diverged) == results.trials["n_diverged"][0] > 0
    assert (diverged["winner_cell"] == diverged["cell"]).all()
    assert np.isfinite(results.trials["test_loss"][0])
    run_study(study, tmp_path / "b", jobs=2)
    assert_same_study(tmp_path / "a", tmp_path / "b")


def test_the_policy_changes_nothing_where_all_is_finite(tmp_path: Path) -> None:
    for policy in ("fail", "skip"):
        run_study(tiny_study(trials=1, on_divergence=policy), tmp_path / policy)
    ours, theirs = (load_results(tmp_path / policy).generations for policy in ("fail", "skip"))
    same = [column for column in ours if column not in ("variant", "wall_time_s", "cpu_time_s")]
    assert ours[same].equals(theirs[same])
    assert not ours["diverged"].any()
