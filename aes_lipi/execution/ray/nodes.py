"""What a worker says of the machine it is on, and what it takes of it."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

import numpy as np

import aes_lipi
from aes_lipi.execution.endings import processor_name
from aes_lipi.execution.ray.capacity import living_nodes
from aes_lipi.execution.ray.draining import this_node
from aes_lipi.execution.workers import one_thread_per_process


@dataclass(frozen=True)
class NodeFacts:
    """A machine as far as it matters to results.

    Attributes:
        host: its name.
        processor: its kind; bits are promised for the same kind.
        versions: of this package and of numpy.
        node: its id in the cluster.
    """

    host: str
    processor: str
    versions: tuple[str, str]
    node: str = field(default="", compare=False)


def facts_of_this_node() -> NodeFacts:
    """What is true of the machine that this process runs on."""
    versions = (aes_lipi.__version__, np.__version__)
    return NodeFacts(socket.gethostname(), processor_name(), versions, this_node())


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
