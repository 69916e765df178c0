"""Stacks of trials as tasks of a cluster: beside single ones, killed, moved; the same bits."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from helpers import tiny_study
from ray_processes import NodeProcesses, WorkerKiller, parent_of
from studies import Listener, assert_same_study
from studies import run_study as run_here

from aes_lipi.config import Study
from aes_lipi.errors import UserError
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import Summary, run_study
from aes_lipi.execution.study import TrialProgress

pytestmark = pytest.mark.xdist_group("ray")

TASK = "run_whole_trials"


def _engine(trial: TrialProgress) -> str:
    return "torch" if "torch" in trial.label else "dense"


class _Together(Listener):
    """Notes which trials were on their way at the same time."""

    def __init__(self) -> None:
        self.running: set[tuple[str, int]] = set()
        self.most: dict[str, int] = {}

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        self.running.add((_engine(trial), trial.id.trial))
        engines = [engine for engine, _ in self.running]
        for engine in engines:
            self.most[engine] = max(self.most.get(engine, 0), engines.count(engine))

    def finished(self, trial: TrialProgress, error: str | None) -> None:
        self.running.discard((_engine(trial), trial.id.trial))


def mixed_study(trials: int = 4, epochs: int = 60) -> Study:
    """One variant whose engine makes stacks, and one that is trained trial by trial."""
    study = tiny_study(
        trials=trials, engine=["torch", "dense"], prune_method="random", epochs=epochs
    )
    return study.model_copy(update={"checkpoint_interval": 5})


@pytest.fixture(scope="module")
def in_one_process(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("one") / "study"
    assert run_here(mixed_study(), directory) == Summary(8, 0)
    return directory


@pytest.mark.slow
def test_a_stack_has_the_bits_of_one_process(three_nodes: NodeProcesses, tmp_path: Path) -> None:
    study = tiny_study(engine="torch", prune_method="random")
    runner = ClusterRunner(ClusterOptions(placement="trial", trials_per_worker=2))
    assert run_study(study, tmp_path / "s", runner) == Summary(2, 0)
    run_here(study, tmp_path / "one")
    assert_same_study(tmp_path / "one", tmp_path / "s")


@pytest.mark.slow
def test_stacks_run_beside_single_trials_and_change_no_bit(
    three_nodes: NodeProcesses, in_one_process: Path, tmp_path: Path
) -> None:
    options = ClusterOptions(placement="trial", trials_per_worker=4, trials_at_a_time=1)
    together = _Together()
    summary = run_study(mixed_study(), tmp_path / "s", ClusterRunner(options), together)
    assert summary == Summary(8, 0)
    # One task of each kind at a time; of a dense trial that is short nothing is heard on its way.
    assert {"dense": 1} | together.most == {"torch": 4, "dense": 1}
    assert_same_study(in_one_process, tmp_path / "s")


@pytest.mark.slow
def test_a_killed_stack_costs_no_trial_and_no_bit(
    three_nodes: NodeProcesses, in_one_process: Path, tmp_path: Path
) -> None:
    killer = WorkerKiller(three_nodes, TASK, kills=1, every=60)
    runner = ClusterRunner(ClusterOptions(trials_per_worker=2))
    assert run_study(mixed_study(), tmp_path / "s", runner, killer) == Summary(8, 0)
    assert len(killer.killed) == 1
    assert_same_study(in_one_process, tmp_path / "s")


class _Drains(Listener):
    """Drains the node of a stack once all of its trials are under way."""

    def __init__(self, nodes: NodeProcesses) -> None:
        self._nodes = nodes
        self._moving: set[int] = set()
        self.drained: str | None = None
        self.lost = 0
        self.moved = 0

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        self.lost -= min(0, generations)
        self._moving.add(trial.id.trial)
        if self.drained is None and len(self._moving) == 3:
            [raylet] = {parent_of(pid) for pid in self._nodes.workers(TASK)}
            self.drained = self._nodes.drain(raylet)

    def noticed(self, text: str) -> None:
        self.moved += "its node is about to go" in text


@pytest.mark.slow
def test_a_notice_moves_a_stack_to_another_node_at_no_cost(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    study = tiny_study(trials=3, engine="torch", epochs=150, record_interval=50)
    extra = [three_nodes.cluster.add_node(num_cpus=1, resources={"spot": 1}) for _ in range(2)]
    drains = _Drains(three_nodes)
    options = ClusterOptions(
        resources=(("CPU", 1.0), ("spot", 1.0)), trials_per_worker=3, trials_at_a_time=1
    )
    assert run_study(study, tmp_path / "s", ClusterRunner(options), drains) == Summary(3, 0)
    assert drains.drained is not None
    assert (drains.lost, drains.moved) == (0, 3)
    run_here(study, tmp_path / "whole")
    assert_same_study(tmp_path / "whole", tmp_path / "s")
    for node in extra:
        three_nodes.cluster.remove_node(node)


@pytest.mark.slow
def test_a_driver_that_is_interrupted_goes_on_with_its_stacks(
    three_nodes: NodeProcesses, in_one_process: Path, tmp_path: Path
) -> None:
    class Interrupts(Listener):
        heard = 0

        def advanced(self, trial: TrialProgress, generations: int) -> None:
            self.heard += generations
            if self.heard - generations < 150 <= self.heard:
                os.kill(os.getpid(), signal.SIGINT)

    runner = ClusterRunner(ClusterOptions(trials_per_worker=4))
    with pytest.raises(KeyboardInterrupt):
        run_study(mixed_study(), tmp_path / "s", runner, Interrupts())
    again = ClusterRunner(ClusterOptions(trials_per_worker=3))
    assert run_study(mixed_study(), tmp_path / "s", again) == Summary(8, 0)
    assert_same_study(in_one_process, tmp_path / "s")


def test_a_cluster_without_a_gpu_refuses_to_train_on_one(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    study = tiny_study(device="cuda")
    with pytest.raises(UserError, match=r"asks for 1 GPU, 1 CPU, more than any node has"):
        run_study(study, tmp_path / "s", ClusterRunner(ClusterOptions()))
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
def test_a_gpu_that_torch_does_not_find_is_one_line(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    import torch  # noqa: PLC0415

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    claimed = three_nodes.cluster.add_node(num_cpus=1, num_gpus=1)
    with pytest.raises(UserError, match="torch finds no GPU here"):
        run_study(tiny_study(device="cuda"), tmp_path / "s", ClusterRunner(ClusterOptions()))
    three_nodes.cluster.remove_node(claimed)


def test_more_trials_than_one_are_refused_where_no_engine_stacks_them(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    runner = ClusterRunner(ClusterOptions(trials_per_worker=2))
    with pytest.raises(UserError, match="use --engine torch"):
        run_study(tiny_study(engine="dense"), tmp_path / "s", runner)
