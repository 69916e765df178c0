"""The same study in one process, as tasks, and as actors on three nodes: the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import tiny_study
from ray_processes import NodeProcesses, parent_of
from studies import Listener, assert_same_study
from studies import run_study as run_here

from aes_lipi.config import Study
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import Summary, run_study
from aes_lipi.execution.study import TrialProgress
from aes_lipi.results.reading import load_results

pytestmark = pytest.mark.xdist_group("ray")

SETTINGS: dict[str, Any] = {
    "cell_evaluation": ["lipi_simple", "all_vs_all"],
    "prune_method": "activation",
    "prune_probability": 0.5,
    "pruned_weights": "frozen",
}
PLACEMENTS = {
    "whole rings in tasks": ClusterOptions(placement="trial"),
    "a cell per actor, with a barrier": ClusterOptions(cells_per_actor=1, window=1),
    "two cells per actor": ClusterOptions(cells_per_actor=2),
    "chosen": ClusterOptions(),
}


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    study = tiny_study(trials=1, epochs=5, population_size=4, **SETTINGS)
    directory = tmp_path_factory.mktemp("one") / "study"
    assert run_here(study, directory) == Summary(2, 0)
    return study, directory


@pytest.mark.parametrize(
    "placement",
    [
        name if name.startswith("two") else pytest.param(name, marks=pytest.mark.slow)
        for name in PLACEMENTS
    ],
)
def test_a_study_has_the_same_bits_wherever_its_cells_are(
    placement: str,
    three_nodes: NodeProcesses,
    in_one_process: tuple[Study, Path],
    tmp_path: Path,
) -> None:
    study, directory = in_one_process
    runner = ClusterRunner(PLACEMENTS[placement])
    assert run_study(study, tmp_path / "cluster", runner) == Summary(2, 0)
    assert_same_study(directory, tmp_path / "cluster")


@pytest.mark.slow
def test_a_ring_on_actors_stops_where_it_does_here(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    stopping: dict[str, Any] = {"epochs": 14, "record_interval": 2, "patience": 2}
    rates: dict[str, Any] = {"learning_rate": 0.1, "learning_rate_policy": "plateau"}
    study = tiny_study(trials=1, plateau_patience=1, optimizer_state="cell", **stopping, **rates)
    run_here(study, tmp_path / "one")
    options = ClusterOptions(cells_per_actor=2)
    assert run_study(study, tmp_path / "cells", ClusterRunner(options)) == Summary(1, 0)
    assert_same_study(tmp_path / "one", tmp_path / "cells")
    [trial] = load_results(tmp_path / "cells").trials.to_dict("records")
    assert trial["stopped"] == "patience"
    assert trial["best_generation"] == trial["epochs_run"] - 5 < 9


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(
            {"optimizer_state": "cell", "update_order": "synchronous", "store_all_nodes": True},
            marks=pytest.mark.slow,
        ),
        pytest.param({"population_size": 9, "topology": "grid"}, marks=pytest.mark.slow),
        pytest.param({"population_size": 1}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_settings_that_travel_with_the_cells(
    settings: dict[str, Any], three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    study = tiny_study(trials=1, epochs=4, prune_method="random", **settings)
    run_here(study, tmp_path / "one")
    resources = (("CPU", 0.5),)
    pairs = study.variants[0].population_size % 2 == 0
    options = ClusterOptions(cells_per_actor=2 if pairs else 1, resources=resources)
    assert run_study(study, tmp_path / "cells", ClusterRunner(options)) == Summary(1, 0)
    assert_same_study(tmp_path / "one", tmp_path / "cells")


class _Spread(Listener):
    """Looks how many nodes hold cell actors."""

    def __init__(self, nodes: NodeProcesses) -> None:
        self._nodes = nodes
        self.nodes_with_cells = 0

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        parents = {parent_of(pid) for pid in self._nodes.workers("CellActor")}
        self.nodes_with_cells = max(self.nodes_with_cells, len(parents))


@pytest.mark.slow
def test_a_ring_spans_nodes(three_nodes: NodeProcesses, tmp_path: Path) -> None:
    study = tiny_study(trials=1, epochs=40, population_size=6)
    options = ClusterOptions(cells_per_actor=1, resources=(("CPU", 1.0),))
    spread = _Spread(three_nodes)
    run_study(study, tmp_path / "s", ClusterRunner(options), spread)
    assert spread.nodes_with_cells == 3
    run_here(study, tmp_path / "one")
    assert_same_study(tmp_path / "one", tmp_path / "s")


@pytest.mark.slow
def test_asynchronous_cells_are_replayed_exactly(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    study = tiny_study(
        trials=1, epochs=20, population_size=3, update_order="asynchronous", prune_method="random"
    )
    free = ClusterRunner(ClusterOptions(cells_per_actor=1))
    assert run_study(study, tmp_path / "free", free) == Summary(1, 0)
    generations = load_results(tmp_path / "free").generations
    assert (generations["read_generations"].map(max) < 20).all()
    assert (generations["read_generations"].map(len) == 3).all()
    again = ClusterRunner(ClusterOptions(cells_per_actor=3))
    run_study(study, tmp_path / "again", again, replay=tmp_path / "free")
    assert_same_study(tmp_path / "free", tmp_path / "again")
    run_study(study, tmp_path / "here", LocalRunner(1), replay=tmp_path / "free")
    assert_same_study(tmp_path / "free", tmp_path / "here")
