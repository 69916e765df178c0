"""The command `export` as a user types it, and the README's example on real data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
from helpers import tiny_study
from own_tables import penguins, write_table
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score
from studies import run_study
from typer.testing import CliRunner

from aes_lipi.cli.commands import app
from aes_lipi.config import Variant
from aes_lipi.data.load import labels_of_test_rows, load_dataset
from aes_lipi.errors import UserError
from aes_lipi.export.package import scores_by_label
from aes_lipi.models import read_model


def typed(*words: str) -> str:
    """What a command prints."""
    result = CliRunner().invoke(app, words, catch_exceptions=False, standalone_mode=False)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "study"
    run_study(tiny_study(trials=2, store_generations="recorded", prune_method="random"), folder)
    return folder


def test_export_prints_the_table_and_the_files(study: Path) -> None:
    shown = typed("export", str(study), "--compact", "--format", "onnx")
    for row in ("parameters", "bytes of the file", "multiply-adds", "latency, batch of 256"):
        assert row in shown
    assert "validation L1 0." in shown
    assert "on 24 validation and test rows" in shown
    [folder] = (study / "exports").iterdir()
    assert folder.name.endswith("-compact-onnx")
    assert sorted(path.name for path in folder.iterdir()) == [
        *("MODEL_CARD.md", "autoencoder.onnx", "decoder.onnx", "encoder.onnx")
    ]


def test_exports_are_no_part_of_the_study(study: Path) -> None:
    typed("export", str(study), "--target-capacity", "1", "--output-dir", str(study / "mine"))
    assert typed("clean", str(study)) == "nothing to remove"
    assert (study / "mine" / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--variant", "other"), "--variant other: not in"),
        (("--trial", "9"), "--trial 9: "),
        (("--format", "pkl"), "--format pkl: give one of"),
        (("--target_capacity", "2"), "--target_capacity 2.0: is a share"),
        (("--max_loss_increase", "0", "--target_capacity", "1"), "exclude each other"),
    ],
)
def test_mistakes_are_said_in_a_line(study: Path, words: tuple[str, ...], told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        typed("export", str(study), *words)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written_is_told(study: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="cannot be written"):
        typed("export", str(study), "--output_dir", str(tmp_path / "file" / "below"))


def test_digits_become_a_model_of_less_than_half_the_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The README's example, shortened: its full length is measured there."""
    monkeypatch.chdir(tmp_path)
    digits = load_digits(as_frame=True).data
    digits.to_parquet("digits.parquet")
    run = ("run", "--local", "--data", "digits.parquet", "--latent_size", "16", "--jobs", "1")
    typed(*run, "--epochs", "20", "--output_dir", "study")
    shown = typed("export", "study", "--compact", "--format", "onnx", "--output_dir", "small")
    assert "on 539 validation and test rows" in shown
    trials = pd.read_parquet("study/trials")
    assert trials["validation_mse"].min() < trials["pca_validation_mse"].min()
    session = onnxruntime.InferenceSession("small/autoencoder.onnx")
    reconstruction = session.run(["reconstruction"], {"rows": digits.to_numpy(np.float32)})[0]
    constant = np.abs(digits - digits.median()).to_numpy().mean()
    error = np.abs(digits.to_numpy() - reconstruction).mean()
    assert error < constant / 2
    weights = onnx.load("small/autoencoder.onnx").graph.initializer
    layers = [each for each in weights if each.name.startswith(("encoder", "decoder"))]
    n_parameters = sum(np.prod(each.dims) for each in layers)
    assert n_parameters < trials["n_parameters"].max() / 2


def test_a_run_with_a_target_ends_with_the_model(tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet")
    data = ("--data", str(tmp_path / "table.parquet"), "--output_dir", str(tmp_path / "out"))
    short = ("--epochs", "8", "--record_interval", "2", "--hidden_sizes", "30", "--jobs", "1")
    pruned = ("--prune_unit", "node", "--initial_weights", "random")
    run = ("run", "--local", *data, *short, *pruned, "--target_capacity", "0.3")
    assert typed(*run, "--dry_run").endswith("export of a compact model: --target_capacity 0.3")
    assert not (tmp_path / "out").exists()
    shown = typed(*run)
    [file] = (tmp_path / "out" / "exports").glob("*-compact-safetensors/model.safetensors")
    model = read_model(file)
    compaction = model.compaction
    assert compaction is not None
    assert model.architecture.n_parameters <= 0.3 * compaction.n_parameters
    assert "validation and test rows" in shown
    assert file.name in shown
    written = file.read_bytes()
    assert "results: " in typed(*run)  # resumed: nothing is trained again, the file is the same
    assert file.read_bytes() == written
    with pytest.raises(UserError, match="exclude each other"):
        typed(*run, "--max_loss_increase", "0.1")


def test_where_nothing_got_smaller_the_line_that_helps_is_printed(study: Path) -> None:
    shown = typed("export", str(study), "--compact", "--target_capacity", "1")
    assert "nothing got smaller: weights were pruned, but no node is dead; for a small" in shown
    folder = study.parent / "unpruned"
    run_study(tiny_study(trials=1, epochs=2, prune_method="None"), folder)
    shown = typed("export", str(folder), "--compact")
    assert (
        "picked: the answer of the best trial, as not every trial stored recorded models" in shown
    )
    assert "nothing got smaller: nothing was pruned; for a small model: aes-lipi run " in shown
    assert f"--output_dir {folder}-small" in shown


def test_a_table_with_text_comes_from_csv_to_onnx(tmp_path: Path) -> None:
    table, folder = penguins(), tmp_path / "out"
    table.to_csv(tmp_path / "penguins.csv", index=False)
    short = ["--epochs", "2", "--trials", "1", "--population_size", "2", "--record_interval", "1"]
    asked = ["--one_hot", "true", "--impute", "median", "--label", "species", "--scale", "minmax"]
    data = ["--data", str(tmp_path / "penguins.csv"), "--output_dir", str(folder), "--jobs", "1"]
    result = CliRunner().invoke(app, ["run", *data, *asked, *short], standalone_mode=False)
    assert result.exit_code == 0, result.output
    assert "6 columns named" not in result.output
    onnx_of = ("export", str(folder), "--compact", "--format", "onnx", "--input_dtype", "float64")
    typed(*onnx_of, "--output_dir", str(tmp_path))
    card = " ".join((tmp_path / "MODEL_CARD.md").read_text(encoding="utf-8").split())
    assert "Columns of text, `island`, `sex`, are one for each of their texts" in card
    assert "Missing values (NaN) are taken for: `bill` 4" in card
    session = onnxruntime.InferenceSession(tmp_path / "autoencoder.onnx")
    columns = json.loads(session.get_modelmeta().custom_metadata_map["columns"])
    dummies = pd.get_dummies(table, prefix_sep="=", dtype=np.float64)
    rows = dummies[columns].to_numpy(np.float64)
    assert np.isnan(rows).any()
    code, _, score = session.run(None, {"rows": rows})
    assert code.shape[0] == len(table)
    typed("export", str(folder), "--compact", "--output_dir", str(tmp_path))
    model = read_model(tmp_path / "model.safetensors")
    np.testing.assert_allclose(score, model.score(table), rtol=1e-5)
    known = model.provenance["settings"] | {"data": str(tmp_path / "penguins.csv")}
    variant = Variant.model_validate(known)
    dataset, said = load_dataset(variant), labels_of_test_rows(variant)
    unreadable = variant.model_copy(update={"label": "nothing"})
    assert scores_by_label(model, dataset, unreadable) == ()
    by_label = scores_by_label(model, dataset, variant)
    scores = model.score(model.units.from_network(dataset.test))
    assert [each.label for each in by_label] == sorted(filter(None, set(said)))
    for each in by_label:
        is_it = np.array(said) == each.label
        assert each.n_rows == is_it.sum()
        assert each.median == pytest.approx(np.median(scores[is_it]), rel=1e-4)
        assert each.area == pytest.approx(roc_auc_score(is_it, scores))
        assert f"| {each.label} | {each.n_rows} | {each.median:.4g} | {each.area:.3f} |" in card
