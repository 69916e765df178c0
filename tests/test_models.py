"""Saved models: exact round trips, and one clear line for everything that is not such a file."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from helpers import random_pair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save_file
from torch_modules import AutoencoderModule

from aes_lipi.arrays import Float32
from aes_lipi.autoencoders.environments import (
    ENVIRONMENTS,
    Architecture,
    Environment,
    build_architecture,
)
from aes_lipi.autoencoders.network import Network, Pair
from aes_lipi.config.variant import HiddenActivation, OutputActivation
from aes_lipi.errors import UserError
from aes_lipi.models import Model, describe_layers, load_pairs, read_model, save_model
from aes_lipi.models.files import METADATA_KEY, sealed
from aes_lipi.results.model_files import warm_start_files

PROVENANCE = {"study": "tiny", "trial": 3, "settings": {"epochs": 2, "hidden_sizes": [4]}}
every_environment = pytest.mark.parametrize("name", ENVIRONMENTS)

Tensors = dict[str, np.ndarray[Any, Any]]


def architecture_of(name: str = "AutoencoderBinaryClustering", n_dim: int = 7) -> Architecture:
    return build_architecture(ENVIRONMENTS[name], n_dim, (4, 3), 2)


def pruned_pair(architecture: Architecture, seed: int) -> Pair:
    """A pair of which a third of the weights are frozen at zero."""
    rng = np.random.default_rng(seed)
    networks = []
    for network in (
        random_pair(architecture, seed).encoder,
        random_pair(architecture, seed).decoder,
    ):
        mask = rng.random(network.genome.size) < 0.67
        genome = np.where(mask, network.genome, np.float32(0))
        networks.append(Network(genome, mask, n_pruned=int((~mask).sum())))
    return Pair(*networks)


def a_model(name: str = "AutoencoderBinaryClustering") -> Model:
    architecture = architecture_of(name)
    return Model(architecture, random_pair(architecture, 0), provenance=PROVENANCE)


def saved(folder: Path, model: Model | None = None) -> Path:
    path = folder / "model.safetensors"
    save_model(path, model or a_model())
    return path


def assert_same_network(one: Network, other: Network) -> None:
    assert one.genome.dtype == other.genome.dtype == np.float32
    assert one.genome.tobytes() == other.genome.tobytes()
    assert (one.mask is None) == (other.mask is None)
    if one.mask is not None and other.mask is not None:
        assert one.mask.dtype == other.mask.dtype == np.bool_
        assert np.array_equal(one.mask, other.mask)
    assert one.n_pruned == other.n_pruned


def assert_same_model(one: Model, other: Model) -> None:
    assert one.architecture == other.architecture
    assert one.provenance == other.provenance
    assert len(one.others) == len(other.others)
    for pair, twin in zip((one.pair, *one.others), (other.pair, *other.others), strict=True):
        assert_same_network(pair.encoder, twin.encoder)
        assert_same_network(pair.decoder, twin.decoder)


# --- round trips


@every_environment
def test_loaded_model_is_the_saved_one(name: str, tmp_path: Path) -> None:
    model = a_model(name)
    assert_same_model(read_model(saved(tmp_path, model)), model)


@pytest.mark.parametrize("hidden", get_args(HiddenActivation))
@pytest.mark.parametrize("output", get_args(OutputActivation))
@pytest.mark.parametrize("sizes", [(), (4, 3)])
def test_activations_and_losses_come_back(
    hidden: HiddenActivation, output: OutputActivation, sizes: tuple[int, ...], tmp_path: Path
) -> None:
    for code in (False, True):
        kind = Environment(
            loss="huber", hidden_activation=hidden, output_activation=output, linear_code=code
        )
        architecture = build_architecture(kind, 7, sizes, 2, "package.module:loss")
        model = Model(architecture, random_pair(architecture, 0), provenance=PROVENANCE)
        for each in (model, model.compacted()):
            assert_same_model(read_model(saved(tmp_path, each)), each)
        rows = np.random.default_rng(0).random((5, 7), dtype=np.float32)
        module = AutoencoderModule(architecture, model.pair)
        expected = module(torch.from_numpy(rows)).detach().numpy()
        np.testing.assert_allclose(model.reconstruct(rows), expected, atol=1e-6)


def test_masks_and_prune_counts_come_back(tmp_path: Path) -> None:
    architecture = architecture_of()
    model = Model(architecture, pruned_pair(architecture, 1), provenance=PROVENANCE)
    assert_same_model(read_model(saved(tmp_path, model)), model)


def test_all_cells_come_back_in_order(tmp_path: Path) -> None:
    architecture = architecture_of()
    others = (
        *(random_pair(architecture, seed) for seed in range(11)),
        pruned_pair(architecture, 11),
        Pair(pruned_pair(architecture, 12).encoder, random_pair(architecture, 12).decoder),
    )
    model = Model(architecture, others[4], others, PROVENANCE)
    assert_same_model(read_model(saved(tmp_path, model)), model)


def test_cells_are_named_by_three_digits(tmp_path: Path) -> None:
    architecture = architecture_of()
    pair = random_pair(architecture, 0)
    tensors, _ = contents(saved(tmp_path, Model(architecture, pair, (pair, pair))))
    assert {name.split(".")[0] for name in tensors} == {
        "encoder",
        "decoder",
        "cell_000",
        "cell_001",
    }


def test_every_bit_comes_back(tmp_path: Path) -> None:
    architecture = architecture_of()
    pair = random_pair(architecture, 0)
    odd = np.array([-0.0, np.nan, np.inf, -np.inf, 1e-45, 3e38], dtype=np.float32)
    pair.encoder.genome[:6] = odd
    loaded = read_model(saved(tmp_path, Model(architecture, pair)))
    assert loaded.pair.encoder.genome[:6].tobytes() == odd.tobytes()


def test_published_size_comes_back_from_a_path_given_as_text(tmp_path: Path) -> None:
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 1000, (30,), 10)
    model = Model(architecture, random_pair(architecture, 0))
    assert_same_model(read_model(str(saved(tmp_path, model))), model)


def test_read_only_weights_can_be_saved_and_stay_as_they_were(tmp_path: Path) -> None:
    model = a_model()
    before = model.pair.encoder.genome.copy()
    model.pair.encoder.genome.setflags(write=False)
    assert_same_model(read_model(saved(tmp_path, model)), model)
    assert np.array_equal(model.pair.encoder.genome, before)


def test_same_model_gives_the_same_file(tmp_path: Path) -> None:
    first = saved(tmp_path).read_bytes()
    assert saved(tmp_path).read_bytes() == first


def test_file_is_open_to_any_safetensors_reader(tmp_path: Path) -> None:
    model = a_model()
    with safe_open(saved(tmp_path, model), framework="np") as file:
        weight = file.get_tensor("encoder.latent.weight")
        names = set(file.keys())
    assert np.array_equal(weight, model.architecture.encoder.weight(model.pair.encoder.genome, 2))
    assert {"encoder.hidden_1.weight", "encoder.hidden_2.bias", "decoder.output.bias"} <= names


# --- encode, decode, reconstruct


@every_environment
def test_loaded_model_computes_what_the_torch_module_does(name: str, tmp_path: Path) -> None:
    model = a_model(name)
    loaded = read_model(saved(tmp_path, model))
    module = AutoencoderModule(model.architecture, model.pair)
    x = np.random.default_rng(2).random((5, 7), dtype=np.float32)
    with torch.no_grad():
        code = module.encoder(torch.from_numpy(x))[:, :2].numpy()
        output = module(torch.from_numpy(x)).numpy()
    codes, outputs = loaded.encode(x), loaded.reconstruct(x)
    assert codes.dtype == np.float32
    assert codes.shape == (5, 2)
    assert outputs.dtype == np.float32
    assert outputs.shape == (5, 7)
    np.testing.assert_allclose(codes, code, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs, output, rtol=1e-5, atol=1e-6)
    assert np.array_equal(loaded.decode(codes), outputs)


@pytest.mark.parametrize("dtype", [np.float64, np.uint8, np.bool_])
def test_rows_of_any_number_type_are_taken(dtype: type[np.generic]) -> None:
    bits = np.random.default_rng(2).integers(0, 2, size=(5, 7))
    model = a_model()
    expected = model.reconstruct(bits.astype(np.float32))
    given_rows: Any = bits.astype(dtype)
    result = model.reconstruct(given_rows)
    assert result.dtype == np.float32
    assert np.array_equal(result, expected)


def test_no_rows_give_no_rows() -> None:
    nothing: Float32 = np.zeros((0, 7), dtype=np.float32)
    assert a_model().encode(nothing).shape == (0, 2)
    assert a_model().reconstruct(nothing).shape == (0, 7)


# --- refusals


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_model(path)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{path}: ")
    return message


def contents(path: Path) -> tuple[Tensors, dict[str, Any]]:
    """The tensors and the description in a model file."""
    with safe_open(path, framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return tensors, json.loads(file.metadata()[METADATA_KEY])


def rewritten(folder: Path, change: Callable[[Tensors, dict[str, Any]], None]) -> Path:
    """A model file whose tensors or description were changed."""
    path = saved(folder)
    tensors, description = contents(path)
    change(tensors, description)
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(description)})
    path.write_bytes(sealed(path.read_bytes()))
    return path


def with_bytes(folder: Path, content: bytes) -> Path:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return path


def header_of(size: int, header: bytes = b"{}") -> bytes:
    """The start of a safetensors file that claims a header of a given size."""
    return struct.pack("<Q", size) + header


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00",
        b"\x00" * 8,
        b"not a model\n",
        pickle.dumps({"encoder.latent.weight": [1.0]}),
        b"PK\x03\x04" + b"\x00" * 100,
        np.random.default_rng(0).bytes(4096),
        header_of(2**64 - 1),
        header_of(2**63),
        header_of(2**40),
        header_of(99_999_999),
        header_of(2),
        header_of(2, b"[]"),
        header_of(100_000, b"[" * 100_000),
    ],
)
def test_file_of_another_kind_is_refused(content: bytes, tmp_path: Path) -> None:
    assert "not a model saved by aes_lipi" in refusal(with_bytes(tmp_path, content))


def test_torch_checkpoint_is_refused_and_never_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save({"encoder.latent.weight": torch.zeros(2)}, path)
    assert "not a model saved by aes_lipi" in refusal(path)


def test_pickle_is_never_run(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    refusal(with_bytes(tmp_path, pickle.dumps(Bomb())))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("name", ["missing.safetensors", "."])
def test_missing_file_and_folder_are_refused(name: str, tmp_path: Path) -> None:
    assert "give a saved model" in refusal(tmp_path / name)


def test_truncated_file_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    whole = saved(tmp_path).read_bytes()
    for size in [*range(0, 64), *range(64, len(whole), 97), len(whole) - 1]:
        refusal(with_bytes(tmp_path, whole[:size]))


def test_file_with_more_behind_its_end_is_refused(tmp_path: Path) -> None:
    refusal(with_bytes(tmp_path, saved(tmp_path).read_bytes() + b"\x00"))


def test_safetensors_of_another_program_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for metadata in (None, {"format": "pt"}, {METADATA_KEY: "{"}, {METADATA_KEY: "null"}):
        save_file({"weight": np.zeros(2, np.float32)}, path, metadata=metadata)
        assert "not a model saved by aes_lipi" in refusal(path)


def drop(name: str) -> Callable[[Tensors, dict[str, Any]], None]:
    def change(tensors: Tensors, description: dict[str, Any]) -> None:
        del tensors[name]

    return change


def put(name: str, tensor: np.ndarray[Any, Any]) -> Callable[[Tensors, dict[str, Any]], None]:
    def change(tensors: Tensors, description: dict[str, Any]) -> None:
        tensors[name] = tensor

    return change


def describe(**fields: Any) -> Callable[[Tensors, dict[str, Any]], None]:
    def change(tensors: Tensors, description: dict[str, Any]) -> None:
        description.update(fields)

    return change


def forget(field: str) -> Callable[[Tensors, dict[str, Any]], None]:
    def change(tensors: Tensors, description: dict[str, Any]) -> None:
        del description[field]

    return change


WEIGHT = "encoder.latent.weight"  # float32, shape (2, 3)


@pytest.mark.parametrize(
    "change",
    [
        *map(drop, [WEIGHT, "encoder.hidden_1.bias", "decoder.output.weight"]),
        *map(drop, ["encoder.n_pruned", "decoder.n_pruned"]),
        put(WEIGHT, np.zeros((2, 3))),
        put(WEIGHT, np.zeros((2, 3), np.float16)),
        put(WEIGHT, np.zeros((2, 3), np.int32)),
        put(WEIGHT, np.zeros((3, 2), np.float32)),
        put(WEIGHT, np.zeros(6, np.float32)),
        put(WEIGHT, np.zeros((), np.float32)),
        put(WEIGHT, np.zeros((0, 3), np.float32)),
        put("encoder.mask", np.ones(3, np.uint8)),
        put("encoder.mask", np.ones((1, 3), np.uint8)),
        *map(forget, ["format", "architecture", "n_others", "provenance"]),
        describe(format=0),
        describe(format="another"),
        describe(format=None),
        describe(n_others=1),
        describe(n_others="many"),
        describe(n_others=None),
        describe(architecture=None),
        describe(architecture=[]),
        describe(architecture={}),
        describe(architecture={"encoder": 1, "decoder": 2}),
        describe(architecture={"encoder": {"layers": []}, "decoder": {"layers": []}}),
        describe(architecture={"encoder": {"layers": [1]}, "decoder": {"layers": [1]}}),
    ],
)
def test_model_that_does_not_hold_together_is_refused(
    change: Callable[[Tensors, dict[str, Any]], None], tmp_path: Path
) -> None:
    assert "not a model saved by aes_lipi" in refusal(rewritten(tmp_path, change))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("n_out", value) for value in (0, -1, 3, 10**12, "2", None)),
        *(("n_in", value) for value in (0, -3, 10**12, None)),
        *(("activation", value) for value in ("sigmoid", "elu", None, 1)),
        *(("name", value) for value in ("", "other", None, 5, "../hidden_1")),
    ],
)
def test_description_that_contradicts_the_tensors_is_refused(
    field: str, value: Any, tmp_path: Path
) -> None:
    def change(tensors: Tensors, description: dict[str, Any]) -> None:
        description["architecture"]["encoder"]["layers"][-1][field] = value

    assert "not a model saved by aes_lipi" in refusal(rewritten(tmp_path, change))


def test_description_that_nests_without_end_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    tensors, _ = contents(path)
    save_file(tensors, path, metadata={METADATA_KEY: "[" * 200_000})
    assert "not a model saved by aes_lipi" in refusal(path)


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=300))
def test_any_bytes_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    refusal(with_bytes(tmp_path, content))


# --- warm start


def test_pairs_of_a_file_and_of_a_folder_in_order_of_path(tmp_path: Path) -> None:
    architecture = architecture_of()
    pairs: Mapping[str, Pair] = {
        name: random_pair(architecture, seed)
        for seed, name in enumerate(["b/2.safetensors", "a/1.safetensors", "b/10.safetensors"])
    }
    for name, pair in pairs.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_model(tmp_path / name, Model(architecture, pair))
    (tmp_path / "notes.txt").write_text("no model")
    loaded = load_pairs(warm_start_files(tmp_path), architecture)
    assert [pair.encoder.genome.tobytes() for pair in loaded] == [
        pairs[name].encoder.genome.tobytes()
        for name in ("a/1.safetensors", "b/10.safetensors", "b/2.safetensors")
    ]
    (alone,) = load_pairs([tmp_path / "b/2.safetensors"], architecture)
    assert_same_network(alone.decoder, pairs["b/2.safetensors"].decoder)


def test_warm_start_from_other_layers_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path)
    wanted = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 7, (5,), 2)
    with pytest.raises(
        UserError, match=r"layers are 7-4-3-2-3-4-7, the study's 7-5-2-5-7"
    ) as caught:
        load_pairs([path], wanted)
    assert len(str(caught.value).splitlines()) == 1


def test_warm_start_of_a_plain_study_from_a_variational_model_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, a_model("VariationalAutoencoderBinaryClustering"))
    with pytest.raises(UserError, match=r"start from a model of the same layers"):
        load_pairs([path], architecture_of())


def test_denoising_study_may_start_from_a_plain_model(tmp_path: Path) -> None:
    loaded = load_pairs([saved(tmp_path)], architecture_of("DenoisingAutoencoderBinaryClustering"))
    assert len(loaded) == 1


def test_warm_start_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no \.safetensors model in this folder"):
        warm_start_files(tmp_path)
    with pytest.raises(UserError, match=r"give a saved model"):
        load_pairs([tmp_path / "missing.safetensors"], architecture_of())


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("AutoencoderBinaryClustering", "7-4-3-2-3-4-7"),
        ("VariationalAutoencoderBinaryClustering", "7-4-3-2-3-4-7 (variational)"),
    ],
)
def test_layers_are_described_from_input_over_code_to_output(name: str, widths: str) -> None:
    assert describe_layers(architecture_of(name)) == widths
