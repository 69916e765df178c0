"""To the cluster and back."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from aes_lipi.errors import UserError
from aes_lipi.execution.ray.discovery import HERE

INLINE_BYTES = 1_000_000
"""Objects up to this size travel inside calls: 247 KB of weights cost less so than through the
object store (tests/benchmarks/NOTES.md)."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster; a connection that the caller had is used and left.

    Args:
        address: host:port of its head, or `HERE` for a Ray of our own on this machine.

    Raises:
        UserError: there is no connection to be had.
    """
    if ray.is_initialized():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    os.environ.setdefault("RAY_max_direct_call_object_size", str(INLINE_BYTES))
    try:
        _connect(address)
        for number, handler in handlers.items():  # Ray puts its own in their place
            signal.signal(number, handler)
        yield
    finally:
        ray.shutdown()


def _connect(address: str) -> None:
    try:
        if address == HERE:
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        else:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:200]
        hint = " (RAY_AUTH_MODE and the token must be the cluster's)" if "uth" in reason else ""
        raise UserError(f"Ray cluster {address}: cannot connect: {reason}{hint}") from None
