"""Where a study runs, and which of its processes can be killed there."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ray_processes import NodeProcesses

SOON = {  # a node that is gone is noticed, and nobody waits long for a head that is
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
    "gcs_rpc_server_reconnect_timeout_s": 3,
}
NODES = 3


class Place(Protocol):
    """Somewhere to run a study.

    Attributes:
        flags: of the command.
        kinds: what can be killed, and how often it is chosen.
        pause_s: least and most seconds between kills.
    """

    flags: list[str]
    kinds: dict[str, int]
    pause_s: tuple[float, float]

    def kill(self, kind: str, driver: int, choose: Callable[[list[int]], int]) -> int | None:
        """Kill a process of a kind; its id, or None if there is none."""
        ...

    def mend(self) -> None:
        """Bring back what the next run needs."""
        ...


def sigkill(pids: list[int], choose: Callable[[list[int]], int]) -> int | None:
    """Kill one of some processes."""
    if not pids:
        return None
    victim = choose(sorted(pids))
    try:
        os.kill(victim, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return victim


@dataclass
class ThisMachine:
    """Worker processes of a driver."""

    flags: list[str] = field(default_factory=lambda: ["--local", "--jobs", "2"])
    kinds: dict[str, int] = field(default_factory=lambda: {"driver": 2, "worker": 3})
    pause_s: tuple[float, float] = (0.3, 12.0)

    def kill(self, kind: str, driver: int, choose: Callable[[list[int]], int]) -> int | None:
        """See `Place.kill`."""
        return sigkill(list(_spawned_by(driver)), choose)

    def mend(self) -> None:
        """See `Place.mend`."""


def _spawned_by(driver: int) -> Iterator[int]:
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == driver and b"spawn_main" in (entry / "cmdline").read_bytes():
                yield int(entry.name)
        except OSError:
            continue


class RayNodes:
    """A Ray cluster of three nodes on this machine.

    Args:
        flags: of the command.
        kinds: workers, by what they hold, `raylet` for a node, and `head` for the head's.
    """

    def __init__(self, flags: list[str], kinds: dict[str, int]) -> None:
        self.kinds = kinds
        self.pause_s = (0.5, 10.0)
        self._asked = flags
        self.flags: list[str] = []
        self._nodes: NodeProcesses | None = None

    def mend(self) -> None:
        """See `Place.mend`."""
        if self._nodes is not None and not self._alive(self._nodes.cluster.head_node):
            self.stop()
        if self._nodes is None:
            self._nodes = NodeProcesses(_started())
        cluster = self._nodes.cluster
        for node in list(cluster.worker_nodes):
            if not self._alive(node):
                node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
                cluster.worker_nodes.remove(node)
        while len(cluster.worker_nodes) < NODES - 1:
            cluster.add_node(num_cpus=2)
        self.flags = ["--address", self._nodes.address, *self._asked]

    def kill(self, kind: str, driver: int, choose: Callable[[list[int]], int]) -> int | None:
        """See `Place.kill`; a node that is killed is replaced."""
        assert self._nodes is not None
        cluster = self._nodes.cluster
        if kind == "head":
            for service in ("raylet", "gcs_server"):
                sigkill(_pids(cluster.head_node, service), choose)
            return _pids(cluster.head_node, "raylet")[0]
        if kind != "raylet":
            return sigkill(self._nodes.workers(kind), choose)
        workers = [node for node in cluster.worker_nodes if self._alive(node)]
        pids = [pid for node in workers for pid in _pids(node, "raylet")]
        killed = sigkill(pids, choose)
        if killed is not None and self._alive(cluster.head_node):
            with suppress(Exception):  # of no kind of its own: too much goes on here for 30 s
                cluster.add_node(num_cpus=2)
        return killed

    @staticmethod
    def _alive(node: Any) -> bool:
        return not node.dead_processes()

    def stop(self) -> None:
        """End all nodes."""
        if self._nodes is not None:
            for node in self._nodes.cluster.list_all_nodes():
                node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
            self._nodes = None


def _pids(node: Any, service: str) -> list[int]:
    return [info.process.pid for info in node.all_processes.get(service, [])]


def _started() -> Any:
    from ray.cluster_utils import Cluster  # noqa: PLC0415 - slow

    head = {"num_cpus": 2, "include_dashboard": False, "_system_config": SOON}
    return Cluster(initialize_head=True, head_node_args=head)


@contextmanager
def place(mode: str) -> Iterator[Place]:
    """Somewhere to run a study: `jobs`, `trial` or `cell`."""
    if mode == "jobs":
        yield ThisMachine()
        return
    before = dict(os.environ)
    short = tempfile.mkdtemp(prefix="ray-")  # sockets below it allow no long path
    os.environ |= {"RAY_TMPDIR": short, "RAY_max_direct_call_object_size": "1000000"}
    flags, kinds = {
        "trial": (
            ["--placement", "trial"],
            {"run_whole_trials": 6, "raylet": 2, "driver": 2, "head": 1},
        ),
        "cell": (
            ["--cells_per_actor", "1", "--jobs", "1"],
            {"CellActor": 6, "TrialDriver": 2, "raylet": 2, "driver": 2, "head": 1},
        ),
    }[mode]
    nodes = RayNodes(flags, kinds)
    try:
        yield nodes
    finally:
        nodes.stop()
        os.environ.clear()
        os.environ.update(before)
        shutil.rmtree(short, ignore_errors=True)
