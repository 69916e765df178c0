"""Which cluster to use, found without importing ray."""

from __future__ import annotations

import importlib.util
import os
import socket
import tempfile
from pathlib import Path

from aes_lipi.errors import UserError

HERE = "local"
"""The address that starts Ray on this machine, for as long as the study runs."""

CONNECT_TIMEOUT_S = 2.0


def find_cluster(address: str | None = None) -> str | None:
    """The address of the cluster to use, or None if there is none.

    Looks at `address`, then at RAY_ADDRESS, then for a Ray that was started on this machine.

    Raises:
        UserError: an address is given that cannot be used.
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
