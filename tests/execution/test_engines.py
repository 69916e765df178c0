"""Which engine computes a study, and that it does not matter."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import random_dataset, tiny_study, tiny_variant
from studies import run_study

from aes_lipi.autoencoders.environments import ENVIRONMENTS
from aes_lipi.config import Study, Variant
from aes_lipi.errors import UserError
from aes_lipi.execution.inputs import Inputs, prepare, prepare_with
from aes_lipi.results.reading import load_results

RING: dict[str, Any] = {
    "n_clusters": 5,
    "n_examples_per_cluster": 20,
    "n_dim": 60,
    "hidden_sizes": [[12]],
    "population_size": 3,
    "epochs": 60,
    "learning_rate": 1e-3,
    "learning_rate_sd": 1e-4,
    "record_interval": 60,
    "prune_method": "random",
    "prune_schedule": "exponential",
}


def mean_l1(study: Study, directory: Path) -> np.ndarray:
    run_study(study, directory, jobs=1)
    return load_results(directory).trials["mean_L1"].to_numpy()


@pytest.mark.slow
def test_whole_runs_agree_statistically_between_engines(tmp_path: Path) -> None:
    """Other rounding: trials differ, their distribution does not (4 standard errors)."""
    ours, theirs = (
        mean_l1(tiny_study(trials=6, engine=engine, **RING), tmp_path / engine)
        for engine in ("dense", "torch")
    )
    error = np.sqrt((ours.var(ddof=1) + theirs.var(ddof=1)) / 6)
    assert abs(ours.mean() - theirs.mean()) < 4 * error
    assert ours.mean() < 0.3  # both have learned: the untrained loss is 0.5


def test_the_engine_that_was_used_is_recorded(tmp_path: Path) -> None:
    study = tiny_study(trials=1, engine=["auto", "dense", "torch"], epochs=1)
    run_study(study, tmp_path / "s")
    trials = load_results(tmp_path / "s").trials.set_index("engine")
    used = {"auto": "dense", "dense": "dense", "torch": "torch"}
    assert trials["engine_used"].to_dict() == used
    assert set(trials["device_used"]) == {"cpu"}


@pytest.mark.parametrize("environment", sorted(ENVIRONMENTS))
def test_every_environment_has_an_engine(environment: str) -> None:
    assert prepare(tiny_variant(environment=environment)).engine.name in ("dense", "torch")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"engine": "dense", "device": "cuda"}, "computes on the CPU; use --engine torch"),
        ({"engine": "torch", "device": "cuda"}, "finds no GPU here"),
        ({"engine": "auto", "device": "cuda"}, "finds no GPU here"),
    ],
)
def test_an_engine_that_cannot_is_refused(settings: dict[str, str], told: str) -> None:
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(UserError, match=told):
        prepare(Variant.model_validate(settings))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("batched", "engine: the engine is called torch now, .*; use torch"),
        ("autograd", "engine: the engine torch, .*, took its place; use torch"),
    ],
)
def test_an_engine_of_earlier_versions_is_answered_with_what_took_its_place(
    name: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        tiny_study(engine=["dense", name])


def test_torch_is_not_imported_where_the_dense_engine_does_all(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'tests');"
        "from aes_lipi import load_study, run;"
        f"run(load_study('capacity', {{'n_dim': 6, 'epochs': 1}}), Path({str(tmp_path / 's')!r}));"
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_variants_share_an_engine_only_with_the_same_data_and_layers() -> None:
    one = prepare(tiny_variant(prune_method="random"))
    assert prepare(tiny_variant(prune_method="magnitude", epochs=5)).engine is one.engine
    assert prepare(tiny_variant(latent_size=2)).engine is not one.engine
    settings = tiny_variant()
    mine, yours = (random_dataset(8, 7, seed) for seed in (1, 2))
    engines = [prepare_with(settings, Inputs(rows)).engine for rows in (mine, yours, mine)]
    assert len({id(engine) for engine in engines}) == 3
