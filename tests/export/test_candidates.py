"""Which model a target picks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import tiny_study
from own_tables import load_file
from studies import run_study

from aes_lipi.analysis.pareto import knee, read_candidates
from aes_lipi.coevolution.records import pareto_front
from aes_lipi.errors import UserError
from aes_lipi.export.candidates import Choice, choose
from aes_lipi.export.targets import Target
from aes_lipi.models import Place, read_model
from aes_lipi.results.reading import load_results

ANY = (None, None)


def pick(study: Path, target: Target, *, compact: bool = False) -> Choice:
    return choose(study, *ANY, target, compact=compact)


def candidates(study: Path) -> pd.DataFrame:
    return read_candidates(study)


def test_without_a_target_the_best_trial_gives_its_answer(study: Path) -> None:
    trials = load_results(study, ["trials"]).trials
    best = trials.sort_values("validation_L1").iloc[0]
    choice = pick(study, Target())
    assert (choice.trial.variant, choice.trial.trial) == (best["variant"], best["trial"])
    assert choice.place is None
    assert (choice.validation_L1, choice.test_L1) == (best["validation_L1"], best["test_L1"])
    stored = read_model(study / choice.trial.path("models"))
    assert np.array_equal(choice.model.pair.decoder.genome, stored.pair.decoder.genome)


@pytest.mark.parametrize("compact", [False, True])
def test_a_target_of_size_takes_the_best_that_is_small_enough(study: Path, compact: bool) -> None:
    rows, size = candidates(study), "compact_share" if compact else "capacity"
    share = float(rows[size].quantile(0.4))
    choice = pick(study, Target(capacity=share), compact=compact)
    fitting = rows[rows[size] <= share]
    assert choice.validation_L1 == fitting["validation_L1"].min()
    assert choice.label == "magnitude, gradual"


def test_a_target_of_loss_takes_the_smallest_that_is_good_enough(study: Path) -> None:
    rows = candidates(study)
    lowest = rows["validation_L1"].min()
    for increase in (0.0, 0.05, 0.5):
        choice = pick(study, Target(loss_increase=increase))
        fitting = rows[rows["validation_L1"] <= lowest * (1 + increase)]
        assert choice.lowest == lowest
        assert choice.validation_L1 <= lowest * (1 + increase)
        kept = choice.model.pair.encoder.n_zero + choice.model.pair.decoder.n_zero
        assert 1 - kept / choice.model.architecture.n_parameters == fitting["capacity"].min()


def test_a_compact_model_without_a_target_is_at_the_knee(study: Path) -> None:
    rows = candidates(study)
    front = rows.iloc[pareto_front(rows["n_compact"], rows["validation_L1"])]
    best = front.iloc[knee(front["n_compact"], front["validation_L1"])]
    choice = pick(study, Target(), compact=True)
    assert (choice.trial.variant, choice.trial.trial) == (best["variant"], best["trial"])
    assert choice.place == Place(best["generation"], best["cell"])
    assert choice.model.compacted().architecture.n_parameters == best["n_compact"]
    assert f"of {len(front)} models" in choice.why


def test_without_stored_models_a_compact_one_is_the_answer(tmp_path: Path) -> None:
    run_study(tiny_study(trials=1, epochs=2), tmp_path / "study")
    choice = pick(tmp_path / "study", Target(), compact=True)
    assert choice.place is None
    assert "not every trial stored recorded models" in choice.why


def test_the_loss_is_compared_with_the_whole_study_whatever_variant_is_asked_for(
    study: Path,
) -> None:
    choice = choose(study, "magnitude, gradual", 1, Target(loss_increase=10.0), compact=False)
    assert choice.trial.trial == 1
    assert choice.lowest == candidates(study)["validation_L1"].min()


def test_a_recorded_centre_has_the_losses_that_were_recorded(study: Path, table: Path) -> None:
    choice = pick(study, Target(capacity=0.7))
    assert choice.place is not None
    data = load_file(table, scale="minmax")
    assert data.scaling is not None
    for rows, known in ((data.validation, choice.validation_L1), (data.test, choice.test_L1)):
        scores = choice.model.score(data.scaling.invert(rows))
        batches = [scores[k : k + 5].mean() for k in range(0, len(scores), 5)]
        assert np.mean(batches) == pytest.approx(known, rel=1e-5)


def test_the_last_recorded_centre_of_the_best_cell_is_the_answer(study: Path) -> None:
    trial = load_results(study, ["trials"]).trials.iloc[0]
    rows = candidates(study)
    last = rows[(rows["variant"] == trial["variant"]) & (rows["trial"] == trial["trial"])]
    last = last[(last["generation"] == 5) & (last["cell"] == trial["best_cell"])].iloc[0]
    for name in ("validation_L1", "test_L1", "capacity", "n_compact"):
        assert last[name] == trial[name]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nothing", None, Target()), "--variant nothing"),
        ((None, 7, Target()), "--trial 7"),
        ((None, None, Target(capacity=0.01)), "the smallest has"),
        (("magnitude, gradual", 0, Target(loss_increase=0.0)), "the lowest is"),
    ],
)
def test_what_is_not_there_is_told(
    study: Path, arguments: tuple[str | None, int | None, Target], told: str
) -> None:
    variant, trial, target = arguments
    with pytest.raises(UserError, match=told) as caught:
        choose(study, variant, trial, target, compact=False)
    assert "\n" not in str(caught.value)


def test_a_study_that_stored_no_recorded_centres_says_what_to_do(tmp_path: Path) -> None:
    run_study(tiny_study(trials=1, epochs=2), tmp_path / "study")
    assert pick(tmp_path / "study", Target()).trial.trial == 0
    with pytest.raises(UserError, match="store_generations"):
        pick(tmp_path / "study", Target(capacity=1.0))


def test_the_smallest_is_the_one_of_fewest_parameters_whatever_its_share(tmp_path: Path) -> None:
    study = tiny_study(
        trials=1,
        epochs=4,
        store_generations="recorded",
        hidden_sizes=[[4], [40]],
        prune_method=["None", "random"],
        prune_unit="hidden_node",
    )
    run_study(study, tmp_path / "study")
    rows = candidates(tmp_path / "study")
    limit = rows["validation_L1"].min() * 2
    for compact in (False, True):
        choice = pick(tmp_path / "study", Target(loss_increase=1.0), compact=compact)
        fitting = rows[rows["validation_L1"] <= limit]
        counts = fitting["n_compact"] if compact else fitting["capacity"] * fitting["n_parameters"]
        pair = choice.model.pair
        non_zero = (
            choice.model.architecture.n_parameters - pair.encoder.n_zero - pair.decoder.n_zero
        )
        found = choice.model.compacted().architecture.n_parameters if compact else non_zero
        assert found == round(counts.min())


def test_losses_on_different_data_are_not_compared(tmp_path: Path) -> None:
    study = tiny_study(
        trials=1, epochs=2, store_generations="recorded", noise_probability=[0.0, 0.4], batch_size=5
    )
    run_study(study, tmp_path / "study")
    for target in (Target(loss_increase=0.1), Target()):
        with pytest.raises(UserError, match=r"different data .* name a --variant"):
            pick(tmp_path / "study", target)
    rows = candidates(tmp_path / "study")
    for label, own in rows.groupby("label", observed=True):
        choice = choose(
            tmp_path / "study", str(label), None, Target(loss_increase=0.0), compact=False
        )
        assert choice.lowest == own["validation_L1"].min() == choice.validation_L1
