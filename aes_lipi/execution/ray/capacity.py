"""What a cluster holds, with the nodes that its autoscaler may start, and what a ring may take."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
import yaml

from aes_lipi.errors import UserError

_MOST_PER_CPU = 1000
"""Actors that may share a processor."""


@dataclass(frozen=True)
class Capacity:
    """The nodes of a cluster, with those that its autoscaler may still start.

    Attributes:
        nodes: what each of them holds, in Ray's names.
        open_ended: whether there may come more of which nothing is known.
    """

    nodes: tuple[Mapping[str, float], ...]
    open_ended: bool = False

    def total(self, name: str) -> float:
        """How much of a resource all nodes hold together."""
        return sum(node.get(name, 0.0) for node in self.nodes)

    def memory(self, together: bool) -> int | None:
        """Bytes that a trial may take at most, its data in the object store among them.

        Args:
            together: whether it may be cut up, and take some of every node.

        Returns:
            of the largest node, or of all; None where a node, or its memory, is not known.
        """
        if self.open_ended or not all(node.get("memory") for node in self.nodes):
            return None
        of_nodes = [node["memory"] + node.get("object_store_memory", 0.0) for node in self.nodes]
        return int(sum(of_nodes) if together else max(of_nodes, default=0.0)) or None

    def slots(self, request: Mapping[str, float]) -> int:
        """How many requests fit at the same time."""
        return sum(_times(node, request) for node in self.nodes)

    def check_possible(self, request: Mapping[str, float], n_actors: int, what: str) -> None:
        """Refuse a request that this cluster can never meet.

        Args:
            request: of one actor or task.
            n_actors: how many of them must be there at the same time.
            what: the request in words.

        Raises:
            UserError: the cluster can never meet the request; ask for less, or give it larger
                nodes.
        """
        if self.open_ended:
            return
        fits = self.slots(request)
        asked = ", ".join(f"{amount:g} {name}" for name, amount in request.items() if amount)
        if fits == 0:
            largest = ", ".join(
                f"{max((node.get(name, 0.0) for node in self.nodes), default=0):g} {name}"
                for name in request
            )
            raise UserError(
                f"--cell_resources: {what} asks for {asked}, more than any node has (at most "
                f"{largest}); ask for less, or add such a node"
            )
        if fits < n_actors:
            raise UserError(
                f"--cell_resources: {n_actors} actors of {asked} each must run at the same time, "
                f"and the cluster holds {fits}; ask for less, hold more --cells_per_actor, or use "
                "--placement trial"
            )

    def shared_cpu(self, n_actors: int, others: Mapping[str, float]) -> float:
        """The CPU share of each of so many actors: a whole one, or the largest 1/m that all get."""
        for m in range(1, _MOST_PER_CPU + 1):
            share = math.floor(1e4 / m) / 1e4
            if self.slots({**others, "CPU": share}) >= n_actors:
                return share
        return 1.0


def _times(node: Mapping[str, float], request: Mapping[str, float]) -> int:
    """How many times a request fits on a node."""
    fits = [
        math.floor(node.get(name, 0.0) / amount + 1e-6)
        for name, amount in request.items()
        if amount > 0
    ]
    return min(fits, default=_MOST_PER_CPU)


def capacity_now() -> Capacity:
    """The nodes that are there, and those that the autoscaler may start."""
    alive = [node["Resources"] for node in living_nodes()]
    to_come = _nodes_to_come(len(alive) - 1)
    return Capacity((*alive, *(to_come or ())), open_ended=to_come is None)


def living_nodes() -> list[dict[str, Any]]:
    """The nodes that are there, as Ray describes them."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def cpus_now() -> float:
    """Processors of the nodes that are there."""
    return float(sum(node["Resources"].get("CPU", 0.0) for node in living_nodes()))


_Resources = dict[str, float]

_BOOTSTRAP_CONFIG = "ray_bootstrap_config.yaml"
"""Where `ray up` leaves the cluster's configuration in the home directory of its head."""

_DEFAULT_MAX_WORKERS = 2
_MOST_NODES = 10_000


def _nodes_to_come(n_workers: int) -> list[_Resources] | None:
    """Nodes that may be started beyond those that are there.

    Args:
        n_workers: nodes that are there, without the head.

    Returns:
        what each of them would hold; None if there is an autoscaler of unknown bounds.
    """
    if "--no-monitor" in os.environ.get("KUBERAY_GEN_RAY_START_CMD", ""):
        return None  # KubeRay's autoscaler runs beside the head; its bounds are in Kubernetes
    config = _bootstrap_config()
    if config is None:
        return []
    try:
        return _allowed(config)[n_workers:]
    except (TypeError, ValueError, KeyError, AttributeError):
        return None


def _bootstrap_config() -> Any:
    """The configuration of `ray up`, if this is the head that it started."""
    context = ray.get_runtime_context()
    head = context.gcs_address.rpartition(":")[0]
    here = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    if head not in (here, "127.0.0.1"):
        return None
    try:
        text = (Path.home() / _BOOTSTRAP_CONFIG).read_text(encoding="utf-8")
        return yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _allowed(config: dict[str, Any]) -> list[_Resources]:
    """All workers of a configuration, the largest first."""
    at_most = int(config.get("max_workers", _DEFAULT_MAX_WORKERS))
    workers = [
        {name: float(amount) for name, amount in kind["resources"].items()}
        for name, kind in config["available_node_types"].items()
        if name != config.get("head_node_type")
        for _ in range(min(int(kind.get("max_workers", at_most)), _MOST_NODES))
    ]
    workers.sort(key=lambda resources: resources.get("CPU", 0.0), reverse=True)
    return workers[:at_most]
