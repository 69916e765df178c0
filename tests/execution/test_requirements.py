"""What is refused before anything of it is made: bounds of fields, memory, twins."""

from __future__ import annotations

import io
import resource
import shutil
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import random_pair, tiny_study, tiny_variant

from aes_lipi.config import StudyFile, Variant, resolve_study
from aes_lipi.errors import UserError
from aes_lipi.execution import local
from aes_lipi.execution.dry_run import check_feasible
from aes_lipi.execution.inputs import architecture_on_hand, with_digests
from aes_lipi.execution.limits import allowed_memory, limits_of
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.messages import jobs_of
from aes_lipi.execution.ray.capacity import Capacity
from aes_lipi.execution.requirements import (
    check_batch,
    check_needs,
    needed_memory,
    stored_size,
    worker_memory,
)
from aes_lipi.models import Model, save_model
from aes_lipi.results.object_storage import _read_from
from aes_lipi.results.storage import LocalStorage

WHOLE_NUMBERS = [
    name for name, field in Variant.model_fields.items() if "int" in str(field.annotation)
]


@pytest.mark.parametrize("name", WHOLE_NUMBERS)
@pytest.mark.parametrize("value", [2**63, 10**20, "99999999999999999999", "1e21"])
def test_no_whole_number_is_beyond_what_results_can_hold(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=name):
        resolve_study("s", StudyFile(settings={name: value}), {})


def test_a_radius_beyond_the_ring_is_refused_with_the_one_that_reaches_all() -> None:
    with pytest.raises(UserError, match=r"goes beyond a ring of 4; 2 reaches every cell"):
        resolve_study("s", StudyFile(), {"radius": 5, "population_size": 4})
    assert tiny_variant(radius=2).radius == 2
    assert Variant(cell_evaluation="ann_canonical", radius=5).radius == 0


def test_a_batch_of_more_rows_than_there_are_is_refused() -> None:
    check_batch(12, 12)
    with pytest.raises(UserError, match=r"batch_size: 13 is more than the 12 rows to train on"):
        check_feasible(tiny_variant(batch_size=13))


def needs(**settings: Any) -> dict[str, int]:
    variant = tiny_variant(**settings)
    return needed_memory(variant, architecture_on_hand(variant), 12)


def test_what_a_trial_needs_grows_with_what_it_is_made_of() -> None:
    least = needs()
    assert all(value > 0 for value in least.values())
    for name, settings in {
        "weights": {"population_size": 40},
        "batches": {"batch_size": 50},
        "loss matrix": {"radius": 2},
        "records": {"epochs": 30},
        "data": {"n_dim": 70},
    }.items():
        assert needs(**settings)[name] > least[name]
    stored = needs(store_generations="recorded", record_interval=1)["records"] - least["records"]
    architecture = architecture_on_hand(tiny_variant())
    assert stored == 4 * 3 * architecture.n_parameters * 4
    everything = needs(store_generations="all")["records"] - least["records"]
    assert everything == 4 * stored  # copies of them, in the end


def test_the_centres_of_all_generations_are_about_a_gigabyte_of_a_published_trial() -> None:
    published = Variant(store_generations="all")
    size = stored_size(published, architecture_on_hand(published))
    assert size == 400 * 10 * 61_670 * 4
    pairs = tiny_variant(store_generations="all", cell_evaluation="all_vs_all", population_size=3)
    ring = tiny_variant(store_generations="all", population_size=3)
    architecture = architecture_on_hand(ring)
    assert stored_size(pairs, architecture) == 3 * stored_size(ring, architecture)
    records = [needed_memory(each, architecture, 12)["records"] for each in (pairs, ring)]
    assert records[0] == 3 * records[1]


def test_what_needs_more_memory_than_there_is_is_refused_with_the_sum(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    needed = {"weights": 3 * 2**30, "data": 2**30, "records": 2**10}
    check_needs(needed, sum(needed.values()))
    with pytest.raises(UserError, match=r"needs 4\.0 GiB at the least \(weights 3\.0 GiB, data 1"):
        check_needs(needed, 4 * 2**30)
    huge = tiny_variant(population_size=1_000_000, hidden_sizes=(5000,), n_dim=1000)
    with pytest.raises(UserError, match=r"a trial needs [\d,.]+ GiB at the least \(weights"):
        check_feasible(huge)
    wide = tiny_variant(population_size=1_000_000, radius=999_999)
    with pytest.raises(UserError, match=r"\(loss matrix"):
        check_feasible(wide)
    check_feasible(tiny_variant())
    monkeypatch.setattr(resource, "getrlimit", lambda which: (2**28, 2**28))
    assert allowed_memory() <= 2**28


def test_a_worker_takes_its_libraries_and_what_a_trial_needs() -> None:
    needed = needs()
    alone = worker_memory(needed, "dense", shares_data=False)
    assert 100 * 2**20 < alone < worker_memory(needed, "torch", shares_data=False) < 300 * 2**20
    large = needed | {"data": 2**30}
    assert worker_memory(large, "dense", shares_data=False) - alone > 2.9 * 2**30
    assert worker_memory(large, "dense", shares_data=True) - alone <= 0
    more = needed | {"records": 2**30}
    assert worker_memory(more, "dense", shares_data=True) - alone > 2**30 - 2**20


def test_fewer_workers_run_where_data_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    some = replace(limits_of(), memory=2**31, cores=64, present=64, quota=None)
    monkeypatch.setattr(local, "limits_of", lambda: some)
    counts = []
    for n in (4, 40_000):
        study = tiny_study(trials=64, n_examples_per_cluster=n, n_dim=500, n_clusters=2)
        n_workers, said, _ = LocalRunner(None)._arranged(jobs_of(study))
        counts.append(n_workers)
        assert "trials at a time: 2.0 GiB of memory are free" in said
    assert counts == [12, 3]


@pytest.mark.parametrize(
    ("nodes", "together", "expected"),
    [
        ([{"memory": 3.0, "object_store_memory": 1.0}, {"memory": 2.0}], False, 4),
        ([{"memory": 3.0, "object_store_memory": 1.0}, {"memory": 2.0}], True, 6),
        ([{"memory": 3.0}, {"CPU": 2.0}], True, None),
        ([], True, None),
    ],
)
def test_the_memory_of_a_cluster_is_that_of_its_nodes(
    nodes: list[dict[str, float]], together: bool, expected: int | None
) -> None:
    assert Capacity(tuple(nodes)).memory(together) == expected
    assert Capacity(tuple(nodes), open_ended=True).memory(together) is None


def test_a_trial_that_no_node_can_hold_is_refused() -> None:
    check_feasible(tiny_variant(), here=False, memory=2**30)
    check_feasible(tiny_variant(), here=False, memory=None)
    with pytest.raises(UserError, match=r"where 0\.0 GiB may be used"):
        check_feasible(tiny_variant(), here=False, memory=2**10)


def test_the_same_rows_under_two_names_are_refused(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).random((30, 7))
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", rows)
    np.save(tmp_path / "c.npy", rows + 1)
    named = [str(tmp_path / f"{name}.npy") for name in ("a", "b", "c")]
    with pytest.raises(UserError, match=r"data: .+a\.npy and .+b\.npy come to the same content"):
        with_digests(own(named))
    assert len(with_digests(own(named[1:])).variants) == 2
    with pytest.raises(UserError, match="come to the same content"):
        with_digests(own([named[0], f"{tmp_path}/./a.npy"]))


def own(data: list[str]) -> Any:
    return resolve_study("own", StudyFile(settings={"data": data, "scale": "minmax"}), {})


def test_the_same_models_under_two_names_are_refused(tmp_path: Path) -> None:
    architecture = architecture_on_hand(tiny_variant())
    save_model(tmp_path / "a.safetensors", Model(architecture, random_pair(architecture, 0)))
    shutil.copy(tmp_path / "a.safetensors", tmp_path / "b.safetensors")
    named = [str(tmp_path / f"{name}.safetensors") for name in ("a", "b")]
    with pytest.raises(UserError, match=r"ann_path: .+a\.saf.+ and .+b\.saf.+ come to the same"):
        with_digests(tiny_study(ann_path=named))


def test_reading_a_small_file_takes_little_memory_whatever_the_limit(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x" * 2000)
    tracemalloc.start()
    assert len(LocalStorage(tmp_path).read("small", 2**28) or b"") == 2000
    assert len(_read_from(io.BytesIO(b"x" * 2000), 2**28)) == 2000
    assert _read_from(io.BytesIO(b"x" * 2000), 3) == b"xxx"
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 2**22
