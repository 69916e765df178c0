"""A trial in one's own loop: the bits of a study, whatever is looked at and wherever it goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import TINY

import aes_lipi
from aes_lipi.config import Study
from aes_lipi.engine.processor import machine_name
from aes_lipi.results.checkpoint import identify
from aes_lipi.results.reading import Results
from aes_lipi.stepping import TrialSnapshot, evolve

FIELDS: dict[str, Any] = {
    **{**TINY, "hidden_sizes": [4], "trials": 2, "prune_method": "None", "learning_rate": 0.1},
    **{"epochs": 12, "patience": 2, "store_all_nodes": True, "learning_rate_policy": "constant"},
}
NOT_SHARED = ["variant_name", "variant", "wall_time_s", "cpu_time_s"]


@pytest.fixture(scope="module")
def study() -> Study:
    return aes_lipi.load_study("quickstart", FIELDS)


@pytest.fixture(scope="module")
def results(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Results:
    return aes_lipi.run(study, tmp_path_factory.mktemp("study"))


def looked_at(state: TrialSnapshot) -> None:
    """All there is to look at, and harm done to what is given."""
    state.model(state.best()).reconstruct(np.zeros((2, 7), np.float32))
    state.cells[:] = 0
    state.losses[:] = 0
    state.records["mean_L1"] = 0
    assert f"{state.generations} of 12 generations" in repr(state)


def assert_of_run(state: TrialSnapshot, results: Results) -> None:
    """Records and answer are those of the study's second trial."""
    assert state.has_ended
    table = results.generations.query("trial == 1").reset_index(drop=True)
    ours = pd.DataFrame(state.records.drop(columns=["wall_time_s", "cpu_time_s"]))
    theirs = table.drop(columns=NOT_SHARED)
    for name in theirs.columns.drop(["read_generations", "selection_losses"]):
        np.testing.assert_array_equal(ours[name].to_numpy(), theirs[name].to_numpy(), name)
    [row] = results.trials.query("trial == 1").to_dict("records")
    answer = state.answer()
    assert answer.generations == row["best_generation"] + 1 < state.generations
    assert answer.best() == row["best_cell"]
    assert answer.model().pair.encoder.n_zero == row["n_zero_encoder"]


def model_of_run(results: Results, folder: Path) -> Any:
    variant = results.trials["variant"][0]
    return aes_lipi.load_model(folder / f"models/variant={variant}/trial=0001.safetensors")


def test_the_loop_has_the_bits_of_a_study(study: Study, tmp_path: Path) -> None:
    results = aes_lipi.run(study, tmp_path)
    *_, last = evolve(study.variants[0], trial=1)
    assert_of_run(last, results)
    known = model_of_run(results, tmp_path)
    for cell, other in enumerate(known.others):
        pair = last.answer().model(cell).pair
        np.testing.assert_array_equal(pair.encoder.genome, other.encoder.genome)
        np.testing.assert_array_equal(pair.decoder.genome, other.decoder.genome)
    assert last.answer().model().provenance["cell"] == known.provenance["cell"]


def test_looking_changes_nothing(study: Study, results: Results) -> None:
    for state in evolve(study.variants[0], trial=1):
        looked_at(state)
    assert state.cells.shape == (4, state.model(0).pair.encoder.size * 2 + 4)
    fresh = list(evolve(study.variants[0], trial=1))[-1]
    assert_of_run(fresh, results)


@pytest.mark.parametrize("as_file", [False, True])
def test_the_loop_goes_on_from_any_state(
    as_file: bool, study: Study, results: Results, tmp_path: Path
) -> None:
    variant = study.variants[0]
    third = next(state for state in evolve(variant, trial=1) if state.generations == 3)
    (tmp_path / "checkpoint").write_bytes(third.checkpoint())
    start = tmp_path / "checkpoint" if as_file else third
    fourth, *_, last = evolve(variant, start=start)
    assert (fourth.trial, fourth.generations) == (1, 4)
    assert_of_run(last, results)
    assert list(evolve(variant, start=last)) == []


def test_a_start_that_is_none_is_refused(study: Study, tmp_path: Path) -> None:
    first = next(evolve(study.variants[0]))
    other = study.variants[0].model_copy(update={"epochs": 13})
    with pytest.raises(aes_lipi.UserError, match=r"start: of the variant v\w+, not v\w+"):
        next(evolve(other, start=first))
    with pytest.raises(aes_lipi.UserError, match="start: no checkpoint of this variant: variant"):
        next(evolve(other, start=first.checkpoint()))
    with pytest.raises(aes_lipi.UserError, match="nowhere: No such file or directory; give a"):
        next(evolve(other, start=tmp_path / "nowhere"))


def test_what_is_no_variant_trial_or_cell_is_refused(study: Study) -> None:
    wrong: Any = study
    with pytest.raises(aes_lipi.UserError, match=r"variant: .+ is none; give one of a study"):
        next(evolve(wrong))
    with pytest.raises(aes_lipi.UserError, match="trial: -1 is none; give one from 0 to 9998"):
        next(evolve(study.variants[0], -1))
    state = next(evolve(study.variants[0]))
    for cell in (-1, 99):
        with pytest.raises(aes_lipi.UserError, match=rf"cell: {cell} is none of the \d+, from 0"):
            state.model(cell)


def test_a_checkpoint_is_one_of_this_machine(study: Study, tmp_path: Path) -> None:
    content = next(evolve(study.variants[0])).checkpoint()
    assert identify(content).processor == machine_name()


def test_training_that_diverges_ends_the_loop() -> None:
    fields = {**FIELDS, "learning_rate": 10.0, "learning_rate_sd": 1e30, "patience": None}
    variant = aes_lipi.load_study("quickstart", fields).variants[0]
    wild = variant.model_copy(update={"learning_rate": 1e38, "optimizer_state": "cell"})
    with pytest.raises(ArithmeticError, match="training diverged"):
        list(evolve(wild))
