"""Where a study runs: on this machine, or on a cluster if there is one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aes_lipi.errors import UserError
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.ray.discovery import HERE, find_cluster
from aes_lipi.execution.ray.options import ClusterOptions
from aes_lipi.execution.study import Runner


@contextmanager
def local_runner(jobs: int | None, trials_per_worker: int | None) -> Iterator[Runner]:
    """Trials in processes of this machine; see `LocalRunner`."""
    yield LocalRunner(jobs, trials_per_worker)


@contextmanager
def cluster_runner(address: str, options: ClusterOptions) -> Iterator[Runner]:
    """Trials on a Ray cluster, to which this process is connected meanwhile.

    Raises:
        UserError: there is no connection to be had.
    """
    from aes_lipi.execution.ray.connection import connected  # noqa: PLC0415 - ray is slow

    with connected(address):
        from aes_lipi.execution.ray.runner import ClusterRunner  # noqa: PLC0415

        yield ClusterRunner(options)


def where_to_run(local: bool, address: str | None, asks_for_cluster: bool) -> str | None:
    """The address of the cluster to use; None for this machine alone.

    Args:
        local: this machine, whatever there is.
        address: of a cluster, if one is named.
        asks_for_cluster: whether what is asked for needs a cluster; where there is none, Ray is
            started on this machine.

    Raises:
        UserError: the wishes exclude each other, or the cluster cannot be used.
    """
    if local and (address is not None or asks_for_cluster):
        raise UserError(
            "--local: runs without a cluster; leave out --address, --placement, "
            "--cells_per_actor and --cell_resources"
        )
    if local:
        return None
    found = find_cluster(address)
    if found is None and asks_for_cluster:
        return find_cluster(HERE)
    return found
