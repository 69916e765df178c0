"""Rings of actors that take one trial after another.

A ring is a placement group that holds the driver of its trials and its cells, so that it is there
whole or not at all: rings that each hold a part and wait for the rest cannot come about.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from aes_lipi.execution.job import Job
from aes_lipi.execution.ray.actors import RemoteTrialDriver


class Ring:
    """A ring of actors, and the driver that leads them.

    Args:
        n_actors: its size.
        resources: what each actor reserves.
        window: generations in flight.

    Attributes:
        ready: reference to where its actors live; there when they do.
    """

    def __init__(self, n_actors: int, resources: Mapping[str, float], window: int) -> None:
        bundle = {name: amount for name, amount in resources.items() if amount}
        self._group: PlacementGroup = placement_group([bundle] * n_actors, strategy="PACK")
        places = [
            PlacementGroupSchedulingStrategy(self._group, placement_group_bundle_index=k)
            for k in range(n_actors)
        ]
        self._driver: Any = RemoteTrialDriver.options(
            num_cpus=0, scheduling_strategy=places[0], max_restarts=0
        ).remote(places, dict(resources), window)
        self.ready: Any = self._driver.hello.remote()

    def run(self, job: Job, inputs: Any, cells_per_actor: int) -> Any:
        """Start a trial; the generator of its messages."""
        return self._driver.run.options(num_returns="streaming").remote(
            job, [inputs], cells_per_actor
        )

    def stop(self) -> None:
        """End all its processes."""
        ray.kill(self._driver)
        remove_placement_group(self._group)
