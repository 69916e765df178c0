"""The processes of a Ray cluster on this machine: found, killed, held up."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from patience import PATIENCE_S
from studies import Listener

from aes_lipi.execution.study import TrialProgress

NOTICES_SOON = {  # that a node is gone
    "health_check_period_ms": 500,
    "health_check_failure_threshold": 4,
}


class NodeProcesses:
    """The processes of a `ray.cluster_utils.Cluster`, and no others."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.address: str = cluster.address

    def raylets(self) -> list[int]:
        """Process ids of the nodes' raylets."""
        return [
            info.process.pid
            for node in self.cluster.list_all_nodes()
            for info in node.all_processes["raylet"]
        ]

    def drain(self, raylet: int) -> str:
        """Announce that the node of a raylet will be taken away; its id."""
        for node in self.cluster.list_all_nodes():
            if raylet in [info.process.pid for info in node.all_processes["raylet"]]:
                command = [str(Path(sys.executable).with_name("ray")), "drain-node"]
                command += ["--address", self.address, "--node-id", node.node_id]
                command += ["--reason", "DRAIN_NODE_REASON_PREEMPTION"]
                command += ["--reason-message", "spot", "--deadline-remaining-seconds", "60"]
                subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
                return str(node.node_id)
        raise AssertionError(f"no node has the raylet {raylet}")

    def workers(self, name: str) -> list[int]:
        """Process ids of workers that hold, or run, what is named so."""
        raylets = set(self.raylets())
        return sorted(
            int(entry.name)
            for entry in Path("/proc").glob("[0-9]*")
            if _is_worker(entry, raylets, f"ray::{name}")
        )


def parent_of(pid: int) -> int:
    """The process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def _is_worker(entry: Path, raylets: set[int], title: str) -> bool:
    try:
        started_by = parent_of(int(entry.name))
        return started_by in raylets and (entry / "cmdline").read_bytes().startswith(title.encode())
    except OSError:
        return False  # it has ended meanwhile


class WorkerKiller(Listener):
    """Kills a worker of a kind now and then while a study goes on.

    Args:
        nodes: the cluster.
        name: the kind: `CellActor`, `TrialDriver` or `run_whole_trials`.
        kills: how many.
        every: generations between kills.
        seed: of the choice among workers.
    """

    def __init__(
        self, nodes: NodeProcesses, name: str, kills: int, every: int = 1, seed: int = 0
    ) -> None:
        self.killed: list[int] = []
        self._nodes, self._name, self._kills, self._every = nodes, name, kills, every
        self._rng = random.Random(seed)
        self._heard = 0

    def advanced(self, trial: TrialProgress, generations: int) -> None:
        self._heard += max(0, generations)
        if len(self.killed) < self._kills and self._heard >= self._every * (1 + len(self.killed)):
            living = self._nodes.workers(self._name)
            if living:
                victim = self._rng.choice(living)
                os.kill(victim, signal.SIGKILL)
                self.killed.append(victim)
