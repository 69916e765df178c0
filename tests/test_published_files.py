"""Data sets, checkpoints and statistics of the published code."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from plugin_modules import ROOT, refusal_of, said_in

import aes_lipi
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.config import Variant
from aes_lipi.data.load import load_dataset
from aes_lipi.errors import UserError
from aes_lipi.models.torch_checkpoints import read_checkpoint
from aes_lipi.results.model_files import warm_start_files
from aes_lipi.results.reading import load_results

FILES = ROOT / "tests/fixtures/published"
DATA = FILES / "binary_problem_data"
CHECKPOINTS = FILES / "checkpoints"
SET = "binary_clustering_4_16_24"
SHORT = ["--rq", "population_size", "--population_size", "2", "--trials", "1", "--epochs", "1"]
HERE = ["--local", "--jobs", "1", "--device", "cpu", "--output_dir", "out"]


@pytest.mark.parametrize("between", ["_T_", "_"])
@pytest.mark.parametrize("named", ["train", "validation"])
def test_a_split_brings_the_others_with_it(named: str, between: str) -> None:
    dataset = load_dataset(Variant(data=str(DATA / f"{named}{between}{SET}.pt")))
    for split in ("train", "test", "validation"):
        rows = torch.load(DATA / f"{split}_T_{SET}.pt", weights_only=True).numpy()
        np.testing.assert_array_equal(getattr(dataset, split), rows.astype(np.float32))
    assert dataset.test.dtype == np.float32
    assert dataset.test.shape == (64, 24)


def test_a_tensor_by_another_name_is_split_by_seed(tmp_path: Path) -> None:
    path = tmp_path / "mine.pt"
    shutil.copy(DATA / f"train_{SET}.pt", path)
    dataset = load_dataset(Variant(data=str(path)))
    assert [len(split) for split in dataset.splits] == [64 - 13 - 6, 13, 6]


def test_a_split_without_the_others_is_told(tmp_path: Path) -> None:
    shutil.copy(DATA / f"train_T_{SET}.pt", tmp_path)
    done = said_in(tmp_path, "run.py", *SHORT, "--data", f"train_T_{SET}.pt", *HERE)
    assert f"test_T_{SET}.pt is missing beside it" in refusal_of(done)


def test_a_changed_split_is_another_data_set(tmp_path: Path) -> None:
    for split in ("train", "test", "validation"):
        shutil.copy(DATA / f"{split}_T_{SET}.pt", tmp_path)
    path = tmp_path / f"train_T_{SET}.pt"
    [variant] = aes_lipi.load_study(
        "quickstart", {"data": str(path), "prune_method": "None"}
    ).variants
    load_dataset(variant)
    torch.save(torch.zeros((64, 24), dtype=torch.bool), tmp_path / f"test_T_{SET}.pt")
    with pytest.raises(UserError, match="changed since the study was made"):
        load_dataset(variant)


def test_a_checkpoint_is_no_data_set(tmp_path: Path) -> None:
    path = str(CHECKPOINTS / "n0_ae.pt")
    done = said_in(tmp_path, "run.py", *SHORT, "--data", path, *HERE)
    assert "holds no matrix; a data set is one tensor" in refusal_of(done)


def test_a_data_set_and_the_checkpoints_of_its_cells_start_a_study(tmp_path: Path) -> None:
    given = ["--data", str(DATA / f"train_T_{SET}.pt"), "--learning_rate", "1e-30"]
    given += ["--learning_rate_sd", "0", "--store_all_nodes", "True"]
    warm = ["--ann_path", str(CHECKPOINTS / "nIDX_ae.pt")]
    done = said_in(tmp_path, "run.py", *SHORT, *given, *warm, *HERE)
    assert done.returncode == 0, done.stderr
    [variant] = load_results(tmp_path / "out").trials["variant"]
    model = aes_lipi.load_model(tmp_path / f"out/models/variant={variant}/trial=0000.safetensors")
    started = [read_checkpoint(CHECKPOINTS / f"n{cell}_ae.pt").pair for cell in range(2)]
    known = [pair.encoder.genome.tobytes() for pair in started]
    assert model.others[0].encoder.genome.tobytes() in known


def state(layers: dict[str, tuple[int, int]]) -> dict[str, torch.Tensor]:
    """Tensors of dense layers, by name, of so many nodes and inputs."""
    rng = np.random.default_rng(0)
    tensors: dict[str, torch.Tensor] = {}
    for name, (n_out, n_in) in layers.items():
        weight = rng.normal(size=(n_out, n_in)).astype(np.float32)
        tensors |= {f"{name}.weight": torch.from_numpy(weight), f"{name}.bias": torch.zeros(n_out)}
    return tensors


LARGE = {
    "encoder": {"encoder.0": (60, 8), "encoder.2": (30, 60), "encoder.4": (10, 30)},
    "decoder": {"decoder.0": (30, 10), "decoder.2": (60, 30), "decoder.4": (8, 60)},
}
VARIATIONAL = {
    "encoder": {"fc1": (30, 8), "fc21": (10, 30), "fc22": (10, 30)},
    "decoder": {"decoder.0": (30, 10), "decoder.2": (8, 30)},
}


@pytest.mark.parametrize(
    ("layers", "environment", "reads"),
    [
        (LARGE, "AutoencoderBinaryClustering_Large", [-1, 0, 1]),
        (VARIATIONAL, "VariationalAutoencoderBinaryClustering", [-1, 0, 0]),
    ],
)
def test_checkpoints_of_every_environment_are_models(
    tmp_path: Path,
    layers: dict[str, dict[str, tuple[int, int]]],
    environment: str,
    reads: list[int],
) -> None:
    states = {part: state(each) for part, each in layers.items()}
    torch.save(states, tmp_path / "n0_ae.pt")
    model = read_checkpoint(tmp_path / "n0_ae.pt")
    known = ENVIRONMENTS[environment]
    assert model.architecture == build_architecture(known, 8, known.hidden_sizes, 10)
    assert [layer.reads for layer in model.architecture.encoder.layers] == reads
    for part, network in (("encoder", model.pair.encoder), ("decoder", model.pair.decoder)):
        layout = getattr(model.architecture, part)
        for k, name in enumerate(layers[part]):
            weight = states[part][f"{name}.weight"].numpy()
            np.testing.assert_array_equal(layout.weight(network.genome, k), weight)


def test_a_checkpoint_computes_what_torch_computes() -> None:
    model = read_checkpoint(CHECKPOINTS / "t4_ae.pt")
    states = torch.load(CHECKPOINTS / "t4_ae.pt", weights_only=True)
    x = torch.rand(5, 24, generator=torch.Generator().manual_seed(1))
    hidden = x
    for part, last in (("encoder", torch.relu), ("decoder", torch.sigmoid)):
        for k, activate in ((0, torch.relu), (2, last)):
            weight, bias = (states[part][f"{part}.{k}.{kind}"] for kind in ("weight", "bias"))
            hidden = activate(hidden @ weight.t() + bias)
    np.testing.assert_allclose(model.reconstruct(x.numpy()), hidden.numpy(), rtol=1e-5, atol=1e-6)


def without(part: str, name: str) -> dict[str, Any]:
    states: dict[str, Any] = {each: state(layers) for each, layers in LARGE.items()}
    del states[part][name]
    return states


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"encoder": state(LARGE["encoder"])}, "not a dictionary of encoder and decoder"),
        ({"encoder": {}, "decoder": {}}, "not a checkpoint"),
        (without("encoder", "encoder.2.bias"), "the tensors"),
        (without("decoder", "decoder.4.weight"), "not a checkpoint"),
        (torch.zeros(2), "not a dictionary"),
    ],
)
def test_what_is_no_checkpoint_is_told(tmp_path: Path, content: Any, told: str) -> None:
    torch.save(content, tmp_path / "n0_ae.pt")
    with pytest.raises(UserError, match=told):
        read_checkpoint(tmp_path / "n0_ae.pt")


def test_the_place_of_the_cell_in_a_name_means_all_of_them(tmp_path: Path) -> None:
    for name in ("n0_ae.pt", "n1_ae.pt", "n3_ae.pt"):
        (tmp_path / name).touch()
    found = warm_start_files(tmp_path / "nIDX_ae.pt")
    assert [each.name for each in found] == ["n0_ae.pt", "n1_ae.pt"]


def test_convert_writes_what_holds_no_pickle(tmp_path: Path) -> None:
    data = [str(DATA / f"{split}_T_{SET}.pt") for split in ("train", "test")]
    given = ["convert", str(CHECKPOINTS / "t4_ae.pt"), *data, "--output_dir", "new"]
    done = said_in(tmp_path, "aes-lipi", *given)
    assert done.stdout.splitlines() == ["new/t4_ae.safetensors", f"new/{SET}.npz"]
    converted = aes_lipi.load_model(tmp_path / "new/t4_ae.safetensors")
    original = read_checkpoint(CHECKPOINTS / "t4_ae.pt")
    assert converted.pair.encoder.genome.tobytes() == original.pair.encoder.genome.tobytes()
    dataset = load_dataset(Variant(data=str(tmp_path / f"new/{SET}.npz")))
    before = load_dataset(Variant(data=data[0]))
    for one, other in zip(dataset.splits, before.splits, strict=True):
        np.testing.assert_array_equal(one, other)
    again = said_in(tmp_path, "aes-lipi", *given)
    assert "t4_ae.safetensors: is there already; remove it" in refusal_of(again)


def test_checkpoints_of_one_name_are_not_taken_for_one(tmp_path: Path) -> None:
    """The answers of all trials of one length are called alike."""
    paths = [tmp_path / trial / "t4_ae.pt" for trial in ("1", "2")]
    for path in paths:
        path.parent.mkdir()
        shutil.copy(CHECKPOINTS / "t4_ae.pt", path)
    done = said_in(tmp_path, "aes-lipi", "convert", *map(str, paths), "--output_dir", "new")
    assert f"{paths[1]}: would be new/t4_ae.safetensors, as {paths[0]} is" in refusal_of(done)
    done = said_in(tmp_path, "aes-lipi", "convert", *map(str, [*paths, paths[0]]))
    assert done.stdout.splitlines() == [str(path.with_suffix(".safetensors")) for path in paths]


@pytest.mark.parametrize(
    ("place", "told"),
    [("s3://bucket/x", "files are written to a folder here"), ("a_file", "a_file")],
)
def test_a_place_that_takes_no_files_is_told(tmp_path: Path, place: str, told: str) -> None:
    (tmp_path / "a_file").touch()
    given = ["convert", str(CHECKPOINTS / "t4_ae.pt"), "--output_dir", place]
    assert told in refusal_of(said_in(tmp_path, "aes-lipi", *given))
    assert [path.name for path in tmp_path.iterdir()] == ["a_file"]


def test_models_are_loaded_without_pickles_unless_that_is_asked_for() -> None:
    with pytest.raises(UserError, match="not a model saved by aes_lipi"):
        aes_lipi.load_model(CHECKPOINTS / "t4_ae.pt")


@pytest.fixture
def trials(tmp_path: Path) -> Path:
    """Three trials of the published code, of two variants."""
    configuration = json.loads((FILES / "configuration.json").read_text())
    for name, seed, population in (("a/1", 1, 3), ("a/2", 2, 3), ("b/1", 1, 2)):
        (folder := tmp_path / name).mkdir(parents=True)
        shutil.copy(FILES / "stats.jsonl", folder)
        settings = {**configuration, "rng_seed": seed, "population_size": population, "what": 1}
        (folder / "params.json").write_text(json.dumps(settings))
    return tmp_path


def test_statistics_are_a_table_with_our_columns(trials: Path) -> None:
    table = aes_lipi.read_published(trials)
    assert list(table) == [
        *("variant", "variant_name", "trial", "generation", "cell", "learning_rate"),
        *("min_selection_loss", "min_replacement_loss", "n_pruned_encoder", "n_pruned_decoder"),
        *("capacity_published", "test_loss", "mean_L1", "std_L1"),
    ]
    numbers = table.groupby(["variant_name", "trial"], sort=False).size()
    assert dict(numbers) == {
        ("population_size=3", 0): 8,
        ("population_size=3", 1): 8,
        ("population_size=2", 0): 8,
    }
    first = table[:8]
    assert first["generation"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert first["mean_L1"].isna().tolist() == [False] * 2 + [True] * 4 + [False] * 2
    assert first["capacity_published"].tolist() == [1.0] * 8
    told = {"population_size": 3, "epochs": 4, "batch_size": 4, "dataset_name": SET}
    assert first["variant"][0] == Variant.model_validate(told).id


def test_rows_of_all_vs_all_are_pairs_in_their_order(trials: Path) -> None:
    """Two encoders with two decoders: four rows a generation, whatever their nodes are called."""
    row = json.loads((FILES / "stats.jsonl").read_text().splitlines()[0])
    rows = [{**row, "iteration": t, "node_idx": k // 2} for t in (0, 1) for k in range(4)]
    (trials / "b/1/stats.jsonl").write_text("\n".join(map(json.dumps, rows)))
    settings = json.loads((trials / "b/1/params.json").read_text())
    settings |= {"cell_evaluation": "all_vs_all", "population_size": 2}
    (trials / "b/1/params.json").write_text(json.dumps(settings))
    found = aes_lipi.read_published(trials / "b")
    assert found["generation"].tolist() == [0] * 4 + [1] * 4
    assert found["cell"].tolist() == [0, 1, 2, 3] * 2


def test_trials_that_started_from_checkpoints_are_of_one_variant(trials: Path) -> None:
    """Whose path counts from each trial's own folder."""
    for name, start in (("a/1", "checkpoints/nIDX_ae.pt"), ("a/2", "checkpoints/nIDX_ae.pt")):
        path = trials / name / "params.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "ann_path": start}))
    path = trials / "b/1/params.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "ann_path": ""}))
    found = aes_lipi.read_published(trials)
    assert found.groupby("variant_name", sort=False)["trial"].nunique().tolist() == [2, 1]
    assert "nIDX_ae.pt" not in found["variant_name"].iloc[-1]


def test_space_means_nothing_where_all_meet_all(trials: Path) -> None:
    path = trials / "b/1/params.json"
    settings = {"cell_evaluation": "all_vs_all", "radius": 2, "data_subsample": 0.5}
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    assert len(aes_lipi.read_published(trials / "b")) == 8


def test_networks_of_a_trial_without_space_start_another_by_their_numbers(tmp_path: Path) -> None:
    """n^2 pairs are trained of n encoders and n decoders: each is stored once."""
    given = ["--rq", "cell_evaluations", "--cell_evaluation", "all_vs_all", "--store_all_nodes"]
    size = ["--population_size", "3", "--trials", "1", "--epochs", "2", "--dataset_name", SET]
    done = said_in(tmp_path, "run.py", *given, *size, "--hidden_sizes", "4", *HERE)
    assert done.returncode == 0, done.stderr
    results = load_results(tmp_path / "out")
    [variant] = results.trials["variant"]
    model = aes_lipi.load_model(tmp_path / f"out/models/variant={variant}/trial=0000.safetensors")
    last = results.generations.query("generation == 1").reset_index(drop=True)
    assert len(last) == 9
    assert len(model.others) == 3
    for part in ("encoder", "decoder"):
        genomes = {getattr(each, part).genome.tobytes() for each in model.others}
        assert len(genomes) == 3
    number = {name: int(last.iloc[-1][name]) for name in ("encoder", "decoder")}
    answer = model.pair  # the pair that was trained last
    for part in ("encoder", "decoder"):
        stored = getattr(model.others[number[part]], part).genome
        assert np.array_equal(getattr(answer, part).genome, stored)


@pytest.mark.parametrize("name", ["t_3_n1_ae.pt", "t_3_n1_b_2_ae.pt"])
def test_checkpoints_of_a_generation_and_of_a_batch_in_it_are_models_too(name: str) -> None:
    model = read_checkpoint(CHECKPOINTS / name)
    rows = np.ones((2, 24), np.float32)
    assert model.reconstruct(rows).shape == (2, 24)


def test_capacity_is_what_was_not_pruned(trials: Path) -> None:
    row = json.loads((FILES / "stats.jsonl").read_text().splitlines()[0])
    rows = json.dumps({**row, "n_pruned_encoder": 100, "n_pruned_decoder": 7})
    (trials / "b/1/stats.jsonl").write_text(rows)
    [found] = aes_lipi.read_published(trials / "b")["capacity_published"]
    assert found == pytest.approx(1 - 107 / (30 * 25 + 10 * 31 + 30 * 11 + 24 * 31))


def test_statistics_without_parameters_are_read() -> None:
    table = aes_lipi.read_published(FILES)
    assert table["variant"].tolist() == [""] * 8
    assert table["capacity_published"].isna().all()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("{", r"stats.jsonl, line 2: not a row of statistics"),
        ("[1]", r"line 2: not a row"),
        ('{"iteration": 1}', r"line 2: .*node_idx: no number"),
    ],
)
def test_damaged_statistics_are_told_with_their_line(trials: Path, line: str, told: str) -> None:
    path = trials / "a/1/stats.jsonl"
    path.write_text(f"{path.read_text().splitlines()[0]}\n{line}\n")
    with pytest.raises(UserError, match=told):
        aes_lipi.read_published(trials)


def test_a_folder_without_statistics_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no stats\.jsonl"):
        aes_lipi.read_published(tmp_path)
