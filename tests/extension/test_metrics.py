"""Metrics of a user's: columns of recorded generations that change nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import TINY
from plugin_modules import write_module

import aes_lipi
from aes_lipi import analysis
from aes_lipi.config import Study

CODE = """
def worst_row(model, data):
    return np.abs(model.reconstruct(data.test) - data.test).mean(axis=1).max()

class Of:
    @staticmethod
    def rows(model, data):
        return len(data.train)

COUNT = []

def counts(model, data):
    COUNT.append(1)
    return len(COUNT)

def writes(model, data):
    data.train[0] = 0
    return 1.0

def meddles(model, data):
    model.pair.encoder.genome[:] = 0
    return 1.0

def words(model, data):
    return "good"

def alone(model):
    return 1.0
"""


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_module(tmp_path_factory.mktemp("metrics"), CODE, "own_metrics")


@pytest.fixture(autouse=True)
def _found(
    module: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in tmp_path_factory.getbasetemp().glob("metrics*"):
        monkeypatch.syspath_prepend(folder)


def study(**settings: Any) -> Study:
    fields = {**TINY, "hidden_sizes": [4], "trials": 2, "prune_method": "None"}
    return aes_lipi.load_study("quickstart", {**fields, "record_interval": 2, **settings})


def test_metrics_are_columns_and_change_nothing_else(tmp_path: Path) -> None:
    plain = aes_lipi.run(study(), tmp_path / "plain")
    both = study(metrics="own_metrics:worst_row,own_metrics:Of.rows")
    found = aes_lipi.run(both, tmp_path / "metrics").generations
    assert (found["metric_worst_row"].isna() == found["test_L1"].isna()).all()
    recorded = found.dropna(subset="test_L1")
    assert (recorded["metric_worst_row"] > recorded["test_L1"]).all()
    assert set(recorded["metric_rows"]) == {12.0}
    ours = [*plain.generations.columns.drop(["variant", "wall_time_s", "cpu_time_s"])]
    assert "metrics" not in ours
    pd.testing.assert_frame_equal(found[ours], plain.generations[ours])
    there = pd.read_parquet(tmp_path / "metrics" / "generations")
    np.testing.assert_array_equal(there["metric_worst_row"], found["metric_worst_row"])


def test_metrics_are_the_same_in_workers_stepped_and_resumed(tmp_path: Path) -> None:
    both = study(metrics=["own_metrics:worst_row"], epochs=4)
    workers = aes_lipi.run(both, tmp_path / "out", jobs=2).generations
    expected = workers.query("trial == 0")["metric_worst_row"].to_numpy()
    first, *_ = aes_lipi.evolve(both.variants[0])
    *_, last = aes_lipi.evolve(both.variants[0], start=first.checkpoint())
    np.testing.assert_array_equal(last.records["metric_worst_row"], expected)
    data = analysis.read_measurements(tmp_path / "out", measures=["metric_worst_row"])
    [sample] = analysis.generation_samples(data, "metric_worst_row")
    means = workers.query("generation == 3").groupby("trial")["metric_worst_row"].mean()
    np.testing.assert_allclose(sample.values, means, rtol=1e-12)


@pytest.mark.parametrize("dataset_seed", [1, 2])
def test_a_metric_of_some_variants_is_a_column_of_all(dataset_seed: int, tmp_path: Path) -> None:
    """Whichever variant's file comes first, whose columns pandas takes for all."""
    two = study(metrics=[[], ["own_metrics:worst_row"]], dataset_seed=dataset_seed)
    found = aes_lipi.run(two, tmp_path / "out").generations
    for each in (found, pd.read_parquet(tmp_path / "out" / "generations")):
        by_variant = each.groupby("variant", observed=True)["metric_worst_row"].count()
        assert [by_variant[variant.id] for variant in two.variants] == [0, 2 * 2 * 4]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("counts", "gives another result when it is called again with the same input"),
        ("writes", r"changes what it is given \(ValueError: .*\); work on a copy"),
        ("meddles", r"changes what it is given \(ValueError: .*\); work on a copy"),
        ("words", "returns a value of type str; return a number"),
        ("alone", r"takes \(model\) where \(model, data\) is given; change its parameters"),
    ],
)
def test_what_breaks_a_rule_is_told_in_one_line(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(aes_lipi.UserError, match=f"^metrics own_metrics:{name}: {said}"):
        aes_lipi.run(study(metrics=f"own_metrics:{name}"), tmp_path / "out")


@pytest.mark.parametrize(
    ("metrics", "said"),
    [
        ("speed", r"metrics: speed: give package.module:attribute, a function of yours"),
        ("a:x,b:x", "metrics: two would be the column metric_x; give one of them another name"),
    ],
)
def test_names_that_are_none_are_refused(metrics: str, said: str) -> None:
    with pytest.raises(aes_lipi.UserError, match=said):
        study(metrics=metrics)
