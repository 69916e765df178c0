"""What a cluster holds, and what a ring may take of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ray

from aes_lipi.errors import UserError
from aes_lipi.execution.ray.growth import nodes_to_come

MOST_PER_CPU = 1000
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
    to_come = nodes_to_come(len(alive) - 1)
    return Capacity((*alive, *(to_come or ())), open_ended=to_come is None)


def living_nodes() -> list[dict[str, Any]]:
    """The nodes that are there, as Ray describes them."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def cpus_now() -> float:
    """Processors of the nodes that are there."""
    return float(sum(node["Resources"].get("CPU", 0.0) for node in living_nodes()))


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
    if capacity.open_ended:
        return
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
