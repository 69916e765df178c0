"""Workers and nodes are killed while a study runs: it ends with the bits of an undisturbed run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import warm
import yaml
from helpers import TINY, tiny_study
from patience import PATIENCE_S, wait_until
from ray_processes import NodeProcesses, WorkerKiller, parent_of
from studies import Listener, assert_same_study
from studies import run_study as run_here

from aes_lipi.config import Study
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.ray.connection import ClusterOptions
from aes_lipi.execution.ray.runner import ClusterRunner
from aes_lipi.execution.run import Runner, Summary, run_study
from aes_lipi.execution.study import TrialProgress
from aes_lipi.results.reading import load_results

pytestmark = pytest.mark.xdist_group("ray")

A_CELL_PER_ACTOR = ClusterOptions(cells_per_actor=1, trials_at_a_time=1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Study, Path]:
    study = tiny_study(trials=1, epochs=60, prune_method="random", record_interval=50)
    directory = tmp_path_factory.mktemp("undisturbed") / "study"
    run_here(study, directory)
    return study, directory


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CellActor", A_CELL_PER_ACTOR),
        pytest.param("TrialDriver", A_CELL_PER_ACTOR, marks=pytest.mark.slow),
        pytest.param(
            *("run_whole_trials", ClusterOptions(placement="trial")), marks=pytest.mark.slow
        ),
    ],
    ids=["a cell", "a driver of a trial", "a trial's task"],
)
def test_a_killed_worker_costs_no_trial_and_no_bit(
    name: str,
    options: ClusterOptions,
    three_nodes: NodeProcesses,
    undisturbed: tuple[Study, Path],
    tmp_path: Path,
) -> None:
    study, directory = undisturbed
    killer = WorkerKiller(three_nodes, name, kills=1, every=5)
    assert run_study(study, tmp_path / "s", ClusterRunner(options), killer) == Summary(1, 0)
    assert killer.killed
    assert_same_study(directory, tmp_path / "s")


class _NodeKiller(Listener):
    """Takes away, once, the node that leads a ring, or one that only holds cells of it."""

    def __init__(self, nodes: NodeProcesses, leading: bool) -> None:
        self._nodes, self._leading = nodes, leading
        self.killed: int | None = None

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        if self.killed is None and generations > 0:
            [leader] = {parent_of(pid) for pid in self._nodes.workers("TrialDriver")}
            with_cells = {parent_of(pid) for pid in self._nodes.workers("CellActor")}
            assert len(with_cells) == 2
            self.killed = leader if self._leading else (with_cells - {leader}).pop()
            os.kill(self.killed, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.parametrize("leading", [True, False], ids=["the leading node", "another node"])
def test_a_lost_node_costs_no_trial_and_no_bit(
    leading: bool, three_nodes: NodeProcesses, undisturbed: tuple[Study, Path], tmp_path: Path
) -> None:
    study, directory = undisturbed
    extra = [three_nodes.cluster.add_node(num_cpus=1, resources={"here": 1}) for _ in range(3)]
    options = ClusterOptions(cells_per_actor=2, resources=(("CPU", 1.0), ("here", 1.0)))
    killer = _NodeKiller(three_nodes, leading)
    assert run_study(study, tmp_path / "s", ClusterRunner(options), killer) == Summary(1, 0)
    assert killer.killed is not None
    assert_same_study(directory, tmp_path / "s")
    for node in extra:
        three_nodes.cluster.remove_node(node)


@pytest.mark.slow
def test_asynchronous_cells_go_on_after_a_loss_and_can_be_replayed(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    study = tiny_study(trials=1, epochs=200, update_order="asynchronous", record_interval=50)
    killer = WorkerKiller(three_nodes, "CellActor", kills=1, every=20)
    free = ClusterRunner(A_CELL_PER_ACTOR)
    assert run_study(study, tmp_path / "free", free, killer) == Summary(1, 0)
    assert killer.killed
    run_study(study, tmp_path / "again", ClusterRunner(ClusterOptions()), replay=tmp_path / "free")
    assert_same_study(tmp_path / "free", tmp_path / "again")


@pytest.mark.slow
def test_a_slow_cell_holds_nobody_up(three_nodes: NodeProcesses, tmp_path: Path) -> None:
    """One of four asynchronous cells is stopped for two seconds: the others go on."""
    study = tiny_study(
        trials=1, epochs=400, update_order="asynchronous", population_size=4, record_interval=100
    )

    def hold_up() -> None:
        while not (living := three_nodes.workers("CellActor.compute")):
            time.sleep(0.05)
        os.kill(living[0], signal.SIGSTOP)
        time.sleep(2.0)
        os.kill(living[0], signal.SIGCONT)

    holder = threading.Thread(target=hold_up)
    holder.start()
    run_study(study, tmp_path / "s", ClusterRunner(A_CELL_PER_ACTOR))
    holder.join()
    staleness = load_results(tmp_path / "s").generations["staleness"]
    assert staleness.max() >= 10


def _study_file(folder: Path, **given: int) -> Path:
    """Of a ring of four: trials, epochs, and how often they are written down."""
    file, epochs = folder / "mine.yaml", given.pop("epochs")
    tiny = {**TINY, "hidden_sizes": [4], "epochs": epochs, "record_interval": epochs}
    file.write_text(yaml.safe_dump({**given, "settings": tiny}))
    return file


def _assert_as_in_one_process(study_file: Path, output: Path) -> None:
    whole = output.with_name("whole")
    command = _command(study_file, whole, "")[:-4]
    warm.run([*command, "--local", "--jobs", "1"], check=True)
    assert_same_study(whole, output)


def _command(study_file: Path, output: Path, address: str) -> list[str]:
    return [
        *(sys.executable, "-m", "aes_lipi", "run", "--config", str(study_file)),
        *("--output_dir", str(output), "--address", address, "--cells_per_actor", "2"),
    ]


@pytest.mark.slow
def test_a_killed_driver_leaves_a_study_that_the_same_command_finishes(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    file = _study_file(tmp_path, trials=4, epochs=150)
    command = _command(file, tmp_path / "killed", three_nodes.address)
    first = warm.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not list((tmp_path / "killed").glob("committed/*/*.json")):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert 1 <= len(load_results(tmp_path / "killed").trials) < 4
    second = warm.run(command)
    assert second.returncode == 0, second.stderr
    _assert_as_in_one_process(file, tmp_path / "killed")


@pytest.mark.slow
def test_an_interrupted_driver_says_so_and_resumes(
    three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    file = _study_file(tmp_path, trials=2, epochs=1500, checkpoint_interval=20)
    command = _command(file, tmp_path / "s", three_nodes.address)
    running = warm.start(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not list(tmp_path.glob("s/checkpoints/*/*/*")):
        assert running.poll() is None, running.communicate()[0]
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=PATIENCE_S)
    assert running.returncode == 130
    assert said.rstrip().endswith(
        "interrupted; run the same command again to go on where it stopped"
    )
    assert "Traceback" not in said
    wait_until(lambda: not three_nodes.workers("CellActor"))
    assert list(tmp_path.glob("s/checkpoints/*/*/*"))
    again = warm.run(command)
    assert again.returncode == 0, again.stderr
    _assert_as_in_one_process(file, tmp_path / "s")


class _Interrupter(Listener):
    """Interrupts a study once a trial is written down; remembers where it went on."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.resumptions: list[int] = []

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        if list(self._directory.glob("checkpoints/*/*/*")):
            raise KeyboardInterrupt

    def resumed(self, trial: TrialProgress, generations: int) -> None:
        self.resumptions.append(generations)


HERE = LocalRunner(1)
BY_CELL = ClusterRunner(A_CELL_PER_ACTOR)
BY_PAIRS = ClusterRunner(ClusterOptions(cells_per_actor=2))
SPOT = (("CPU", 1.0), ("spot", 1.0))
BY_TRIAL = ClusterRunner(ClusterOptions(placement="trial"))


@pytest.mark.parametrize(
    ("settings", "first", "then"),
    [
        pytest.param({"prune_method": "random"}, BY_CELL, HERE, marks=pytest.mark.slow),
        pytest.param({"prune_method": "random"}, HERE, BY_PAIRS, marks=pytest.mark.slow),
        pytest.param({"prune_method": "random"}, BY_TRIAL, BY_PAIRS, marks=pytest.mark.slow),
        pytest.param({"update_order": "asynchronous"}, BY_CELL, HERE, marks=pytest.mark.slow),
        pytest.param(
            {"optimizer_state": "cell", "update_order": "synchronous"},
            *(BY_PAIRS, BY_CELL),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"prune_method": "magnitude", "pruned_weights": "frozen"},
            *(BY_PAIRS, BY_TRIAL),
            marks=pytest.mark.slow,
        ),
    ],
    ids=lambda value: value if isinstance(value, dict) else None,
)
def test_a_trial_goes_on_elsewhere_from_its_checkpoint(
    settings: dict[str, str],
    first: Runner,
    then: Runner,
    three_nodes: NodeProcesses,
    tmp_path: Path,
) -> None:
    study = tiny_study(trials=1, epochs=150, record_interval=50, **settings)
    study = study.model_copy(update={"checkpoint_interval": 7})
    stops = _Interrupter(tmp_path / "s")
    with pytest.raises(KeyboardInterrupt):
        run_study(study, tmp_path / "s", first, stops)
    goes_on = _Interrupter(tmp_path / "nowhere")
    assert run_study(study, tmp_path / "s", then, goes_on) == Summary(1, 0)
    assert goes_on.resumptions[0] >= 7
    if study.variants[0].update_order == "asynchronous":
        run_study(study, tmp_path / "whole", HERE, replay=tmp_path / "s")
    else:
        run_here(study, tmp_path / "whole")
    assert_same_study(tmp_path / "whole", tmp_path / "s")


class _Drainer(Listener):
    """Drains the node of a trial once, as a cloud's notice does, and takes it away."""

    def __init__(self, nodes: NodeProcesses, name: str) -> None:
        self._nodes, self._name = nodes, name
        self.notices: list[str] = []
        self.lost = 0
        self.drained: str | None = None

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        self.lost -= min(0, generations)
        if self.drained is None and generations > 0:
            [raylet, *_] = {parent_of(pid) for pid in self._nodes.workers(self._name)}
            self.drained = self._nodes.drain(raylet)

    def noticed(self, text: str) -> None:
        self.notices.append(text)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("CellActor", ClusterOptions(cells_per_actor=2, resources=SPOT)),
        ("run_whole_trials", ClusterOptions(placement="trial", resources=SPOT)),
    ],
)
def test_a_notice_moves_a_trial_to_another_node_at_no_cost(
    name: str, options: ClusterOptions, three_nodes: NodeProcesses, tmp_path: Path
) -> None:
    study = tiny_study(trials=1, epochs=1500, record_interval=500)
    extra = [three_nodes.cluster.add_node(num_cpus=2, resources={"spot": 2}) for _ in range(2)]
    drainer = _Drainer(three_nodes, name)
    assert run_study(study, tmp_path / "s", ClusterRunner(options), drainer) == Summary(1, 0)
    assert drainer.drained is not None
    assert drainer.lost == 0
    assert any("its node is about to go" in notice for notice in drainer.notices)
    run_here(study, tmp_path / "whole")
    assert_same_study(tmp_path / "whole", tmp_path / "s")
    for node in extra:
        three_nodes.cluster.remove_node(node)
