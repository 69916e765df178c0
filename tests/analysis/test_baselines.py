"""Models of one's own table beside the constant and PCA: in the results, and in what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from own_tables import own_data, write_table
from studies import run_study

from aes_lipi.analysis.baselines import (
    baseline_remarks,
    chosen_trials,
    column_table,
    contender_columns,
    contenders,
)
from aes_lipi.analysis.report import analyse
from aes_lipi.cli.tables import print_summary
from aes_lipi.config import Study
from aes_lipi.data import load_dataset
from aes_lipi.execution.inputs import with_digests
from aes_lipi.execution.run import Summary
from aes_lipi.export import export
from aes_lipi.models import read_model
from aes_lipi.results.reading import load_results

FIXTURES = Path(__file__).parent.parent / "fixtures"
MEASURED = ["validation_mse", "test_r2_median", "n_unlearnt", "pca_mse", "constant_L1"]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Of a table whose columns follow from two numbers, but for a constant one."""
    path = tmp_path_factory.mktemp("table") / "own.parquet"
    write_table(path)
    return with_digests(own_data(path, latent_size=2))


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("results")
    run_study(study, folder)
    return folder


def labels_of(study: Study) -> dict[str, str]:
    return {variant.id: study.label(variant) for variant in study.variants}


def test_a_trial_has_the_errors_of_its_model(study: Study, folder: Path) -> None:
    data = load_dataset(study.variants[0])
    for _, row in load_results(folder, ["trials"]).trials.iterrows():
        path = folder / f"models/variant={row['variant']}/trial={row['trial']:04d}.safetensors"
        model = read_model(path)
        made = [
            model.architecture.decode(
                model.pair.decoder.genome, model.architecture.encode(model.pair.encoder.genome, x)
            )
            for x in (data.test, data.validation)
        ]
        varies = np.ptp(data.test, axis=0) > 0
        errors = (data.test - made[0])[:, varies]
        r2 = 1 - (errors**2).mean(axis=0) / data.test[:, varies].var(axis=0)
        assert row["n_varying"] == varies.sum() == 6
        assert row["test_r2_median"] == pytest.approx(np.median(r2), rel=1e-4)
        assert row["n_unlearnt"] == (r2 < 0.1).sum()
        assert row["validation_mse"] == pytest.approx(((data.validation - made[1]) ** 2).mean())
        assert row["pca_n_unlearnt"] == 0
        assert row["pca_mse"] < 1e-9
        assert row["pca_cpu_time_s"] >= 0


def test_processor_seconds_are_those_of_all_generations(folder: Path) -> None:
    results = load_results(folder)
    known = results.generations.groupby(["variant", "trial"])["cpu_time_s"].sum()
    told = results.trials.set_index(["variant", "trial"])["cpu_time_s"]
    assert (told > 0).all()
    np.testing.assert_allclose(told, known[told.index])


def test_variants_stand_above_constant_and_pca(study: Study, folder: Path) -> None:
    trials = load_results(folder, ["trials"]).trials
    found = contenders(trials, labels_of(study))
    names = [*labels_of(study).values(), "constant", "PCA of the same code"]
    assert [each.name for each in found] == names
    one = trials[trials["variant"] == study.variants[1].id]
    assert found[1].mse == pytest.approx(one["test_mse"].median())
    assert found[1].n_parameters == one["n_compact"].median()
    assert found[1].cpu_s == pytest.approx(one["cpu_time_s"].sum())
    assert (found[2].n_unlearnt, found[2].n_parameters) == (6, 7)
    assert found[3].n_parameters == 7 * 5


def test_codes_of_several_widths_have_a_pca_each(study: Study, folder: Path) -> None:
    trials = load_results(folder, ["trials"]).trials
    other = trials["variant"] == study.variants[1].id
    trials.loc[other, ["pca_mse", "pca_n_parameters"]] = [0.5, 21]
    first, second = labels_of(study).values()
    names = [each.name for each in contenders(trials, labels_of(study))[2:]]
    assert names == [
        *(f"constant ({first})", f"PCA of the same code ({first})"),
        *(f"constant ({second})", f"PCA of the same code ({second})"),
    ]


def remarks_but_of_controls(trials: pd.DataFrame, labels: dict[str, str]) -> list[str]:
    first, *others = baseline_remarks(trials, labels)
    assert first == "no plain network was trained for comparison: --control of run does"
    return others


def test_a_model_worse_than_pca_is_told_with_the_remedy(study: Study, folder: Path) -> None:
    trials = load_results(folder, ["trials"]).trials
    [line] = remarks_but_of_controls(trials, labels_of(study))
    best = trials.sort_values("validation_L1").iloc[0]
    assert line.startswith("PCA of the same code is better than the chosen model (")
    assert f"trial {best['trial']})" in line
    assert line.endswith("try --initial_weights pca --output_activation linear, or more --epochs")
    linear = trials.assign(output_activation="linear")
    [line] = remarks_but_of_controls(linear, labels_of(study))
    assert line.endswith("; try --initial_weights pca, or more --epochs")
    [line] = remarks_but_of_controls(trials.assign(initial_weights="pca"), labels_of(study))
    assert line.endswith("; try more --epochs")
    assert remarks_but_of_controls(trials.assign(pca_validation_mse=1.0), labels_of(study)) == []
    assert remarks_but_of_controls(trials.assign(pca_validation_mse=None), labels_of(study)) == []


@pytest.mark.parametrize("columns", [70, 80, 120])
def test_the_closing_table_shows_them(
    study: Study,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    columns: int,
) -> None:
    """With little room without what it took; the names and the errors are whole."""
    monkeypatch.setenv("COLUMNS", str(columns))
    print_summary(study, folder, Summary(4, 0))
    text = capsys.readouterr().out
    names = ["not learnt*", "constant", "valid.", "PCA of the same code is better"]
    took = ["processor s", "parameters"]
    for name in [*names, *(took if columns > 100 else [])]:
        assert name in text
    assert text.count("* of the cell chosen on these test rows; valid.: of the one chosen on") == 1


def test_what_test_rows_chose_is_marked_with_the_other_beside_it(
    study: Study, folder: Path
) -> None:
    trials = load_results(folder, ["trials"]).trials
    ways = {way: trials.assign(final_cell=f"best_on_{way}") for way in ("test", "validation")}
    found = {way: contenders(each, labels_of(study)) for way, each in ways.items()}
    sound, chosen = (contender_columns(found[way]) for way in ("validation", "test"))
    assert list(sound) == ["L1", "MSE", "R2", "not learnt", "parameters", "processor s"]
    assert list(chosen)[:5] == ["L1*", "valid.", "MSE*", "R2*", "not learnt*"]
    assert list(chosen)[5:] == list(sound)[4:]
    first = trials[trials["variant"] == study.variants[0].id]
    assert found["test"][0].l1_by_validation == first["test_L1_by_validation"].median()
    assert chosen["valid."][2:] == ["–", "–"]  # of the constant and of PCA nothing was chosen


def test_errors_by_column_are_those_of_rows_in_either_units(study: Study, folder: Path) -> None:
    trials = load_results(folder, ["trials"]).trials
    best = chosen_trials(trials, labels_of(study)).iloc[0]
    path = folder / f"models/variant={best['variant']}/trial={best['trial']:04d}.safetensors"
    data, model = load_dataset(study.variants[0]), read_model(path)
    table = column_table(model, data)
    assert list(table["column"]) == [f"column {k}" for k in range(7)]
    rows = model.units.from_network(data.test)
    errors = np.abs(model.reconstruct(rows) - rows)
    np.testing.assert_allclose(table["model_L1_in_units"], errors.mean(axis=0), rtol=1e-4)
    assert data.scaling is not None
    span = data.scaling.high - data.scaling.low
    varies = span > 0
    for measure, power in (("L1", 1), ("mse", 2)):
        scaled, own = table[f"model_{measure}"], table[f"model_{measure}_in_units"]
        np.testing.assert_allclose(scaled[varies], (own / span**power)[varies], rtol=1e-4)
    assert table["model_mse"].mean() == pytest.approx(best["test_mse"], rel=0.1)
    assert table["constant_mse"].mean() == pytest.approx(best["constant_mse"])
    assert table["pca_L1"].mean() == pytest.approx(best["pca_L1"])
    assert table["model_r2"].isna().tolist() == [k == 5 for k in range(7)]


def test_the_report_and_the_card_show_them(folder: Path, tmp_path: Path) -> None:
    report = analyse(folder, tmp_path / "report", formats=[])
    page = report.page.read_text()
    for heading in ("valid.", "not learnt*"):  # final_cell: best_on_test
        assert f'<th scope="col">{heading}</th>' in page
    assert "<p>* of the cell chosen on these test rows; valid.: of" in page
    assert "PCA of the same code is better than the chosen model" in page
    assert "What is explained of each column" in page
    table = pd.read_csv(tmp_path / "report/tables/columns.csv")
    assert len(table) == 7
    done = export(folder, max_loss_increase=0.0, output_dir=tmp_path / "export")
    assert [each.name for each in done.contenders] == [
        *("this model", "constant", "PCA of the same code"),
    ]
    card = (tmp_path / "export/MODEL_CARD.md").read_text()
    cells = [column[0] for column in contender_columns(done.contenders).values()]
    assert f"| this model | {' | '.join(cells)} |" in card
    assert "**PCA of the same code is better than this model: MSE" in card


def test_earlier_versions_have_none() -> None:
    trials = load_results(FIXTURES / "study-bd0f917", ["trials"]).trials
    assert trials[[*MEASURED, "cpu_time_s"]].isna().all(axis=None)
    named = dict(zip(trials["variant"], trials["variant_name"], strict=True))
    assert contenders(trials, named) == []
    assert baseline_remarks(trials, named) == []
