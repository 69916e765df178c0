"""Whether the nodes of a cluster are alike, as far as results depend on it."""

from __future__ import annotations

from aes_lipi.errors import UserError
from aes_lipi.execution.observer import Observer
from aes_lipi.execution.ray.nodes import NodeFacts


class Vetting:
    """Looks at every node that a worker lives on.

    Args:
        observer: is told of what the user should know.
        ours: what is true of the driver's own machine.
    """

    def __init__(self, observer: Observer, ours: NodeFacts) -> None:
        self._observer = observer
        self._ours = ours
        self._processors: dict[str, str] = {}

    def add(self, facts: NodeFacts) -> None:
        """Take in where a worker lives.

        Raises:
            UserError: it has other versions than this process.
        """
        if facts.versions != self._ours.versions:
            raise UserError(
                f"node {facts.host}: has aes_lipi {facts.versions[0]} with numpy "
                f"{facts.versions[1]}, here are {self._ours.versions[0]} and "
                f"{self._ours.versions[1]}; install the same pins on every node"
            )
        if facts.processor not in self._processors.values() and self._processors:
            kinds = ", ".join(sorted({*self._processors.values(), facts.processor}))
            self._observer.noticed(
                f"the cluster mixes kinds of processors ({kinds}): bits are the same on the same "
                "kind only; the column processor says which trial ran where"
            )
        self._processors[facts.host] = facts.processor
