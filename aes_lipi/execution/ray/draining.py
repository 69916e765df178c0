"""Notice that a node of the cluster will soon be taken away.

Clouds announce the end of a spot instance some seconds or minutes before; autoscalers, and
`ray drain-node`, hand that on to Ray, which then starts nothing new on the node.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection

import ray

LOOK_INTERVAL_S = 1.0


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
        if time.monotonic() - self._looked < LOOK_INTERVAL_S:
            return False
        self._looked = time.monotonic()
        try:
            draining = ray._private.state.state.get_draining_nodes()
        except Exception:  # a cluster that does not answer gives no notice
            return False
        return any(node in draining for node in self._nodes())


def lasting(notice: Callable[[], bool]) -> Callable[[], bool]:
    """The same for many who ask: once given to one of them, it is given to all."""
    given = threading.Event()

    def was_given() -> bool:
        if not given.is_set() and notice():
            given.set()
        return given.is_set()

    return was_given


def this_node() -> str:
    """The id of the node that this process runs on."""
    return str(ray.get_runtime_context().get_node_id())
