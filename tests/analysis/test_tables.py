from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_up import commit_made_up, made_up_study

from aes_lipi.analysis.comparisons import compare
from aes_lipi.analysis.measures import UNITS
from aes_lipi.analysis.read import Measurements, read_measurements
from aes_lipi.analysis.tables import (
    _COLUMNS,
    _TRIAL_MEASURES,
    describe_generations,
    describe_trials,
    generation_samples,
    trial_samples,
)
from aes_lipi.errors import UserError

TRIALS = 9


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Measurements:
    """Trial i of `random` has the means 10 + i and i, of cells one above and one below.

    `magnitude` is 5 higher in the end, `activation` has one trial and `lexicase` failures only.
    """
    folder = tmp_path_factory.mktemp("made_up")
    study = made_up_study(["random", "magnitude", "activation", "lexicase"], TRIALS)

    def trial(i: int, last: float) -> list[list[float]]:
        return [[9.0 + i, 11.0 + i], [np.nan, np.nan], [last + i - 1, last + i + 1]]

    values: dict[str, list[Any]] = {
        "random": [*(trial(i, 0) for i in range(TRIALS - 1)), None],
        "magnitude": [trial(i, 5) for i in range(TRIALS)],
        "activation": [trial(0, 0)],
        "lexicase": [None, None],
    }
    capacity = {"capacity": [[0.9, 0.7]] * 3}
    commit_made_up(folder, study, values, **capacity)
    return read_measurements(
        folder, ["mean_L1", "capacity"], ("trial_mean", "trial_best", "pooled_cells")
    )


def row(table: pd.DataFrame, label: str, measure: str, generation: int | None = None) -> Any:
    chosen = table[(table["label"] == label) & (table["measure"] == measure)]
    if generation is not None:
        chosen = chosen[chosen["generation"] == generation]
    [found] = (chosen.iloc[i] for i in range(len(chosen)))
    return found


def test_quartiles_are_over_trials_where_they_were_measured(data: Measurements) -> None:
    table = describe_generations(data)
    assert tuple(table.columns) == _COLUMNS
    measured = table[(table["label"] == "random") & (table["measure"] == "mean_L1")]
    assert measured["generation"].tolist() == [0, 2]
    last = row(table, "random", "mean_L1", 2)
    assert (last["committed"], last["failed"], last["n"]) == (8, 1, 8)
    assert (last["q1"], last["median"], last["q3"]) == (1.75, 3.5, 5.25)
    assert 0 < last["low"] < 3.5 < last["high"] < 7
    assert row(table, "random", "capacity", 1)["median"] == pytest.approx(0.8)


def test_the_best_cell_gives_all_its_measures(data: Measurements) -> None:
    table = describe_generations(data, "trial_best")
    assert row(table, "random", "mean_L1", 2)["median"] == 2.5
    assert row(table, "random", "capacity", 2)["median"] == 0.9
    assert table["generation"].dropna().unique().tolist() == [0, 2]


def test_pooled_cells_count_cells(data: Measurements) -> None:
    last = row(describe_generations(data, "pooled_cells"), "random", "mean_L1", 2)
    assert (last["committed"], last["n"], last["median"]) == (8, 16, 3.5)


def test_one_trial_has_no_interval_and_failures_have_a_row(data: Measurements) -> None:
    table = describe_generations(data)
    one = row(table, "activation", "mean_L1", 2)
    assert (one["n"], one["median"]) == (1, 0)
    assert np.isnan(one["low"])
    none = row(table, "lexicase", "mean_L1")
    assert (none["committed"], none["failed"], none["n"]) == (0, 2, 0)
    assert none[["generation", "median", "q1", "low"]].isna().all()


def test_results_of_trials(data: Measurements) -> None:
    table = describe_trials(data, ["wall_time_s", "network_size"])
    assert row(table, "magnitude", "wall_time_s")["median"] == 6
    assert row(table, "lexicase", "wall_time_s")["n"] == 0
    assert "generation" not in table.columns
    assert row(table, "magnitude", "wall_time_s")["prune_method"] == "magnitude"  # what is swept
    assert "epochs" not in table.columns
    assert len(describe_trials(data)) == 4 * len(_TRIAL_MEASURES)


def test_samples_are_compared_in_the_last_generation_or_another(data: Measurements) -> None:
    last = compare(generation_samples(data)).table
    pair = last.iloc[0]
    assert (pair["label_a"], pair["label_b"]) == ("random", "magnitude")
    assert (pair["test"], pair["verdict"]) == ("wilcoxon", "lower")
    assert last["n_a"].tolist() == [8, 1, 8, 1, 9, 1]
    first = compare(generation_samples(data, generation=0)).table
    assert first["verdict"].tolist() == ["", *["cannot be shown"] * 5]
    assert generation_samples(data, unit="trial_best")[0].values.tolist() == list(range(-1, 7))


def test_pooled_cells_are_never_paired(data: Measurements) -> None:
    table = compare(generation_samples(data, unit="pooled_cells")).table
    assert set(table["test"]) == {"mann_whitney", "none"}
    assert table["n_a"][0] == 16


def test_pooling_cells_finds_a_difference_that_the_trials_do_not_show(tmp_path: Path) -> None:
    """Ten nearly equal cells in each of ten trials, drawn from one distribution for both."""
    rng = np.random.default_rng(6)
    study = made_up_study(["random", "magnitude"], 10)
    drawn = {
        method: rng.normal(0.5, 0.05, (10, 1, 1)) + rng.normal(0, 0.002, (10, 1, 10))
        for method in ("random", "magnitude")
    }
    commit_made_up(tmp_path, study, {name: list(values) for name, values in drawn.items()})
    data = read_measurements(tmp_path, ["mean_L1"], UNITS)
    found = {unit: compare(generation_samples(data, unit=unit)).table.iloc[0] for unit in UNITS}
    assert found["pooled_cells"]["verdict"] == "greater"
    assert found["pooled_cells"]["p"] < 0.001
    assert [found["trial_mean"]["verdict"], found["trial_best"]["verdict"]] == ["", ""]
    low, high = found["trial_mean"][["a12_low", "a12_high"]]
    assert low < 0.5 < high


def test_columns_of_trials_are_compared(data: Measurements) -> None:
    samples = trial_samples(data, "wall_time_s")
    assert [sample.label for sample in samples] == ["random", "magnitude", "activation", "lexicase"]
    assert samples[0].seed == 1
    assert len(samples[3].values) == 0


def test_mistakes_are_one_line(data: Measurements) -> None:
    with pytest.raises(UserError, match=r"generation 1: mean_L1 was not measured there.* in 0, 2"):
        generation_samples(data, generation=1)
    with pytest.raises(UserError, match="test_L1: not among the measures that were read"):
        describe_generations(data, measures=["test_L1"])
    with pytest.raises(UserError, match="no such unit"):
        generation_samples(data, unit="cell")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="variant: no numeric column of the trials"):
        trial_samples(data, "variant")
    with pytest.raises(UserError, match="level"):
        describe_trials(data, level=2)
