"""What a cluster may still become: the nodes that its autoscaler is allowed to start."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import ray
import yaml

Resources = dict[str, float]

BOOTSTRAP_CONFIG = "ray_bootstrap_config.yaml"
"""Where `ray up` leaves the cluster's configuration in the home directory of its head."""

DEFAULT_MAX_WORKERS = 2
MOST_NODES = 10_000


def nodes_to_come(n_workers: int) -> list[Resources] | None:
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
        text = (Path.home() / BOOTSTRAP_CONFIG).read_text(encoding="utf-8")
        return yaml.safe_load(text)
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _allowed(config: dict[str, Any]) -> list[Resources]:
    """All workers of a configuration, the largest first."""
    at_most = int(config.get("max_workers", DEFAULT_MAX_WORKERS))
    workers = [
        {name: float(amount) for name, amount in kind["resources"].items()}
        for name, kind in config["available_node_types"].items()
        if name != config.get("head_node_type")
        for _ in range(min(int(kind.get("max_workers", at_most)), MOST_NODES))
    ]
    workers.sort(key=lambda resources: resources.get("CPU", 0.0), reverse=True)
    return workers[:at_most]
