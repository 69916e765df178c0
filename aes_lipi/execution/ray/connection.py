"""The cluster that a user asks for: found and checked without ray, then connected to."""

from __future__ import annotations

import importlib.util
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aes_lipi.errors import UserError

Placement = Literal["cell", "trial"]


@dataclass(frozen=True)
class ClusterOptions:
    """What the user asks of the cluster.

    Attributes:
        placement: every cell an actor, or whole rings inside trial tasks.
        cells_per_actor: cells that one actor holds; None chooses by the measured generation time.
        resources: what one cell actor, or one trial task, reserves; a CPU share is chosen where
            `CPU` is missing.
        trials_at_a_time: at most so many, or stacks of them; None for as many as the cluster holds.
        window: generations in flight before the oldest one's records are waited for.
        trials_per_worker: that an engine for a GPU trains side by side in one task; None for as
            many as the GPU's memory holds.
    """

    placement: Placement = "cell"
    cells_per_actor: int | None = None
    resources: tuple[tuple[str, float], ...] = ()
    trials_at_a_time: int | None = None
    window: int = 4
    trials_per_worker: int | None = None


def parse_resources(text: str) -> tuple[tuple[str, float], ...]:
    """Resources as Ray names them, from `CPU=1,GPU=0.25`.

    Raises:
        UserError: the text is not of the form CPU=1,GPU=0.5; give amounts.
    """
    resources: dict[str, float] = {}
    for part in text.split(","):
        name, equals, amount = part.strip().partition("=")
        try:
            value = float(amount)
        except ValueError:
            value = -1.0
        if not name or not equals or not 0 <= value < 1e6 or name in resources:
            raise UserError(f"--cell_resources {text[:60]}: give amounts, as in CPU=1,GPU=0.25")
        resources[name] = value
    return tuple(resources.items())


HERE = "local"
"""The address that starts Ray on this machine, for as long as the study runs."""

CONNECT_TIMEOUT_S = 2.0


def find_cluster(address: str | None = None) -> str | None:
    """The address of the cluster to use, or None if there is none.

    Looks at `address`, then at RAY_ADDRESS, then for a Ray that was started on this machine.

    Raises:
        UserError: nothing answers at the address that is given; start it, or use --local.
    """
    wanted = address or os.environ.get("RAY_ADDRESS")
    if wanted is None:
        return _running_here() if _ray_is_installed() else None
    if not _ray_is_installed():
        raise UserError(
            f"Ray cluster {wanted}: ray is not installed here; install the extra: "
            "pip install --constraint constraints.txt '.[cluster]'"
        )
    if wanted.startswith(("ray://", "http://", "https://")):
        raise UserError(
            f"--address {wanted}: give the address of the cluster's head as host:port, on one of "
            "its nodes, or submit the command with ray submit or ray job submit"
        )
    if wanted == "auto":
        wanted = _running_here() or ""
        if not wanted:
            raise UserError(
                "--address auto: no Ray is running on this machine; start it, or leave the flag out"
            )
    if wanted != HERE and not _answers(wanted):
        raise UserError(
            f"Ray cluster {wanted}: nothing answers there (host:port of the head is expected); "
            "start it, or use --local for this machine alone"
        )
    return wanted


def _ray_is_installed() -> bool:
    return importlib.util.find_spec("ray") is not None


def _running_here() -> str | None:
    """The Ray that `ray start` or `ray.init` left word of, if it still answers."""
    temporary = os.environ.get("RAY_TMPDIR") or _system_temporary()
    try:
        address = (Path(temporary) / "ray" / "ray_current_cluster").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return address if _answers(address) else None


def _system_temporary() -> str:
    return "/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()


def _answers(address: str) -> bool:
    """Whether something listens at host:port."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or not 0 < int(port) < 2**16:
        return False
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


INLINE_BYTES = 1_000_000
"""Objects up to this size travel inside calls: 247 KB of weights cost less so than through the
object store (tests/benchmarks/NOTES.md)."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster; a connection that the caller had is used and left.

    Args:
        address: host:port of its head, or `HERE` for a Ray of our own on this machine.

    Raises:
        UserError: nothing answers there, or it refuses the token; the message says which.
    """
    import ray  # noqa: PLC0415 - slow, and not needed to find out whether there is a cluster

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
    import ray  # noqa: PLC0415

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
