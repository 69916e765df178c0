"""A real Ray cluster of three nodes on this machine, for all tests of this folder."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest
from ray_processes import NOTICES_SOON, NodeProcesses


@pytest.fixture(scope="session")
def three_nodes() -> Iterator[NodeProcesses]:
    """Three nodes of two CPUs; this process is connected."""
    import ray  # noqa: PLC0415 - slow, and not for those who run other tests
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    monkeypatch = pytest.MonkeyPatch()
    short = tempfile.mkdtemp(prefix="ray-")  # sockets below it allow no long path
    monkeypatch.setenv("RAY_TMPDIR", short)
    monkeypatch.setenv("RAY_max_direct_call_object_size", "1000000")
    node: dict[str, Any] = {"num_cpus": 2, "include_log_monitor": False}  # nobody reads logs here
    head = node | {"include_dashboard": False, "_system_config": NOTICES_SOON}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(**node)
    monkeypatch.undo()
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield NodeProcesses(cluster)
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]
    shutil.rmtree(short, ignore_errors=True)
