"""What is asked of a cluster: refused at once where it can never be met, else shared out."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import warm
from helpers import tiny_study
from patience import wait_until
from ray_processes import NOTICES_SOON, NodeProcesses
from studies import Listener, assert_same_study
from studies import run_study as run_here

from aes_lipi.errors import UserError
from aes_lipi.execution.ray.capacity import capacity_now, living_nodes
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.nodes import NodeCheck, NodeFacts, patience_s
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import Summary, run_study
from aes_lipi.execution.study import TrialProgress

pytestmark = pytest.mark.xdist_group("ray")


@pytest.mark.parametrize(
    ("settings", "options", "message"),
    [
        (
            {},
            ClusterOptions(resources=(("CPU", 64.0),)),
            r"--cell_resources: a trial task asks for 64 CPU, more than any node has \(at most 2",
        ),
        (
            {},
            ClusterOptions(cells_per_actor=1, resources=(("CPU", 64.0),)),
            r"--cell_resources: a cell actor asks for 64 CPU, more than any node has \(at most 2",
        ),
        (
            {},
            ClusterOptions(cells_per_actor=1, resources=(("CPU", 1.0), ("GPU", 0.25))),
            r"a cell actor asks for 1 CPU, 0.25 GPU, more than any node has .at most 2 CPU, 0 GPU",
        ),
        (
            {"population_size": 8},
            ClusterOptions(cells_per_actor=1, resources=(("CPU", 1.0),)),
            r"8 actors of 1 CPU each must run at the same time, and the cluster holds 6; ask for "
            r"less, hold more --cells_per_actor, or use --placement trial",
        ),
        (
            {"population_size": 1_000_000, "hidden_sizes": (5000,), "n_dim": 1000},
            ClusterOptions(),
            r"a trial needs [\d,.]+ GiB at the least \(weights .*, where [\d,.]+ GiB may be used",
        ),
        (
            {},
            ClusterOptions(cells_per_actor=3),
            r"--cells_per_actor 3: does not divide a population of 4; give one of 1, 2, 4, or auto",
        ),
    ],
)
def test_what_can_never_be_met_is_refused_before_anything_is_written(
    settings: dict[str, Any],
    options: ClusterOptions,
    message: str,
    three_nodes: NodeProcesses,
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=message) as error:
        run_study(tiny_study(**settings), tmp_path / "s", ClusterRunner(options))
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s").exists()


def test_when_a_silent_node_is_declared_dead_is_asked_of_the_cluster(
    three_nodes: NodeProcesses,
) -> None:
    each_s = (
        NOTICES_SOON["health_check_period_ms"] + 10_000
    ) / 1000  # ten seconds are Ray's default
    assert patience_s() == pytest.approx(NOTICES_SOON["health_check_failure_threshold"] * each_s)


LATER = ClusterOptions(cells_per_actor=1, resources=(("CPU", 0.25), ("later", 1.0)))


class _Growing(Listener):
    """Adds a node once the study waits for one, and another once a trial has ended."""

    def __init__(self, nodes: NodeProcesses) -> None:
        self._nodes = nodes
        self.added: list[Any] = []
        self.most_rings = 0

    def placed(self, nodes: int, cpus: float) -> None:
        if not self.added and nodes == 3 and not self._nodes.workers("TrialDriver"):
            self.add()

    def finished(self, trial: TrialProgress, error: str | None) -> None:
        if len(self.added) == 1:
            self.add()
        self.most_rings = max(self.most_rings, len(self._nodes.workers("TrialDriver")))

    def add(self) -> None:
        self.added.append(self._nodes.cluster.add_node(num_cpus=1, resources={"later": 4}))


@pytest.mark.slow
def test_a_cluster_that_grows_is_waited_for_and_made_use_of(
    three_nodes: NodeProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study(trials=14, epochs=150)
    with pytest.raises(UserError, match=r"a cell actor asks for 0.25 CPU, 1 later, more than"):
        run_study(study, tmp_path / "s", ClusterRunner(LATER))
    monkeypatch.setenv("KUBERAY_GEN_RAY_START_CMD", "ray start --head --no-monitor")
    growing = _Growing(three_nodes)
    try:
        assert run_study(study, tmp_path / "s", ClusterRunner(LATER), growing) == Summary(14, 0)
    finally:
        for node in growing.added:
            three_nodes.cluster.remove_node(node)
    assert growing.most_rings >= 2


def test_what_an_autoscaler_may_start_counts(
    three_nodes: NodeProcesses, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "ray_bootstrap_config.yaml").write_text(
        "{max_workers: 5, head_node_type: head, available_node_types: {"
        "head: {resources: {CPU: 9}}, small: {resources: {CPU: 1}},"
        "large: {resources: {CPU: 16, later: 2}, max_workers: 4}}}"
    )
    capacity = capacity_now()
    assert [node["CPU"] for node in capacity.nodes] == [2, 2, 2, 16, 16, 1]
    assert not capacity.open_ended
    ClusterRunner(LATER).check(tiny_study().variants)
    with pytest.raises(UserError, match=r"5 actors of 0.25 CPU, 1 later each must run"):
        ClusterRunner(LATER).check(tiny_study(population_size=5).variants)
    (tmp_path / "ray_bootstrap_config.yaml").write_text("available_node_types: {a: {}}")
    assert capacity_now().open_ended
    (tmp_path / "ray_bootstrap_config.yaml").write_text("{")
    assert capacity_now().total("CPU") == 6


@pytest.mark.slow
def test_a_part_of_a_gpu_is_reserved_where_there_is_one(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    study = tiny_study(trials=1)
    node = three_nodes.cluster.add_node(num_cpus=1, num_gpus=1)
    options = ClusterOptions(cells_per_actor=1, resources=(("CPU", 0.1), ("GPU", 0.25)))
    assert run_study(study, tmp_path / "gpu", ClusterRunner(options)) == Summary(1, 0)
    run_here(study, tmp_path / "one")
    assert_same_study(tmp_path / "one", tmp_path / "gpu")
    five = tiny_study(trials=1, population_size=5)
    with pytest.raises(UserError, match=r"5 actors of 0.1 CPU, 0.25 GPU each"):
        run_study(five, tmp_path / "no", ClusterRunner(options))
    three_nodes.cluster.remove_node(node)


@pytest.mark.slow
def test_a_study_shows_in_the_metrics_of_ray(three_nodes: NodeProcesses, tmp_path: Path) -> None:
    study = tiny_study(trials=1, epochs=50)
    run_study(study, tmp_path / "s", ClusterRunner(ClusterOptions(cells_per_actor=2)))
    expected = ("generations", "min_replacement_loss", "exchange_s")

    def are_shown() -> bool:
        pages = "".join(_metrics_of(node) for node in living_nodes())
        return all(f"ray_aes_lipi_{name}" in pages for name in expected)

    wait_until(are_shown)


def _metrics_of(node: dict[str, Any]) -> str:
    """What Prometheus would read from a node."""
    address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
    try:
        with urllib.request.urlopen(address, timeout=5) as page:
            text: str = page.read().decode()
            return text
    except OSError:
        return ""


class _Processes(Listener):
    """Collects the processes that held cells."""

    def __init__(self, nodes: NodeProcesses) -> None:
        self._nodes = nodes
        self.seen: set[int] = set()

    def finished(self, trial: TrialProgress, error: str | None) -> None:
        self.seen.update(self._nodes.workers("CellActor"))


@pytest.mark.slow
def test_many_short_trials_share_few_processors_and_the_same_actors(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    """Eight times the cells that the cluster has processors for; no ring waits for another."""
    study = tiny_study(trials=12, learning_rate=[0.01, 0.02], epochs=2)
    options = ClusterOptions(cells_per_actor=1, resources=(("CPU", 0.75),))
    processes = _Processes(three_nodes)
    assert run_study(study, tmp_path / "s", ClusterRunner(options), processes) == Summary(24, 0)
    assert len(processes.seen) <= 6  # two actors on a node of two processors
    run_here(study, tmp_path / "one")
    assert_same_study(tmp_path / "one", tmp_path / "s")


def _run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "aes_lipi", "run", *arguments]
    return warm.run(command, env=os.environ | environment)


QUICK = (
    *("--rq", "quickstart", "--trials", "1", "--epochs", "2"),
    *("--prune_method", "random", "--population_size", "2"),
)


def test_the_command_finds_the_cluster_and_says_where_it_runs(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    said = _run(*QUICK, "--output_dir", tmp_path / "s", RAY_ADDRESS=three_nodes.address)
    assert said.returncode == 0, said.stderr
    assert "on the Ray cluster" in said.stderr
    assert "3 nodes, 6 CPUs" in said.stderr
    assert "INFO" not in said.stderr
    here = _run(*QUICK, "--output_dir", tmp_path / "h", "--local", RAY_ADDRESS=three_nodes.address)
    assert here.returncode == 0, here.stderr
    assert "Ray" not in here.stderr
    assert_same_study(tmp_path / "s", tmp_path / "h")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--address", "127.0.0.1:1"), "Ray cluster 127.0.0.1:1: nothing answers there"),
        (("--address", "ray://there:10001"), "give the address of the cluster's head as host:port"),
        (("--address", "auto"), "no Ray is running on this machine"),
        (("--local", "--placement", "cell"), "--local: runs without a cluster"),
        (("--placement", "ring"), "--placement ring: give cell or trial"),
        (("--cells_per_actor", "0"), "--cells_per_actor 0: give auto, or a number from 1"),
        (("--cell_resources", "CPU"), "--cell_resources CPU: give amounts, as in CPU=1,GPU=0.25"),
    ],
)
def test_wrong_flags_are_told_in_one_line(
    flags: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    said = _run(*QUICK, "--output_dir", tmp_path / "s", *flags)
    assert said.returncode == 2
    assert message in said.stderr
    assert len(said.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "s").exists()


def test_nodes_that_are_not_alike_are_noticed() -> None:
    check = NodeCheck(NodeFacts("head", "kind A", ("1", "2")))
    assert check.add(NodeFacts("one", "kind A", ("1", "2"))) == []
    [remark] = check.add(NodeFacts("two", "kind B", ("1", "2")))
    assert "mixes kinds of processors (kind A, kind B)" in remark
    assert check.add(NodeFacts("three", "kind B", ("1", "2"))) == []
    with pytest.raises(UserError, match="node four: has aes_lipi 0 with numpy 2, here are 1 and 2"):
        check.add(NodeFacts("four", "kind A", ("0", "2")))
