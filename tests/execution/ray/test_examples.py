"""Examples of the documentation on a real cluster: the bits of one process."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray_processes import NodeProcesses
from studies import assert_same_study

import aes_lipi
from aes_lipi.config import Study
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import run_study
from aes_lipi.results.reading import Results, load_results

pytestmark = [pytest.mark.xdist_group("ray"), pytest.mark.slow]

EXAMPLES = Path(__file__).parents[3] / "docs/examples"


@pytest.fixture(scope="module", autouse=True)
def _started_beside_the_examples(three_nodes: NodeProcesses) -> Iterator[None]:
    """Workers find modules where the driver was started."""
    options: Any = {
        "address": three_nodes.address,
        "log_to_driver": False,
        "logging_level": "ERROR",
    }
    with pytest.MonkeyPatch.context() as patch:
        ray.shutdown()
        patch.chdir(EXAMPLES)
        ray.init(**options)
    yield
    ray.shutdown()
    ray.init(**options)


NAMES = ("compare", "early_stop", "lineage", "metric", "own_environment", "own_operator")
PLACES: list[tuple[str, int | None]] = [
    *((name, None) for name in (*NAMES, "own_parameter", "own_schedule", "sweep")),
    *(("own_topology", cells_per_actor) for cells_per_actor in (None, 4)),
    *(("early_stop", 2), ("own_operator", 2), ("metric", 2)),
]
"""Examples, and the cells of an actor; None for whole trials as tasks."""


@pytest.mark.parametrize(("name", "cells_per_actor"), PLACES)
def test_examples_have_the_same_bits_on_a_cluster(
    name: str,
    cells_per_actor: int | None,
    three_nodes: NodeProcesses,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)

    def on_cluster(study: Study, output_dir: str, **_: Any) -> Results:
        placement: Any = "trial" if cells_per_actor is None else "cell"
        options = ClusterOptions(placement=placement, cells_per_actor=cells_per_actor)
        run_study(study, output_dir, ClusterRunner(options))
        return load_results(output_dir)

    for place, run in (("here", aes_lipi.run), ("there", on_cluster)):
        (folder := tmp_path / place).mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.setattr(aes_lipi, "run", run)
        runpy.run_path(str(EXAMPLES / f"{name}.py"))
    for study in (tmp_path / "here" / "results").iterdir():
        assert_same_study(study, tmp_path / "there" / "results" / study.name)
