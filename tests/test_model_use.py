"""Models in use: a user's own units, scores, ensembles, and centres of recorded generations."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from helpers import random_pair, tiny_study
from safetensors import safe_open
from safetensors.numpy import save_file
from studies import assert_same_study, run_study

from aes_lipi.analysis.pareto import read_candidates
from aes_lipi.autoencoders.environments import ENVIRONMENTS, build_architecture
from aes_lipi.coevolution.records import pareto_front
from aes_lipi.data.scaling import Scaling
from aes_lipi.errors import UserError
from aes_lipi.models import (
    Ensemble,
    Model,
    Place,
    load_recorded,
    model_bytes,
    read_model,
    save_model,
)
from aes_lipi.models.files import METADATA_KEY, measured_centres, sealed

ARCHITECTURE = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 4, (3,), 2)
SCALING = Scaling("minmax", np.array([-1.0, 0.0, 1e9, 5.0]), np.array([1.0, 10.0, 1e9 + 4, 5.0]))
COLUMNS = ("a", "b", "c", "d")
ROWS = np.array([[0.0, 5.0, 1e9 + 1, 5.0], [1.0, 0.0, 1e9 + 4, 5.0], [9.0, -3.0, 1e9 - 7, 6.0]])
UNIT_ROWS = np.array([[0.5, 0.5, 0.25, 0.0], [1.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])


def scaled_model(**fields: Any) -> Model:
    return Model(
        ARCHITECTURE, random_pair(ARCHITECTURE, 1), scaling=SCALING, columns=COLUMNS, **fields
    )


def test_rows_in_the_users_units_are_scaled_and_reconstructions_are_in_them() -> None:
    model = scaled_model()
    unit = UNIT_ROWS.astype(np.float32)
    code = ARCHITECTURE.encode(model.pair.encoder.genome, unit)
    assert np.array_equal(model.encode(ROWS), code)
    inner = ARCHITECTURE.decode(model.pair.decoder.genome, code)
    expected = SCALING.low + (SCALING.high - SCALING.low) * inner
    found = model.reconstruct(ROWS)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (found[:, 3] == 5.0).all()
    assert np.array_equal(model.decode(code), found)


def test_a_score_is_the_mean_of_the_absolute_errors_of_a_row_with_columns_scaled() -> None:
    model = scaled_model()
    unit = UNIT_ROWS.astype(np.float32)
    inner = ARCHITECTURE.decode(
        model.pair.decoder.genome,
        ARCHITECTURE.encode(model.pair.encoder.genome, unit),
    )
    score = model.score(ROWS)
    assert score.shape == (3,)
    assert score.dtype == np.float32
    # The third row as it is, not clipped; its constant column has changed.
    beyond = np.array([*UNIT_ROWS[:2], [5.0, -0.3, -1.75, 1.0]])
    np.testing.assert_allclose(score, np.abs(beyond - inner).mean(axis=1), rtol=1e-6)
    errors = model.errors(ROWS)
    assert errors.dtype == np.float32
    np.testing.assert_allclose(errors, np.abs(beyond - inner), rtol=1e-5)
    assert np.array_equal(errors.mean(axis=1), score)
    plain = replace(model, scaling=None, columns=None)
    assert np.array_equal(plain.score(unit[:2]), score[:2])
    assert plain.reconstruct(unit).dtype == np.float32


def test_a_constant_has_not_changed_in_float32() -> None:
    """0.1 is another number there."""
    scaling = Scaling("minmax", np.array([0.0, 0.1]), np.array([1.0, 0.1]))
    architecture = build_architecture(ENVIRONMENTS["AutoencoderBinaryClustering"], 2, (3,), 2)
    units = Model(architecture, random_pair(architecture, 1), scaling=scaling).units
    for rows in ([[0.5, 0.1]], np.array([[0.5, 0.1]], np.float32)):
        assert units.scaled(np.asarray(rows)).tolist() == [[0.5, 0.0]]
    assert units.scaled(np.array([[0.5, 0.1 + 1e-7]])).tolist() == [[0.5, 1.0]]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (np.zeros(4), "rows of 4 values"),
        (np.zeros((2, 3)), "rows of 4 values"),
        ([["x"] * 4], "could not convert"),
        ([[0, 0, 0, 0], [0, 0, np.nan, 0]], "row 2, column 'c'"),
        ([[0, np.inf, 0, 0]], "row 1, column 'b'"),
        (pd.DataFrame(np.zeros((1, 4)), columns=list("abdc")), "column 3 is 'd'"),
        (pd.DataFrame(np.zeros((1, 5)), columns=list("abcde")), "expected 4 columns"),
    ],
)
def test_rows_that_the_model_does_not_know_are_refused(rows: Any, told: str) -> None:
    model = scaled_model()
    for use in (model.encode, model.reconstruct, model.score, model.errors):
        with pytest.raises(ValueError, match=told):
            use(rows)


def test_a_table_is_taken_by_its_columns_and_no_rows_are_fine() -> None:
    model = scaled_model()
    table = pd.DataFrame(ROWS, columns=list(COLUMNS))
    assert np.array_equal(model.score(table), model.score(ROWS))
    assert model.reconstruct(np.zeros((0, 4))).shape == (0, 4)
    assert model.score(np.zeros((0, 4))).shape == (0,)
    assert model.errors(np.zeros((0, 4))).shape == (0, 4)


def test_scaling_columns_and_compaction_are_in_the_file(tmp_path: Path) -> None:
    genome = scaled_model().pair.encoder.genome.copy()
    ARCHITECTURE.encoder.weight(genome, 0)[1] = 0
    model = scaled_model()
    pruned = replace(model.pair.encoder, genome=genome)
    small = replace(model, pair=replace(model.pair, encoder=pruned)).compacted()
    for each in (model, small):
        save_model(tmp_path / "m.safetensors", each)
        read = read_model(tmp_path / "m.safetensors")
        assert read.architecture == each.architecture
        assert (read.columns, read.compaction) == (COLUMNS, each.compaction)
        assert np.array_equal(read.reconstruct(ROWS), each.reconstruct(ROWS))
    assert small.compaction is not None
    assert small.compaction.n_parameters == ARCHITECTURE.n_parameters
    assert small.architecture.n_parameters < ARCHITECTURE.n_parameters


@pytest.mark.parametrize("loss", [None, "mse", "l1"])
@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_a_model_for_use_has_no_heads_that_only_training_needs(
    name: str, loss: Any, tmp_path: Path
) -> None:
    """Under the loss that its environment has, or another one."""
    architecture = build_architecture(ENVIRONMENTS[name], 4, (3,), 2, loss)
    model = Model(architecture, random_pair(architecture, 0))
    for made in (model.for_use(), model.compacted()):
        assert not made.architecture.variational
        assert np.array_equal(made.encode(UNIT_ROWS), model.encode(UNIT_ROWS))
        assert np.array_equal(made.reconstruct(UNIT_ROWS), model.reconstruct(UNIT_ROWS))
        save_model(tmp_path / "m.safetensors", made)
        assert read_model(tmp_path / "m.safetensors").architecture == made.architecture


def test_an_ensemble_averages_the_ring(tmp_path: Path) -> None:
    study = tiny_study(trials=1, store_all_nodes=True)
    run_study(study, tmp_path / "study")
    model = read_model(next((tmp_path / "study/models").rglob("*.safetensors")))
    ring = Ensemble.of(model)
    rows = np.random.default_rng(0).random((5, 7), dtype=np.float32)
    members = [replace(model, pair=pair, others=()) for pair in model.others]
    assert len(members) == 4
    mean = np.mean([member.reconstruct(rows) for member in members], axis=0)
    np.testing.assert_allclose(ring.reconstruct(rows), mean, rtol=1e-6)
    np.testing.assert_allclose(ring.score(rows), np.abs(rows - mean).mean(axis=1), rtol=1e-5)
    code = ring.encode(rows)
    assert np.array_equal(code, np.concatenate([m.encode(rows) for m in members], axis=1))
    assert np.array_equal(ring.decode(code), ring.reconstruct(rows))
    best = min(members, key=lambda member: member.score(rows).mean())
    assert ring.score(rows).mean() < max(m.score(rows).mean() for m in members)
    with pytest.raises(ValueError, match="rows of 12 values"):
        ring.decode(best.encode(rows))
    with pytest.raises(ValueError, match="store_all_nodes"):
        Ensemble.of(members[0])


def test_centres_of_recorded_generations_are_kept_and_the_bits_do_not_depend_on_it(
    tmp_path: Path,
) -> None:
    settings: dict[str, Any] = {"prune_method": "random", "record_interval": 2, "epochs": 4}
    run_study(tiny_study(trials=1, store_generations="recorded", **settings), tmp_path / "kept")
    run_study(tiny_study(trials=1, **settings), tmp_path / "not")
    [kept] = (tmp_path / "kept/models").rglob("*.safetensors")
    [bare] = (tmp_path / "not/models").rglob("*.safetensors")
    model = read_model(kept)
    assert np.array_equal(model.pair.encoder.genome, read_model(bare).pair.encoder.genome)
    best = int(model.provenance["cell"])
    rows = read_candidates(tmp_path / "kept")
    front = rows.iloc[pareto_front(rows["n_compact"], rows["validation_L1"])]
    for place in map(Place, front["generation"], front["cell"]):
        assert load_recorded(kept, place).provenance["cell"] == place.cell
    last = load_recorded(kept, Place(3, best))
    assert np.array_equal(last.pair.encoder.genome, model.pair.encoder.genome)
    assert np.array_equal(last.pair.decoder.genome, model.pair.decoder.genome)
    assert last.provenance["generation"] == 3
    for path, place in ((kept, Place(1, 0)), (kept, Place(0, 4)), (bare, Place(3, best))):
        with pytest.raises(UserError, match=r"holds no centre.*store_generations"):
            load_recorded(path, place)


def test_the_centres_of_all_generations_are_kept_whatever_is_recorded(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"prune_method": "random", "record_interval": 3, "epochs": 4}
    run_study(tiny_study(trials=1, store_generations="all", **settings), tmp_path)
    [path] = (tmp_path / "models").rglob("*.safetensors")
    found = measured_centres(path, np.copy)
    assert sorted(found) == [0, 1, 2, 3]
    for t, cells in found.items():
        for cell, weights in enumerate(cells):
            pair = load_recorded(path, Place(t, cell)).pair
            assert np.array_equal(
                weights, np.concatenate([pair.encoder.genome, pair.decoder.genome])
            )
    model = read_model(path)
    final = load_recorded(path, Place(3, int(model.provenance["cell"]))).pair
    assert np.array_equal(final.decoder.genome, model.pair.decoder.genome)


def test_centres_have_the_same_bits_in_other_processes(tmp_path: Path) -> None:
    study = tiny_study(trials=2, store_generations="recorded", prune_method="random", epochs=6)
    run_study(study, tmp_path / "one")
    run_study(study, tmp_path / "two", jobs=2)
    assert_same_study(tmp_path / "one", tmp_path / "two")


def changed(path: Path, change: Any) -> Path:
    with safe_open(path, "np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        about = json.loads(file.metadata()[METADATA_KEY])
    change(tensors, about)
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(about)})
    path.write_bytes(sealed(path.read_bytes()))
    return path


HOSTILE: dict[str, Any] = {
    "scaling short": lambda t, d: d["scaling"]["low"].pop(),
    "scaling reversed": lambda t, d: d["scaling"].update(low=[9.0, 9.0, 9.0, 9.0]),
    "scaling not finite": lambda t, d: d["scaling"].update(low=[float("nan")] * 4),
    "scaling text": lambda t, d: d.update(scaling="minmax"),
    "columns short": lambda t, d: d["columns"].pop(),
    "columns numbers": lambda t, d: d.update(columns=[1, 2, 3, 4]),
    "compaction negative": lambda t, d: d["compaction"].update(code=[-1]),
    "compaction unknown key": lambda t, d: d["compaction"].update(more=1),
    "not compact": lambda t, d: d.update(compaction=None),
    "decoder wider than the code": lambda t, d: d["architecture"]["decoder"]["layers"][0].update(
        n_in=7
    ),
    "output narrower than the data": lambda t, d: d["architecture"]["decoder"]["layers"][1].update(
        n_out=3
    ),
    "absurd width": lambda t, d: d["architecture"]["encoder"]["layers"][0].update(n_in=2**31 - 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_compact_models_that_do_not_hold_together_are_refused(name: str, tmp_path: Path) -> None:
    model = scaled_model()
    genome = model.pair.encoder.genome.copy()
    ARCHITECTURE.encoder.weight(genome, 0)[1] = 0
    pair = replace(model.pair, encoder=replace(model.pair.encoder, genome=genome))
    path = tmp_path / "m.safetensors"
    save_model(path, replace(model, pair=pair).compacted())
    read_model(path)
    with pytest.raises(UserError) as caught:
        read_model(changed(path, HOSTILE[name]))
    assert "\n" not in str(caught.value)


RECORDED_HOSTILE: dict[str, Any] = {
    "more than there are": lambda t, d: d.update(n_recorded=2**30),
    "negative": lambda t, d: d.update(n_recorded=-1),
    "places of another type": lambda t, d: t.update(
        {"recorded.places": t["recorded.places"].astype(np.float64)}
    ),
    "places missing": lambda t, d: t.pop("recorded.places"),
    "weights missing": lambda t, d: t.pop("recorded.encoder"),
    "weights of another type": lambda t, d: t.update(
        {"recorded.encoder": t["recorded.encoder"].astype(np.float64)}
    ),
    "weights too narrow": lambda t, d: t.update(
        {"recorded.decoder": np.ascontiguousarray(t["recorded.decoder"][:, 1:])}
    ),
}


@pytest.mark.parametrize("name", RECORDED_HOSTILE)
def test_recorded_centres_that_do_not_hold_together_are_refused(name: str, tmp_path: Path) -> None:
    recorded = {Place(t, 0): random_pair(ARCHITECTURE, t) for t in range(3)}
    path = tmp_path / "m.safetensors"
    path.write_bytes(model_bytes(scaled_model(), recorded))
    load_recorded(path, Place(1, 0))
    with pytest.raises(UserError) as caught:
        load_recorded(changed(path, RECORDED_HOSTILE[name]), Place(1, 0))
    assert "\n" not in str(caught.value)


def test_a_header_of_absurd_size_and_a_renamed_pickle_are_refused(tmp_path: Path) -> None:
    import pickle  # noqa: PLC0415 - only here, and only to be refused

    path = tmp_path / "m.safetensors"
    for content in (
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**9) + b"{" * 100,
        pickle.dumps({"encoder": np.zeros(3)}),
        model_bytes(scaled_model())[:-5],
        b"",
    ):
        path.write_bytes(content)
        for read in (read_model, lambda path: load_recorded(path, Place(0, 0))):
            with pytest.raises(UserError, match="not a model saved by aes_lipi") as caught:
                read(path)
            assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("low", "span"), [(2024.0, 1.0), (1e6, 1.0), (1e9, 10.0), (-1e12, 1e3)])
def test_an_offset_costs_no_digits(low: float, span: float) -> None:
    scaling = Scaling("minmax", np.array([low]), np.array([low + span]))
    shares = np.linspace(0, 1, 7, dtype=np.float32)[:, None]
    exact = low + span * shares.astype(np.float64)
    assert np.abs(scaling.invert(shares) - exact).max() / span < 1e-6
    assert scaling.invert(shares).min() >= low


def test_a_compact_model_is_compact() -> None:
    genome = scaled_model().pair.encoder.genome.copy()
    ARCHITECTURE.encoder.weight(genome, 1)[0] = 0
    model = scaled_model()
    pair = replace(model.pair, encoder=replace(model.pair.encoder, genome=genome))
    small = replace(model, pair=pair).compacted()
    assert small.compaction is not None
    assert small.compaction.code == (1,)
    assert small.compacted() is small
