"""Nodes as workers see them: what they say of theirs, what they take of it, and when it goes.

Clouds announce the end of a spot instance some seconds or minutes before; autoscalers, and
`ray drain-node`, hand that on to Ray, which then starts nothing new on the node.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import ray

from aes_lipi._version import __version__
from aes_lipi.engine.processor import machine_name
from aes_lipi.errors import UserError
from aes_lipi.execution.process import one_thread_per_process
from aes_lipi.execution.ray.address import silence
from aes_lipi.execution.ray.capacity import living_nodes


@dataclass(frozen=True)
class NodeFacts:
    """A machine as far as it matters to results.

    Attributes:
        host: its name.
        processor: its kind and the target of its kernels, on which bits may depend.
        versions: of this package and of numpy.
        node: its id in the cluster.
    """

    host: str
    processor: str
    versions: tuple[str, str]
    node: str = field(default="", compare=False)


def facts_of_this_node() -> NodeFacts:
    """What is true of the machine that this process runs on."""
    versions = (__version__, np.__version__)
    return NodeFacts(socket.gethostname(), machine_name(), versions, this_node())


def memory_share(n_cpus: float) -> int:
    """Bytes of this node's memory, beside its object store, that go with so many of its CPUs.

    None of a node that the cluster has given up while this process still runs on it.
    """
    here = this_node()
    living = {node["NodeID"]: node["Resources"] for node in living_nodes()}
    resources = living.get(here, {})
    share = min(1.0, n_cpus / max(1.0, resources.get("CPU", 0.0)))
    return int(share * resources.get("memory", 0.0))


def use_only_what_is_ours(n_gpus: float) -> None:
    """One thread, and no GPU that was not reserved: Ray leaves all of them visible."""
    one_thread_per_process()
    if not n_gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


class NodeCheck:
    """Whether the nodes that workers live on are alike, as far as results depend on it.

    Args:
        ours: what is true of the driver's own machine.
    """

    def __init__(self, ours: NodeFacts) -> None:
        self._ours = ours
        self._processors: dict[str, str] = {}

    def add(self, facts: NodeFacts) -> list[str]:
        """Take in where a worker lives; what the user should know of it.

        Raises:
            UserError: the node has other versions than this process; install the same pins there.
        """
        if facts.versions != self._ours.versions:
            raise UserError(
                f"node {facts.host}: has aes_lipi {facts.versions[0]} with numpy "
                f"{facts.versions[1]}, here are {self._ours.versions[0]} and "
                f"{self._ours.versions[1]}; install the same pins on every node"
            )
        known = set(self._processors.values())
        self._processors[facts.host] = facts.processor
        if not known or facts.processor in known:
            return []
        kinds = ", ".join(sorted({*known, facts.processor}))
        return [
            f"the cluster mixes kinds of processors ({kinds}): the engine dense has the same bits "
            "where its kernels are for x86-64-v3, others on the same kind only; the column "
            "processor says which trial ran where"
        ]


_LOOK_INTERVAL_S = 1.0
_ASKED_AT_A_TIME = 32


class SilentNodes:
    """Which nodes give no answer, though the cluster still counts them, and since when."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def among(self, nodes: Sequence[Mapping[str, Any]]) -> tuple[tuple[str, float], ...]:
        """Ask nodes for a sign of life; takes seconds if there are some that give none.

        Args:
            nodes: as Ray describes them.

        Returns:
            the places of those that do not answer, and for how many seconds they have not.
        """
        places = {}
        for node in nodes:
            address = f"{node['NodeManagerAddress']}:{node['NodeManagerPort']}"
            places[f"{address} ({node['NodeManagerHostname']})"] = address
        asked = time.monotonic()
        with ThreadPoolExecutor(_ASKED_AT_A_TIME) as pool:
            answers = dict(zip(places, pool.map(silence, places.values()), strict=True))
        self._since = {
            place: self._since.get(place, asked) for place, why in answers.items() if why
        }
        return tuple((place, time.monotonic() - since) for place, since in self._since.items())


def patience_s() -> float | None:
    """Seconds without an answer after which Ray declares a node dead; None if it does not say.

    It asks each node now and then, and gives it up after some questions in a row that none of them
    answered in time: those are the settings of Ray's health check.
    """
    try:
        config: Any = ray._raylet.Config  # type: ignore[attr-defined]
        each_s = (config.health_check_period_ms() + config.health_check_timeout_ms()) / 1000
        return float(config.health_check_failure_threshold() * each_s)
    except AttributeError:  # of another version of Ray
        return None


class DrainNotice:
    """Tells whether a node in use is being drained; looks at most once a second.

    Args:
        nodes: gives the ids of the nodes in use.
    """

    def __init__(self, nodes: Callable[[], Collection[str]]) -> None:
        self._nodes = nodes
        self._looked = time.monotonic()

    def __call__(self) -> bool:
        """Whether one of them is."""
        if time.monotonic() - self._looked < _LOOK_INTERVAL_S:
            return False
        self._looked = time.monotonic()
        try:
            draining = ray._private.state.state.get_draining_nodes()
        except Exception:  # a cluster that does not answer gives no notice
            return False
        return any(node in draining for node in self._nodes())


def this_node() -> str:
    """The id of the node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())
