"""What a study starts from counts by its content, and what is half there does not count."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import TINY, tiny_study
from own_tables import own_data, write_table
from studies import run_study

import aes_lipi
from aes_lipi.config import StudyFile, Variant, resolve_study
from aes_lipi.data.load import load_dataset
from aes_lipi.errors import UserError
from aes_lipi.execution import run
from aes_lipi.execution.inputs import architecture_of, with_digests
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.messages import Remarked
from aes_lipi.execution.run import Summary
from aes_lipi.models import read_model
from aes_lipi.results.model_files import warm_start_files
from aes_lipi.results.reading import load_results

PLAIN = {
    name: value
    for name, value in TINY.items()
    if name not in ("n_clusters", "n_examples_per_cluster", "n_dim")
}


def test_a_data_file_that_changed_is_another_study(tmp_path: Path) -> None:
    rows = (np.random.default_rng(0).random((40, 6)) < 0.5).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    (tmp_path / "study.yaml").write_text(f"settings: {{data: {tmp_path / 'rows.npy'}}}\n")
    fields = {**PLAIN, "hidden_sizes": [4], "trials": 1}
    study = aes_lipi.load_study(tmp_path / "study.yaml", fields)
    aes_lipi.run(study, tmp_path / "out")
    shutil.copy(tmp_path / "rows.npy", tmp_path / "renamed.npy")
    renamed = aes_lipi.load_study(
        tmp_path / "study.yaml", fields | {"data": str(tmp_path / "renamed.npy")}
    )
    assert renamed.variants[0].id == study.variants[0].id
    np.save(tmp_path / "rows.npy", 1 - rows)
    with pytest.raises(UserError, match="different study"):
        aes_lipi.run(aes_lipi.load_study(tmp_path / "study.yaml", fields), tmp_path / "out")
    with pytest.raises(UserError, match="changed since the study was made"):
        load_dataset(study.variants[0])


def test_saved_models_count_by_their_content(tmp_path: Path) -> None:
    for seed in (1, 2):
        run_study(tiny_study(trials=1, rng_seed=seed), tmp_path / f"from{seed}")
    shutil.copytree(tmp_path / "from1", tmp_path / "models")
    study = tiny_study(trials=1, ann_path=str(tmp_path / "models"))
    run_study(study, tmp_path / "out")
    shutil.rmtree(tmp_path / "models")
    shutil.copytree(tmp_path / "from2", tmp_path / "models")
    with pytest.raises(UserError, match="different study"):
        run_study(study, tmp_path / "out")


def test_a_pruned_model_is_trained_on_with_its_weights_frozen(tmp_path: Path) -> None:
    pruned = tiny_study(
        trials=1, prune_method="random", prune_probability=1.0, pruned_weights="frozen"
    )
    run_study(pruned, tmp_path / "pruned")
    tuned = tiny_study(trials=1, pruned_weights="frozen", ann_path=str(tmp_path / "pruned"))
    run_study(tuned, tmp_path / "tuned")
    [path] = (tmp_path / "tuned/models").rglob("*.safetensors")
    network = read_model(path).pair.decoder
    assert network.mask is not None
    assert (network.genome[~network.mask] == 0).all()
    assert not network.mask.all()


def test_models_of_trials_that_were_not_committed_are_not_used(tmp_path: Path) -> None:
    run_study(tiny_study(trials=2), tmp_path / "s")
    next((tmp_path / "s/committed").rglob("trial=0001.json")).unlink()
    assert [path.name for path in warm_start_files(tmp_path / "s")] == ["trial=0000.safetensors"]


def test_generations_of_trials_that_were_not_committed_are_not_read(tmp_path: Path) -> None:
    run_study(tiny_study(trials=2), tmp_path / "s")
    next((tmp_path / "s/trials").rglob("trial=0001.parquet")).unlink()
    results = load_results(tmp_path / "s")
    assert set(results.generations["trial"]) == {0}
    assert len(results.generations) == 3 * 4


def test_a_committed_trial_has_not_failed(tmp_path: Path) -> None:
    study = tiny_study(trials=1)
    run_study(study, tmp_path / "s")
    row = next((tmp_path / "s/trials").rglob("*.parquet"))
    left_over = Path(str(row).replace("/trials/", "/failures/"))
    left_over.parent.mkdir(parents=True)
    shutil.copy(row, left_over)
    assert run_study(study, tmp_path / "s") == Summary(committed=1, failed=0)


def test_a_folder_may_be_named_like_an_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_study(tiny_study(trials=1), Path("run:1")) == Summary(1, 0)


def test_no_trial_at_a_time_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        run_study(tiny_study(), tmp_path / "s", jobs=0)


def test_the_callers_environment_is_left_alone(tmp_path: Path) -> None:
    before, handler = dict(os.environ), signal.getsignal(signal.SIGINT)
    run_study(tiny_study(trials=2), tmp_path / "s", jobs=2)
    assert dict(os.environ) == before
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ("n_dim", "given", "expected"), [(3, None, 1), (8, None, 4), (40, None, 10), (3, 5, 5)]
)
def test_the_code_of_an_own_table_is_narrower_than_the_table(
    n_dim: int, given: int | None, expected: int
) -> None:
    own = Variant(data="table.parquet", latent_size=given)
    assert architecture_of(own, n_dim).latent_size == expected
    assert architecture_of(Variant(latent_size=given), n_dim).latent_size == (given or 10)


def test_settings_of_text_count_only_where_they_change_what_is_read(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((40, 4))
    path = tmp_path / "rows.csv"

    def settled(**flags: str) -> Variant:
        study = resolve_study("x", StudyFile(settings={"data": str(path)}), flags)
        return with_digests(study).variants[0]

    pd.DataFrame(values, columns=list("abcd")).to_csv(path, index=False)
    plain = settled()
    for flags in ({"header": "yes"}, {"separator": ","}, {"header": "yes", "separator": "comma"}):
        assert settled(**flags) == plain
    pd.DataFrame(values, columns=[400, 500, 600, 700]).to_csv(path, index=False)
    named, bare = settled(header="yes"), settled(header="no")
    assert named == settled(header="yes", separator="comma")
    assert named.id != bare.id
    assert (named.header, named.separator) == ("yes", "auto")


def test_a_study_says_what_it_reads_when_it_starts(tmp_path: Path) -> None:
    write_table(tmp_path / "table.parquet")
    said: list[str] = []

    def watch(_: object, event: object, *__: object) -> None:
        if isinstance(event, Remarked):
            said.append(event.text)

    study = own_data(tmp_path / "table.parquet", epochs=1)
    line = "table.parquet: 120 rows, 7 columns named column 0..column 6, no index, 1 constant"
    for number in range(2):  # the second time there is nothing to do
        run.run_study(study, tmp_path / "out", LocalRunner(1), watch)
        assert said == [line], number
