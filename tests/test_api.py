"""The library as a notebook uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY
from patience import PATIENCE_S

import aes_lipi
from aes_lipi import analysis
from aes_lipi.execution.dry_run import stored_size_line

FIELDS = {**TINY, "hidden_sizes": [4], "trials": 1}


def test_a_study_runs_and_its_model_loads(tmp_path: Path) -> None:
    study = aes_lipi.load_study("best_of_lipi", FIELDS)
    results = aes_lipi.run(study, tmp_path / "out")
    assert len(results.trials) == 4
    assert len(results.failures) == 0
    variant = results.trials["variant"][0]
    model = aes_lipi.load_model(tmp_path / f"out/models/variant={variant}/trial=0000.safetensors")
    x = np.zeros((5, 7), dtype=np.float32)
    assert model.encode(x).shape == (5, 3)
    np.testing.assert_array_equal(model.decode(model.encode(x)), model.reconstruct(x))
    assert len(aes_lipi.load_results(tmp_path / "out").generations) == 4 * 3 * 4


def test_a_changed_study_replaces_another_on_request(tmp_path: Path) -> None:
    first, second = (
        aes_lipi.load_study("capacity", {**FIELDS, "epochs": epochs}) for epochs in (1, 2)
    )
    aes_lipi.run(first, str(tmp_path / "out"))
    with pytest.raises(aes_lipi.UserError, match=r"epochs: 1 there, 2 asked for"):
        aes_lipi.run(second, str(tmp_path / "out"))
    results = aes_lipi.run(second, str(tmp_path / "out"), fresh=True)
    assert set(results.trials["epochs"]) == {2}
    assert results.skipped == ()


def test_the_size_of_all_centres_is_said_and_asked_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    published = aes_lipi.load_study("best_of_lipi", {"store_generations": "all"})
    line = r"all generations take 110\.3 GiB, up to 0\.92 GiB a trial; give yes=True if there is"
    with pytest.raises(aes_lipi.UserError, match=line):
        aes_lipi.run(published, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    agreed = stored_size_line([published], agreed=True, flag="yes=True")
    assert agreed.endswith("GiB a trial")
    with caplog.at_level("INFO", "aes_lipi"):
        fields = {**FIELDS, "store_generations": "all", "prune_method": "None"}
        aes_lipi.run(aes_lipi.load_study("quickstart", fields), tmp_path / "out")
    assert "the centres of all generations take 0.0 MiB, up to 0.00 MiB a trial" in caplog.text


def test_a_study_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("settings: {epochs: [1, 2]}\n")
    study = aes_lipi.load_study(tmp_path / "mine.yaml", {"trials": 2})
    assert (study.name, study.n_trials) == ("mine", 4)


def test_trials_that_stop_early_say_so_and_are_compared_at_their_answers(tmp_path: Path) -> None:
    rule = {"patience": 2, "learning_rate": 0.1, "learning_rate_policy": "constant"}
    fields = {**FIELDS, **rule, "epochs": 12, "trials": 3, "prune_method": "None"}
    results = aes_lipi.run(aes_lipi.load_study("quickstart", fields), tmp_path / "out")
    ran = results.generations.groupby("trial")["generation"].max() + 1
    assert (results.trials["epochs_run"].to_numpy() == ran.to_numpy()).all()
    assert set(results.trials["stopped"]) == {"patience"}
    assert len(set(results.trials["epochs_run"])) > 1
    best = results.generations.groupby(["trial", "generation"])["validation_loss"].min()
    found = best.groupby("trial").idxmin().to_list()
    assert found == list(enumerate(results.trials["best_generation"]))
    [sample] = analysis.generation_samples(analysis.read_measurements(tmp_path / "out"))
    np.testing.assert_allclose(sample.values, results.trials["mean_L1"], rtol=1e-12)


def test_only_public_names_are_offered() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = aes_lipi.nonsense


THREADS = """\
import numpy as np
import aes_lipi
rows = np.random.default_rng(0).normal(size=(400, 333))
def fitted():
    settings = {"engine": "torch"}
    ring = aes_lipi.AutoencoderRing(epochs=3, random_state=0, batch_size=100, settings=settings)
    return ring.fit(rows).model_.pair.encoder.genome
first, second = fitted(), fitted()
assert (first == second).all(), np.abs(first - second).max()
"""


def test_the_first_fit_of_a_process_has_the_bits_of_the_second(tmp_path: Path) -> None:
    """One thread computes, whether torch was there when its number was limited or not."""
    clean = {name: value for name, value in os.environ.items() if "THREADS" not in name}
    command = [sys.executable, "-c", THREADS]
    subprocess.run(command, cwd=tmp_path, env=clean, check=True, timeout=PATIENCE_S)
