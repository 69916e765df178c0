"""A plain network for the compute of a study: its settings, and that it is shown but not chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_study
from own_tables import own_data, write_table
from studies import run_study

from aes_lipi.analysis.baselines import baseline_remarks, chosen_trials, contenders
from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.control import exported_widths, with_control
from aes_lipi.execution.estimate import nominal_seconds
from aes_lipi.execution.inputs import architecture_on_hand, with_digests
from aes_lipi.export.candidates import choose
from aes_lipi.export.targets import Target
from aes_lipi.results.reading import load_results

NAME = "control: a plain network"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "own.parquet"
    write_table(path)
    return path


def study_of(table: Path, **settings: Any) -> Study:
    return with_digests(own_data(table, latent_size=2, **settings))


def control_of(study: Study) -> Variant:
    [control] = [each for each in with_control(study).variants if each.is_control]
    return control


@pytest.fixture(scope="module")
def study(table: Path) -> Study:
    return with_control(study_of(table).model_copy(update={"trials": 1}))


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    run_study(study, folder)
    return folder


def test_it_is_one_cell_of_the_size_of_an_export(table: Path) -> None:
    plain = study_of(table)
    control = control_of(plain)
    pruned = plain.variants[1]
    assert exported_widths(plain.variants[0]) == (6,)
    assert control.hidden_sizes == exported_widths(pruned) == (3,)
    assert architecture_on_hand(control).latent_size == architecture_on_hand(pruned).latent_size
    assert (control.population_size, control.radius, control.prune_method) == (1, 0, "None")
    assert control.learning_rate == pruned.learning_rate
    assert control.data_digest == pruned.data_digest


@pytest.mark.parametrize("settings", [{}, {"epochs": 40, "batch_size": 20}, {"hidden_sizes": [8]}])
def test_it_takes_what_the_others_take_together(table: Path, settings: dict[str, Any]) -> None:
    plain = study_of(table, **settings)
    control = control_of(plain)
    others = sum(map(nominal_seconds, plain.variants))
    assert nominal_seconds(control) == pytest.approx(others, rel=0.1)
    assert control.epochs > plain.variants[0].epochs


def test_it_is_bounded(table: Path) -> None:
    wide = study_of(table, population_size=60, epochs=3)
    assert control_of(wide).epochs == 20 * 3


def test_a_control_gets_no_control(study: Study) -> None:
    assert with_control(study) == study
    assert [study.label(each) for each in study.variants][2] == NAME


def test_each_width_of_code_has_one(table: Path) -> None:
    plain = study_of(table)
    narrow = plain.variants[0].model_copy(update={"latent_size": 1})
    several = plain.model_copy(update={"variants": (*plain.variants, narrow)})
    made = with_control(several)
    controls = [each for each in made.variants if each.is_control]
    assert [each.latent_size for each in controls] == [2, 1]
    assert {made.label(each) for each in controls} == {
        f"{NAME}, hidden_sizes={width}" for width in (3, 6)
    }


def test_a_start_from_pca_is_left_where_layers_are_too_narrow(table: Path) -> None:
    linear = {
        "environment": "LinearCodeAutoencoder",
        "output_activation": "linear",
        "initial_weights": "pca",
    }
    assert control_of(study_of(table, **linear)).initial_weights == "random"
    wide = study_of(table, **{**linear, "hidden_sizes": [8]})
    assert control_of(wide).initial_weights == "pca"


def test_generated_data_have_none() -> None:
    with pytest.raises(UserError, match=r"^--control: is for data of your own; give --data"):
        with_control(tiny_study())


def test_it_is_shown_and_told_when_it_is_better(study: Study, folder: Path) -> None:
    trials = load_results(folder, ["trials"]).trials
    labels = {each.id: study.label(each) for each in study.variants}
    assert NAME in [each.name for each in contenders(trials, labels)]
    rival = trials["is_control"]
    assert rival.tolist().count(True) == 1
    for mse, n in ((0.0, 1), (1.0, 0)):
        trials.loc[rival, "validation_mse"] = mse
        lines = [line for line in baseline_remarks(trials, labels) if "plain" in line]
        assert len(lines) == n
        assert all(line.startswith("a plain network, trained for the comp") for line in lines)
    without = trials[~rival]
    assert any("--control of run does" in line for line in baseline_remarks(without, labels))


@pytest.mark.parametrize("target", [Target(), Target(loss_increase=9.0), Target(capacity=1.0)])
def test_it_is_exported_only_by_name(study: Study, folder: Path, target: Target) -> None:
    control = study.variants[2].id
    assert choose(folder, None, None, target, compact=True).trial.variant != control
    assert choose(folder, NAME, None, target, compact=True).trial.variant == control
    trials = load_results(folder, ["trials"]).trials
    labels = {each.id: study.label(each) for each in study.variants}
    assert control not in set(chosen_trials(trials, labels)["variant"])
