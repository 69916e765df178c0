"""Exported files and their card: the same model in three formats."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import torch
from helpers import random_pair, tiny_study
from own_tables import own_data
from studies import run_study

from aes_lipi.analysis.report import analyse
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.cli.exported import _test_loss_of
from aes_lipi.config import Variant
from aes_lipi.data.load import rebuilt_dataset
from aes_lipi.data.scaling import Scaling
from aes_lipi.data.source import array_source, summary
from aes_lipi.errors import UserError
from aes_lipi.export import FORMATS, Exported, export, write_model
from aes_lipi.export.candidates import Choice
from aes_lipi.export.card import CARD, _data, _test_rows, model_card
from aes_lipi.export.onnx import OPSET, onnx_package
from aes_lipi.export.package import CheckedRows, largest_difference, rows_to_check, varying_values
from aes_lipi.models import Model, Place, read_model
from aes_lipi.results.answers import was_chosen_on_test
from aes_lipi.results.description import LOCAL_FILE, located
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.trial_files import TrialId

Exports = Mapping[str, Exported]

every_format = pytest.mark.parametrize("name", FORMATS)


def first_model(study: Path) -> Model:
    return read_model(next((study / "models").rglob("*.safetensors")))


def test_onnx_files_are_valid_and_agree_with_each_other(exports: Exports) -> None:
    done = exports["onnx"]
    rows = done.rows.values.astype(np.float32)
    for path in done.files[:-1]:
        graph = onnx.load(path)
        onnx.checker.check_model(graph, full_check=True)
        assert [each.version for each in graph.opset_import] == [OPSET]
        properties = {each.key: json.loads(each.value) for each in graph.metadata_props}
        assert properties["provenance"]["variant"] == done.choice.trial.variant
        assert properties["columns"][0] == "column 0"
        assert properties["training_score_percentiles"] == list(done.model.score_quantiles or ())
    whole, encoder, decoder = (onnxruntime.InferenceSession(path) for path in done.files[:-1])
    code, reconstruction, score = whole.run(None, {"rows": rows})
    np.testing.assert_allclose(score, done.model.score(rows), rtol=1e-4)
    [same_code] = encoder.run(None, {"rows": rows})
    [same_reconstruction] = decoder.run(None, {"code": code})
    assert np.array_equal(code, same_code)
    assert np.array_equal(reconstruction, same_reconstruction)
    alone = whole.run(None, {"rows": rows[:1]})[1]
    np.testing.assert_allclose(alone, reconstruction[:1], rtol=1e-5)


def test_quantiles_of_training_scores_are_of_the_model_that_is_exported(
    exports: Exports, study: Path
) -> None:
    """Of the recorded one that was picked; a file's own are of its best pair."""
    done = exports["safetensors"]
    assert done.choice.model.score_quantiles is None
    settings = done.model.provenance["settings"]
    variant = located(open_storage(study), Variant.model_validate(settings))
    train = done.model.units.from_network(rebuilt_dataset(variant).train)
    expected = np.quantile(done.model.score(train), np.linspace(0, 1, 101))
    kept = read_model(done.files[0]).score_quantiles
    assert kept == pytest.approx(expected.tolist(), rel=1e-3)
    best = first_model(study)
    again = np.quantile(best.score(train), np.linspace(0, 1, 101))
    assert best.score_quantiles == pytest.approx(again.tolist(), rel=1e-3)
    card = Path(done.files[-1]).read_text(encoding="utf-8")
    assert f"scores are at most {expected[50]:.3g}"[:-1] in card
    assert "(99 %)" in card


def test_safetensors_file_is_a_model_of_its_own(exports: Exports, table: Path) -> None:
    done = exports["safetensors"]
    model, rows = read_model(done.files[0]), pd.read_parquet(table)
    assert model.compaction == done.model.compaction
    assert model.compaction is not None
    assert model.compaction.n_parameters == done.choice.model.architecture.n_parameters
    assert model.columns == tuple(rows.columns)
    assert np.array_equal(model.reconstruct(rows), done.model.reconstruct(rows))
    full, code = done.choice.model.encode(rows), model.encode(rows)
    np.testing.assert_allclose(code, full[:, list(model.compaction.code)], atol=1e-5)
    assert model.provenance["generation"] == done.choice.place.generation  # type: ignore[union-attr]
    assert model.provenance["settings"]["prune_unit"] == "node"
    assert model.pair.encoder.mask is None


def test_state_dict_needs_no_unpickling_of_anything_but_tensors(exports: Exports) -> None:
    done = exports["torch"]
    weights = torch.load(done.files[0], weights_only=True)
    assert all(isinstance(value, torch.Tensor) for value in weights.values())
    assert {name for name in weights if name.startswith("encoder")} == {
        f"encoder.{k}.{kind}" for k in (0, 2) for kind in ("weight", "bias")
    }
    loading = done.package.usage.split("load_state_dict(weights)")[0].splitlines()
    lines = [line for line in loading if line.strip()]
    assert len([line for line in lines if not line.startswith(("import", "from"))]) <= 10


def test_costs_are_those_of_the_files(exports: Exports) -> None:
    done = exports["safetensors"]
    before, after = done.before, done.after
    model = done.choice.model
    kept = model.pair.encoder.n_zero + model.pair.decoder.n_zero
    assert before.parameters == model.architecture.n_parameters
    assert before.non_zero == before.parameters - kept
    assert after.parameters == done.model.architecture.n_parameters < before.parameters
    assert after.n_bytes == Path(done.files[0]).stat().st_size < before.n_bytes
    assert after.multiply_adds < before.multiply_adds == 6 * 7 + 6 * 3 + 3 * 6 + 6 * 7
    assert all(latency > 0 for cost in (before, after) for latency in cost.latency_us.values())
    card = Path(done.files[-1]).read_text(encoding="utf-8")
    assert f"| parameters | {before.parameters:,} | {after.parameters:,} |" in card
    assert f"{done.choice.test_L1:.4f}" in card


def test_a_network_pruned_to_nothing_is_exported_and_said_so(tmp_path: Path) -> None:
    study = tiny_study(
        trials=1, prune_method="random", prune_probability=1.0, prune_amount=0.999, epochs=1
    )
    run_study(study, tmp_path / "study")
    done = export(tmp_path / "study", compact=True, output_dir=tmp_path / "out")
    assert done.after.layers == "7-1-1-1-7"
    assert done.model.compaction is not None
    assert done.model.compaction.is_constant
    assert done.model.compaction.code == ()
    assert done.model.compaction.unread_inputs == tuple(range(7))
    card = (tmp_path / "out" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "same for every row" in card
    assert "nothing of the code" in card


def test_a_wrong_model_is_noticed_before_anything_is_written(study: Path) -> None:
    model = first_model(study)
    genome = model.pair.decoder.genome.copy()
    genome[-3] += 0.1
    wrong = Model(
        model.architecture,
        Pair(model.pair.encoder, Network(genome)),
        scaling=model.scaling,
        columns=model.columns,
    )
    rows = rows_to_check(model, open_storage(study))
    with pytest.raises(UserError, match="reconstructions differ"):
        largest_difference(model, wrong, FORMATS["safetensors"](wrong), rows)


def test_rows_are_real_ones_where_the_data_are_at_hand(study: Path, table: Path) -> None:
    model = first_model(study)
    rows = rows_to_check(model, open_storage(study))
    assert rows.source == "36 validation and test rows"
    known = pd.read_parquet(table).to_numpy(np.float32)
    nearest = np.abs(rows.values[:, None] - known).sum(axis=2).argmin(axis=1)
    np.testing.assert_allclose(rows.values, known[nearest], rtol=1e-4, atol=1e-6)


def test_without_the_data_rows_are_drawn_and_it_is_said(tmp_path: Path) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 7, (4,), 3)
    settings = {"data": "/gone.parquet", "data_digest": "0" * 64}
    model = Model(architecture, random_pair(architecture, 0), provenance={"settings": settings})
    rows = rows_to_check(model, open_storage(tmp_path))
    assert "drawn at random, since the data are not at hand" in rows.source


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"format_name": "pickle"}, "safetensors, onnx, torch"),
        ({"format_name": "onnx", "input_dtype": "int8"}, "give float32 or float64, with"),
        ({"format_name": "torch", "input_dtype": "float32"}, "give float32 or float64, with"),
        ({"target_capacity": 0.5, "max_loss_increase": 0.1}, "exclude each other"),
        ({"target_capacity": 0.0}, "is a share of the parameters"),
        ({"target_capacity": 1.5}, "is a share of the parameters"),
        ({"max_loss_increase": -0.1}, "is a share of the loss"),
        ({"max_loss_increase": float("inf")}, "is a share of the loss"),
        ({"output_dir": Path("s3://bucket/models")}, "give the address as text"),
    ],
)
def test_flags_that_make_no_sense_are_refused(
    flags: dict[str, object], told: str, study: Path
) -> None:
    with pytest.raises(UserError, match=told):
        export(study, **flags)  # type: ignore[arg-type]


def test_losses_are_told_in_the_tables_own_units(
    table: Path, exports: Mapping[str, Exported]
) -> None:
    done = exports["onnx"]
    span = np.ptp(pd.read_parquet(table).to_numpy(), axis=0).mean()
    assert set(done.rows.in_units) == {"validation", "test"}
    scaled = done.rows.measured
    for split, loss in done.rows.in_units.items():
        assert 0.2 < loss / span / scaled[f"{split}_L1"] < 5
    card = (Path(done.folder) / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert f"| L1 in the table's own units | {done.rows.told_in_units} |" in card


def test_spans_beyond_float64_are_refused_for_onnx_alone(tmp_path: Path) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 2, (2,), 1)
    scaling = Scaling("minmax", np.array([0.0, -1.7e308]), np.array([1.0, 1.7e308]))
    model = Model(architecture, random_pair(architecture, 0), scaling=scaling)
    with pytest.raises(UserError, match="spans more than float64"):
        FORMATS["onnx"](model)
    assert FORMATS["safetensors"](model).files


HARD: dict[str, Callable[[np.random.Generator, int], Any]] = {
    "constant": lambda rng, n: np.full(n, 12345.678),
    "seconds of a day": lambda rng, n: 1.7e9 + rng.integers(0, 86_400, n),
    "date": lambda rng, n: 20_240_101 + rng.integers(0, 28, n),
    "tiny": lambda rng, n: 1e-30 * rng.random(n),
    "huge": lambda rng, n: 1e30 * rng.normal(size=n),
}


def test_columns_far_from_zero_keep_their_digits(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = pd.DataFrame({column: make(rng, 120) for column, make in HARD.items()})
    rows["plain"] = rng.random(120)
    rows.to_parquet(tmp_path / "hard.parquet")
    run_study(own_data(tmp_path / "hard.parquet", epochs=2), tmp_path / "study")
    model = first_model(tmp_path / "study")
    small, wide = model.compacted(), partial(onnx_package, input_dtype="float64")
    checked = rows_to_check(model, open_storage(tmp_path / "study"))
    assert checked.is_real
    packages = [FORMATS["safetensors"](small), FORMATS["torch"](small), wide(small)]
    for package in packages:
        assert largest_difference(model, small, package, checked) < 1e-5
    values = rows.to_numpy(np.float64)
    with pytest.raises(UserError, match=r"of columns 'seconds of a day', 'date' apart; give"):
        onnx_package(small)
    span = np.where(np.ptp(values, axis=0) > 0, np.ptp(values, axis=0), 12345.0)
    found = small.reconstruct(values)
    assert (found >= values.min(axis=0) - 1e-6 * span).all()
    assert (found <= values.max(axis=0) + 1e-6 * span).all()


def test_names_on_the_card_are_text(exports: Exports) -> None:
    done = exports["safetensors"]
    hostile = "<svg onload=alert(1)> `a` | [x](javascript:y)\n# z"
    settings = {**done.model.provenance["settings"], "input_noise": hostile, "data": hostile}
    provenance = {**done.model.provenance, "study": hostile, "settings": settings}
    model = replace(done.model, provenance=provenance)
    choice = replace(done.choice, label=hostile)
    rows = replace(done.rows, source=hostile)
    card = model_card(replace(done, model=model, choice=choice, rows=rows))
    outside = re.sub(r"(`+) ?.*?[^`]\1(?!`)|(?s:```python.*?```\n)", "", card.replace("\\`", ""))
    assert "<svg" not in outside
    assert not re.search(r"(?<!\\)\[x\]", outside)
    assert "\n# z" not in card
    assert r"| study | &lt;svg onload=alert(1)&gt; \`a\` \| \[x\](javascript:y)?\# z |" in card


def test_where_the_data_are_gone_it_is_said_on_the_card(exports: Exports) -> None:
    done = exports["safetensors"]
    gone = replace(done, rows=replace(done.rows, is_real=False))
    assert "**They were not compared on the data.**" not in model_card(done)
    assert "**They were not compared on the data.**" in model_card(gone)


def test_data_are_found_from_any_folder(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "mine.parquet").write_bytes(table.read_bytes())
    monkeypatch.chdir(tmp_path / "here")
    run_study(own_data(Path("mine.parquet"), epochs=1), tmp_path / "study")
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "study"
    assert rows_to_check(first_model(folder), open_storage(folder)).is_real
    (folder / LOCAL_FILE).unlink()  # as in a copy of the folder elsewhere
    assert not rows_to_check(first_model(folder), open_storage(folder)).is_real


def test_no_path_of_this_machine_travels(
    exports: Exports, study: Path, table: Path, tmp_path: Path
) -> None:
    told = str(table.parent).encode()
    for path in study.rglob("*"):
        if path.is_file():
            assert (told in path.read_bytes()) == (path.name == LOCAL_FILE), path
    for done in exports.values():
        assert not any(told in Path(path).read_bytes() for path in done.files)
        assert "table.parquet: 120 rows, 7 columns named" in (Path(done.folder) / CARD).read_text()
    trials = pd.read_parquet(study / "trials")
    assert set(trials["data"]) == {"table.parquet"}
    assert trials["data_digest"].str.fullmatch("[0-9a-f]{64}").all()
    start = "table.parquet: 120 rows, 7 columns named column 0..column 6, no index, 1 constant"
    assert set(trials["data_read"]) == {start}
    page = analyse(study, tmp_path / "report", formats=["svg"]).page.read_text()
    assert start in page
    assert told.decode() not in page


@pytest.mark.parametrize(
    ("settings", "place", "told"),
    [
        (
            {"prune_method": "lexicase", "lexicase_split": "test"},
            None,
            "decided which nodes were pruned",
        ),
        (
            {"prune_method": "mine:quiet(share=0.2)", "lexicase_split": "test"},
            None,
            "decided which nodes were pruned, if `mine:quiet(share=0.2)` needs activations",
        ),
        ({"prune_method": "magnitude", "lexicase_split": "test"}, None, "decided nothing"),
        ({"final_cell": "best_on_test"}, None, "decided which cell is the answer"),
        ({"final_cell": "best_on_test"}, Place(3, 1), "decided nothing"),
        ({"prune_method": "random", "final_cell": "best_on_validation"}, None, "decided nothing"),
        ({"prune_method": "lexicase", "lexicase_split": "validation"}, None, "decided nothing"),
    ],
)
def test_the_card_says_what_test_rows_decided(
    settings: dict[str, Any], place: Place | None, told: str
) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 7, (4,), 3)
    model = Model(architecture, random_pair(architecture, 0), provenance={"settings": settings})
    rest = ("L1", 0.1, 0.1, 0.1, 0.12, 0.1)
    choice = Choice(model, TrialId("v", 0), "random", place, *rest)
    assert told in _test_rows(choice)
    marked = "chosen on validation rows has a test L1 of 0.1200" in _test_rows(choice)
    assert marked == ("which cell is the answer" in told)
    beside = "test L1* 0.1000, valid. 0.1200 (* of the cell chosen on these test rows; valid.: of"
    assert _test_loss_of(choice).startswith(beside if marked else "test L1 0.1000")


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
@pytest.mark.parametrize("n_parts", [1, 3])
def test_the_card_says_of_which_rows_seeds_decided(suffix: str, n_parts: int) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 7, (4,), 3)
    parts = [array_source("'x'", np.zeros((5, 7)))] * n_parts
    read = summary(f"x{suffix}", parts, 0)
    settings = Variant(data=f"x{suffix}").portable()
    provenance = {"settings": settings, "data_read": read}
    model = Model(architecture, random_pair(architecture, 0), provenance=provenance)
    lines = _data(model, CheckedRows(np.zeros((1, 7)), "", is_real=False))
    assert any("split by seed 1: 20% to test" in line for line in lines) == (n_parts == 1)
    assert ("15 rows split already" in read) == (n_parts == 3)


def test_of_one_cell_test_rows_choose_none() -> None:
    settings = {"final_cell": "best_on_test", "cell_evaluation": "lipi_simple"}
    assert was_chosen_on_test({**settings, "population_size": 10})
    assert not was_chosen_on_test({**settings, "population_size": 1})
    assert not was_chosen_on_test({**settings, "cell_evaluation": "all_vs_all"})


def test_names_of_columns_stay_within_the_card_s_code(exports: Exports) -> None:
    done = exports["safetensors"]
    names = ("a`b", "c\nd", "e|f", *done.model.columns[3:]) if done.model.columns else ()
    card = model_card(replace(done, model=replace(done.model, columns=names)))
    assert "Columns, in this order: `` a`b ``, `c?d`, `e|f`, `column 3`" in card


@every_format
def test_a_model_at_hand_is_written_without_a_study(name: str, tmp_path: Path) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 7, (4,), 3)
    model = Model(architecture, random_pair(architecture, 0))
    files = write_model(model, tmp_path / "new", name, compact=True)
    assert {path.name for path in files} == {path.name for path in (tmp_path / "new").iterdir()}
    with pytest.raises(UserError, match="give one of"):
        write_model(model, tmp_path, "pickle")


def test_values_of_the_code_that_are_the_same_for_all_rows_are_counted(exports: Exports) -> None:
    done = exports["safetensors"]
    model, size = done.model, done.model.architecture.latent_size
    code = np.ptp(model.encode(done.rows.values), axis=0) > 0
    told = f"All {size} values" if code.all() else f"**{code.sum()} of the {size} values"
    assert told in model_card(done)
    genome = model.pair.encoder.genome.copy()
    model.architecture.encoder.bias(genome, 1)[0] = -1e6  # never rises above 0
    dead = replace(model, pair=replace(model.pair, encoder=Network(genome)))
    assert varying_values(dead, done.rows) == code[1:].sum()
    assert f"**{code[1:].sum()} of the {size} values of the code vary**" in model_card(
        replace(done, model=dead)
    )
