"""What trials start from is made once, and mapped or copied where it is needed again.

Large files are read once, by the driver; workers map what it read.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import TINY, random_dataset
from studies import Killer, assert_same_study, run_study

from aes_lipi.config import Study, StudyFile, Variant, resolve_study
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.scaling import Scaling
from aes_lipi.errors import UserError
from aes_lipi.execution import inputs, local
from aes_lipi.execution.inputs import DATASETS_KEPT, SetupCache, SharedDataset, inputs_of
from aes_lipi.execution.run import Summary


def study_of(path: Path, **settings: object) -> Study:
    kept = {name: value for name, value in TINY.items() if not name.startswith("n_")}
    own = {**kept, "data": str(path), "scale": "minmax", "hidden_sizes": [4], **settings}
    return resolve_study("own", StudyFile(trials=3, settings=own), {})


def write(path: Path) -> Path:
    rng = np.random.default_rng(1)
    pd.DataFrame(rng.normal(size=(80, 7)), columns=list("abcdefg")).to_parquet(path)
    return path


def test_mapped_data_are_the_same_and_cannot_be_changed() -> None:
    scaling = Scaling("minmax", np.zeros(3), np.ones(3))
    dataset = replace(random_dataset(11, 3), columns=("a", "b", "c"), scaling=scaling)
    with inputs._shared(dataset) as held:
        mapped = held.mapped()
        for mine, theirs in zip(mapped.splits, dataset.splits, strict=True):
            assert np.array_equal(mine, theirs)
            assert not mine.flags.writeable
        assert (mapped.name, mapped.columns) == ("bits", ("a", "b", "c"))
        assert mapped.scaling is scaling


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="files without a name need /proc")
def test_another_process_maps_them_until_the_driver_is_done() -> None:
    program = "import numpy as np, sys; print(np.memmap(sys.argv[1], np.float32, 'r').sum())"
    dataset = random_dataset(50, 4)
    with inputs._shared(dataset) as held:
        command = [sys.executable, "-c", program, held.path]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert float(told) == sum(rows.sum() for rows in dataset.splits)
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_workers_that_map_have_the_bits_of_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(write(tmp_path / "table.parquet"), epochs=60, record_interval=30)
    assert run_study(study, tmp_path / "alone") == Summary(3, 0)
    monkeypatch.setattr(inputs, "SHARED_FROM", 1)
    killer = Killer(kills=1)
    assert run_study(study, tmp_path / "mapped", jobs=2, observer=killer) == Summary(3, 0)
    assert killer.kills == 0
    assert_same_study(tmp_path / "alone", tmp_path / "mapped")


def test_workers_map_what_the_driver_has_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is gone before any of them starts."""
    path = write(tmp_path / "table.parquet")

    @contextmanager
    def then_gone(variants: Iterable[Variant]) -> Iterator[dict[Hashable, SharedDataset]]:
        with inputs.large_files_shared(variants) as datasets:
            path.unlink()
            yield datasets

    monkeypatch.setattr(inputs, "SHARED_FROM", 1)
    monkeypatch.setattr(local, "large_files_shared", then_gone)
    assert run_study(study_of(path), tmp_path / "mapped", jobs=2) == Summary(3, 0)
    assert not path.exists()


def test_where_there_is_no_room_every_worker_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = study_of(write(tmp_path / "table.parquet"))
    run_study(study, tmp_path / "alone")
    monkeypatch.setattr(inputs, "SHARED_FROM", 1)
    monkeypatch.setattr("tempfile.tempdir", os.devnull)
    assert run_study(study, tmp_path / "read", jobs=2) == Summary(3, 0)
    assert_same_study(tmp_path / "alone", tmp_path / "read")


# What a process keeps at hand

SMALL = {"n_clusters": 2, "n_examples_per_cluster": 6, "n_dim": 20, "engine": "dense"}


def small(seed: int = 1, **settings: object) -> Variant:
    """A variant with little data."""
    return Variant.model_validate(SMALL | {"dataset_seed": seed} | settings)


def provide(variant: Variant) -> Dataset:
    return inputs_of(variant).dataset


def refuse(variant: Variant) -> Dataset:
    raise AssertionError(f"{variant.id} has data already")


def test_data_that_fit_are_copied_and_equal() -> None:
    given = provide(small())
    own = SetupCache(2 * given.n_bytes).setup(small(), provide).dataset
    for mine, theirs in zip(own.splits, given.splits, strict=True):
        assert not np.shares_memory(mine, theirs)
        assert np.array_equal(mine, theirs)


@pytest.mark.parametrize("short", [2, None])
def test_data_that_do_not_fit_or_need_not_be_copied_stay_where_they_are(short: int | None) -> None:
    given = provide(small())
    cache = SetupCache(None if short is None else 2 * given.n_bytes - short)
    assert cache.setup(small(), provide).dataset is given


def test_a_setup_is_made_once_for_trials_of_one_variant() -> None:
    cache = SetupCache()
    assert cache.setup(small(), provide) is cache.setup(small(), refuse)


def test_variants_of_the_same_data_share_them_and_an_engine_that_serves_both() -> None:
    cache = SetupCache(10**9)
    one = cache.setup(small(), provide)
    other = cache.setup(small(prune_method="random"), refuse)
    assert other is not one
    assert other.dataset is one.dataset
    assert other.engine is one.engine
    assert cache.setup(small(latent_size=3), refuse).engine is not one.engine


def test_the_data_that_were_not_used_for_longest_go_first() -> None:
    cache = SetupCache()
    made = [cache.setup(small(seed), provide) for seed in range(DATASETS_KEPT)]
    cache.setup(small(0), refuse)
    cache.setup(small(DATASETS_KEPT), provide)
    assert cache.setup(small(0), refuse) is made[0]
    assert cache.setup(small(1), provide) is not made[1]


def test_copies_of_several_data_sets_share_the_room() -> None:
    cache = SetupCache(3 * provide(small(1)).n_bytes)
    first = cache.setup(small(1), provide)
    cache.setup(small(2), provide)
    assert cache.setup(small(1), provide) is not first


@pytest.mark.parametrize("scale", ["standard", "robust", "power"])
def test_a_scaling_beyond_the_unit_interval_takes_an_output_that_can_be_there(
    scale: str, tmp_path: Path
) -> None:
    path = write(tmp_path / "x.parquet")
    [by_itself] = study_of(path, scale=scale).variants
    layers = inputs.prepare(by_itself).architecture.decoder.layers
    assert layers[-1].activation == "linear"
    [variant] = study_of(path, scale=scale, output_activation="sigmoid").variants
    with pytest.raises(UserError, match=f"scale: {scale} leaves values beyond .* linear output"):
        inputs.prepare(variant)
