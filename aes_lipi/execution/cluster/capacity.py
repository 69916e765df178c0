"""What a cluster holds, and what a ring may take of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray
from ray._private.state import state as ray_state

from aes_lipi.errors import UserError

Resources = dict[str, float]
MOST_PER_CPU = 1000
"""Actors that may share a processor."""


@dataclass(frozen=True)
class Capacity:
    """The nodes of a cluster, with those that its autoscaler may still start.

    Attributes:
        nodes: what each of them holds, in Ray's names.
    """

    nodes: tuple[Mapping[str, float], ...]

    def total(self, name: str) -> float:
        """How much of a resource all nodes hold together."""
        return sum(node.get(name, 0.0) for node in self.nodes)

    def slots(self, request: Mapping[str, float]) -> int:
        """How many requests fit at the same time."""
        return sum(_times(node, request) for node in self.nodes)


def _times(node: Mapping[str, float], request: Mapping[str, float]) -> int:
    """How many times a request fits on a node."""
    fits = [
        math.floor(node.get(name, 0.0) / amount + 1e-6)
        for name, amount in request.items()
        if amount > 0
    ]
    return min(fits, default=MOST_PER_CPU)


def capacity_now() -> Capacity:
    """The nodes that are there, and those that the autoscaler may start."""
    alive = [node["Resources"] for node in living_nodes()]
    return Capacity((*alive, *_nodes_to_come(len(alive))))


def living_nodes() -> list[dict[str, Any]]:
    """The nodes that are there, as Ray describes them."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _nodes_to_come(n_alive: int) -> list[Resources]:
    """Nodes that the autoscaler's configuration allows beyond those that are there, roughly."""
    config: Any = ray_state.get_cluster_config()
    if config is None:
        return []
    allowed = [
        dict(group.resources)
        for group in config.node_group_configs
        for _ in range(min(int(group.max_count), 10_000))
    ]
    return allowed[max(0, n_alive - 1) :]  # the head is no worker


def check_possible(
    request: Mapping[str, float], n_actors: int, capacity: Capacity, what: str
) -> None:
    """Refuse a request that this cluster can never meet.

    Args:
        request: of one actor or task.
        n_actors: how many of them must be there at the same time.
        capacity: of the cluster.
        what: the request in words.

    Raises:
        UserError: it would wait for ever.
    """
    fits = capacity.slots(request)
    asked = ", ".join(f"{amount:g} {name}" for name, amount in request.items() if amount)
    if fits == 0:
        largest = ", ".join(
            f"{max((node.get(name, 0.0) for node in capacity.nodes), default=0):g} {name}"
            for name in request
        )
        raise UserError(
            f"--cell_resources: {what} asks for {asked}, more than any node has (at most "
            f"{largest}); ask for less, or add such a node"
        )
    if fits < n_actors:
        raise UserError(
            f"--cell_resources: {n_actors} actors of {asked} each must run at the same time, and "
            f"the cluster holds {fits}; ask for less, hold more --cells_per_actor, or use "
            "--placement trial"
        )


def shared_cpu(n_actors: int, others: Mapping[str, float], capacity: Capacity) -> float:
    """The CPU share of each of so many actors: a whole one, or the largest 1/m that all get."""
    for m in range(1, MOST_PER_CPU + 1):
        share = math.floor(1e4 / m) / 1e4
        if capacity.slots({**others, "CPU": share}) >= n_actors:
            return share
    return 1.0
