"""No setting is idle: trials with two values of it differ in more than the setting's own column.

Of a choice all values are tried, each beside each: one that does what another does is idle, too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import numpy as np
import pandas as pd
import pytest
from helpers import tiny_study
from safetensors.numpy import load
from studies import without_timing

from aes_lipi.config import BUILT_IN, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import with_digests
from aes_lipi.execution.messages import Computed, Failed, Job, Message, Refused
from aes_lipi.execution.trial import run_trials

Settings = Mapping[str, Any]

OWN_ROWS = {"n_clusters": None, "n_examples_per_cluster": None, "n_dim": None, "data": "rows.csv"}
PRUNED = {"prune_method": "random", "prune_probability": 0.6, "epochs": 6}
GRADUAL = {**PRUNED, "prune_schedule": "gradual"}
LEXICASE = {"prune_method": "lexicase", "prune_schedule": "fixed", "prune_probability": 1.0}
DECAY = {**GRADUAL, "epochs": 8, "learning_rate_policy": "cosine"}
LATE = {"record_interval": 2, "epochs": 5}
WILD = {
    "environment": "VariationalAutoencoderBinaryClustering",
    "engine": "torch",
    "learning_rate": 10.0,
    "learning_rate_policy": "constant",
    "epochs": 30,
}

AS_PUBLISHED = {"DenoisingAutoencoderBinaryClustering"}
"""Without noise, as published: the plain one."""

VALUES: dict[str, tuple[Settings, tuple[Any, ...]]] = {
    "dataset_name": ({"n_dim": None}, ("2_6_7", "2_6_9")),
    "n_clusters": ({}, (2, 3)),
    "n_examples_per_cluster": ({}, (6, 8)),
    "n_dim": ({}, (7, 8)),
    "noise_probability": ({}, (0.05, 0.5)),
    "test_noise": ({"noise_probability": 0.4}, ("shared", "independent")),
    "dataset_seed": ({"noise_probability": 0.4}, (1, 2)),
    "data": (OWN_ROWS, ("rows.csv", "other_rows.csv")),
    "header": ({**OWN_ROWS, "data": "bare.csv"}, ("auto", "yes")),
    "separator": ({**OWN_ROWS, "data": "bare.csv"}, ("comma", "semicolon")),
    "scale": (OWN_ROWS, ("none", "minmax", "standard", "robust", "quantile", "power")),
    "columns": (OWN_ROWS, (None, ("a", "b", "c"))),
    "drop_columns": (OWN_ROWS, (None, ("c",))),
    "label": (OWN_ROWS, (None, "c")),
    "impute": ({**OWN_ROWS, "data": "gaps.csv"}, ("none", "median", "constant")),
    "one_hot": ({**OWN_ROWS, "data": "words.csv"}, (False, True)),
    "test_fraction": (OWN_ROWS, (0.2, 0.4)),
    "validation_fraction": (OWN_ROWS, (0.1, 0.3)),
    "cell_data_fraction": ({}, (1.0, 0.5)),
    "no_shuffle_data": ({}, (False, True)),
    "environment": (
        {"hidden_sizes": None, "latent_size": None, "epochs": 1},
        tuple(each for each in BUILT_IN["environment"] if each not in AS_PUBLISHED),
    ),
    "hidden_sizes": ({}, ((4,), (5,))),
    "latent_size": ({}, (3, 2)),
    "input_noise": ({}, (0.0, 0.4)),
    "loss": ({}, BUILT_IN["loss"]),
    "hidden_activation": ({}, ("relu", "tanh", "gelu", "leaky_relu")),
    "output_activation": ({}, ("sigmoid", "linear")),
    "initial_weights": (
        {"environment": "LinearCodeAutoencoder", "output_activation": "linear"},
        ("random", "pca"),
    ),
    "identical_initial_networks": ({}, (False, True)),
    "ann_path": ({}, (None, "model.safetensors")),
    "cell_evaluation": (
        PRUNED,
        ("lipi_simple", "lipi_simple_pte", "epoch-node", "all_vs_all", "ann_canonical"),
    ),
    "population_size": ({}, (4, 5)),
    "topology": ({"population_size": 8}, ("ring", "grid", "complete", "star")),
    "edges": ({"topology": "graph"}, ("path.txt", "star.txt")),
    "graph": ({"topology": "graph"}, ("1;0 2;1 3;2", "1 2 3;0;0;0")),
    "radius": ({"population_size": 6}, (1, 2)),
    "grid_rows": ({"population_size": 12, "topology": "grid"}, (3, 2)),
    "update_order": ({}, ("sequential", "synchronous")),
    "solution_concept": (
        {"population_size": 6, "epochs": 8},
        ("best_case", "worst_case", "mean_expected_utility"),
    ),
    "tournament_size": ({}, (2, 1)),
    "final_cell": (
        {"noise_probability": 0.4, "population_size": 9, "rng_seed": 4},
        ("best_on_test", "best_on_validation", "first"),
    ),
    "epochs": ({}, (3, 4)),
    "batch_size": ({}, (5, 4)),
    "learning_rate": ({}, (0.01, 0.02)),
    "learning_rate_policy": (
        {"epochs": 8, "learning_rate": 1.0, "plateau_patience": 1},
        ("walk", "step", "constant", "cosine", "linear", "plateau"),
    ),
    "decay_from": (DECAY, ("start", "gradual_end")),
    "warmup": (DECAY, (0, 3)),
    "plateau_patience": (
        {"epochs": 12, "learning_rate": 1.0, "learning_rate_policy": "plateau"},
        (1, 4),
    ),
    "patience": ({"epochs": 20, "learning_rate": 1.0}, (None, 1)),
    "target_loss": ({}, (None, 0.9)),
    "learning_rate_sd": ({}, (1e-5, 1e-3)),
    "optimizer_state": ({}, ("step", "generation", "cell")),
    "on_divergence": (WILD, ("fail", "skip")),
    "prune_method": (
        {**PRUNED, "prune_probability": 1.0},
        BUILT_IN["prune_method"],
    ),
    "prune_schedule": ({**PRUNED, "epochs": 12}, BUILT_IN["prune_schedule"]),
    "prune_probability": (PRUNED, (0.6, 0.2)),
    "prune_amount": (PRUNED, (0.1, 0.5)),
    "prune_unit": ({**PRUNED, "prune_amount": 0.4}, ("weight", "node", "hidden_node")),
    "lexi_threshold": (LEXICASE, (0.1, 0.9)),
    "pruned_weights": (PRUNED, ("regrow", "frozen")),
    "lexicase_split": ({**LEXICASE, "noise_probability": 0.4}, ("test", "validation")),
    "schedule_horizon": (
        {**PRUNED, "cell_evaluation": "ann_canonical", "prune_schedule": "increase"},
        ("published", "sound"),
    ),
    "decrease_from": ({**PRUNED, "prune_schedule": "decrease"}, ("one", "probability")),
    "final_n_start": ({**PRUNED, "prune_schedule": "final_n"}, (0.75, 0.25)),
    "exponential_rate": ({**PRUNED, "prune_schedule": "exponential"}, (2.0, 0.1)),
    "gradual_start": (GRADUAL, (0.0, 0.5)),
    "gradual_end": (GRADUAL, (0.75, 0.5)),
    "record_interval": (LATE, (2, 3)),
    "record_test_loss": ({}, (True, False)),
    "measurement": ({}, ("published", "sound")),
    "retrieval_measures": ({}, (False, True)),
    "store_all_nodes": ({}, (False, True)),
    "store_generations": (LATE, ("none", "recorded", "all")),
    "rng_seed": ({}, (1, 2)),
    "engine": ({}, ("dense", "torch")),
    "device": ({}, ("cpu", "cuda")),
}
"""By field: settings beside which its values matter, and these values."""

FILLED_IN = {"data_digest", "ann_digest", "plugins_digest"}
"""By the driver, from what other fields name."""

OF_COMPARISONS = {"name", "is_control"}
"""For tables and figures: `test_labels` and `test_control_rule` have them."""

NEEDS_A_MODULE = {"metrics"}
"""Of a user's: `extension` has them."""

ALIASES: dict[str, set[Any]] = {
    "header": {"no"},
    "engine": {"auto"},
    "device": {"auto"},
    "topology": {"graph"},
    "environment": AS_PUBLISHED,
    "update_order": {"asynchronous"},
}
"""Values that stand for one of the others here, or that need another field."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, graphs and a model."""
    folder = tmp_path_factory.mktemp("files")
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.beta(0.4, 0.9, (30, 5)).round(3), columns=list("abcde"))
    table.to_csv(folder / "rows.csv", index=False)
    (1 - table).round(3).to_csv(folder / "other_rows.csv", index=False)
    table.to_csv(folder / "bare.csv", index=False, header=False)
    table.mask(rng.random(table.shape) < 0.1).to_csv(folder / "gaps.csv", index=False)
    table.assign(e=rng.choice(["red", "blue"], 30)).to_csv(folder / "words.csv", index=False)
    (folder / "path.txt").write_text("0 1\n1 2\n2 3\n")
    (folder / "star.txt").write_text("0 1\n0 2\n0 3\n")
    trained = _ended({"rng_seed": 9})
    assert isinstance(trained, Computed)
    (folder / "model.safetensors").write_bytes(trained.files.model)
    return folder


@pytest.mark.parametrize("field", VALUES)
def test_no_two_values_give_the_same_trial(
    field: str, files: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(files)
    beside, values = VALUES[field]
    outcomes = {value: _outcome({**beside, field: value}) for value in values}
    same = [pair for pair in combinations(values, 2) if outcomes[pair[0]] == outcomes[pair[1]]]
    assert same == []


def test_every_setting_is_tried_with_every_choice() -> None:
    assert set(VALUES) == set(Variant.model_fields) - FILLED_IN - OF_COMPARISONS - NEEDS_A_MODULE
    for field, (_, values) in VALUES.items():
        assert set(values) >= _choices(field) - ALIASES.get(field, set()), field


def _choices(field: str) -> set[Any]:
    """What a field can be, of those whose values can be counted."""
    if field in BUILT_IN:
        return set(BUILT_IN[field])
    annotation = Variant.model_fields[field].annotation
    if annotation is bool:
        return {False, True}
    parts = [annotation, *get_args(annotation)]
    return {each for part in parts if get_origin(part) is Literal for each in get_args(part)}


def _outcome(settings: Settings) -> Any:
    """All that is stored of a trial but what it was told and when it was; or why it is refused."""
    try:
        message = _ended(settings)
    except UserError as error:
        return str(error)
    if isinstance(message, Refused):
        return message.message
    if isinstance(message, Failed):
        return message.error
    assert isinstance(message, Computed)
    trial, generations = (
        without_timing(pd.read_parquet(io.BytesIO(content)))
        for content in (message.files.trial, message.files.generations)
    )
    trial = trial.drop(columns=[name for name in trial if name in Variant.model_fields])
    weights = {name: array.tobytes() for name, array in load(message.files.model).items()}
    return trial.astype(str).to_dict(), generations.astype(str).to_dict(), weights


def _ended(settings: Settings) -> Message:
    """The last that a trial says."""
    study = with_digests(tiny_study(1, **settings))
    *_, (_, message) = run_trials([Job("settings", "it", study.variants[0], 0)])
    return message
