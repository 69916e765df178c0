"""Which cluster is joined: one that is asked for, or one of this user's own; found without ray.

Whoever is joined runs code here: what workers answer is unpickled. So a cluster that nobody asked
for is joined only if its word of itself, and what listens there, can be nobody else's.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from aes_lipi.errors import UserError, printable
from aes_lipi.io.ownership import read_own

HERE = "local"
"""The address that starts Ray on this machine, for as long as the study runs."""

_CONNECT_TIMEOUT_S = 2.0

_LONGEST = 300  # bytes of an address
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
"""How a client of gRPC begins: HTTP/2's preface, and settings, of which there are none."""

_SETTINGS = 4  # the kind of frame that a server begins with


@dataclass(frozen=True)
class Chosen:
    """Where trials run.

    Attributes:
        address: of the cluster, or `HERE`; None for this machine without Ray.
        remark: why a cluster that left word of itself is not joined; empty if there is none.
    """

    address: str | None
    remark: str = ""


def find_cluster(address: str | None = None) -> Chosen:
    """Choose the cluster to use.

    Asked for is `address`, or else RAY_ADDRESS, unless that is `auto`. Otherwise it is the Ray that
    was started on this machine, if it is this user's own, or root's.

    Raises:
        UserError: nothing answers at the address that is asked for; start it, or use --local.
    """
    wanted = address or os.environ.get("RAY_ADDRESS") or None
    if not _ray_is_installed():
        if wanted is None:
            return Chosen(None)
        raise UserError(
            f"Ray cluster {printable(wanted)}: ray is not installed here; install the extra: "
            "pip install --constraint constraints.txt '.[cluster]'"
        )
    if wanted in (None, "auto"):
        found = _running_here()
        if wanted == "auto" and found == Chosen(None):
            raise UserError(
                "--address auto: no Ray is running on this machine; start it, or leave the flag out"
            )
        return found
    _check_asked_for(wanted)
    return Chosen(wanted)


def system_temporary() -> Path:
    """Where Ray keeps what is temporary, and word of itself, if it is told nothing else."""
    told = os.environ.get("RAY_TMPDIR")
    return Path(told or ("/tmp" if Path("/tmp").is_dir() else tempfile.gettempdir()))


def _check_asked_for(address: str) -> None:
    """Refuse an address at which there is no Ray.

    Raises:
        UserError: it is none of the form HOST:PORT, or nothing answers there as Ray does.
    """
    if address == HERE:
        return
    if address.startswith(("ray://", "http://", "https://")):
        raise UserError(
            f"--address {printable(address)}: give the address of the cluster's head as host:port, "
            "on one of its nodes, or submit the command with ray submit or ray job submit"
        )
    complaint = silence(address)
    if complaint is not None:
        raise UserError(
            f"Ray cluster {printable(address)}: {complaint} (host:port of the head is expected); "
            "start it, or use --local for this machine alone"
        )


def _ray_is_installed() -> bool:
    return importlib.util.find_spec("ray") is not None


def _running_here() -> Chosen:
    """The Ray that `ray start` left word of, if it is this user's own and answers."""
    path = system_temporary() / "ray" / "ray_current_cluster"
    try:
        address = read_own(path, _LONGEST, opened=True).decode().strip()
    except PermissionError as error:
        return _passed_over(f"the Ray cluster of {path}", error.strerror or str(error))
    except FileNotFoundError:
        return Chosen(None)
    except (OSError, UnicodeDecodeError) as error:
        return _passed_over(f"the Ray cluster of {path}", f"the file cannot be read ({error})")
    complaint = silence(address) or _stranger(address)
    if complaint is None:
        return Chosen(address)
    return _passed_over(f"the Ray cluster at {printable(address)}, of {path}", complaint)


def _passed_over(cluster: str, why: str) -> Chosen:
    return Chosen(
        None, f"here, not on {cluster}: {why} (--address HOST:PORT joins a cluster all the same)"
    )


def _parts(address: str) -> tuple[str, int] | None:
    """Host and port of an address; None if it has no such form."""
    host, colon, port = address.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 2**16):
        return None
    return host.strip("[]"), int(port)


def silence(address: str) -> str | None:
    """Why what is at an address cannot be Ray; None if it may be."""
    parts = _parts(address)
    if parts is None:
        return "nothing answers there"
    try:
        with socket.create_connection(parts, _CONNECT_TIMEOUT_S) as connection:
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return None  # it answers nobody without a handshake
            connection.sendall(_HELLO)
            answer = b""
            while len(answer) < 4 and (part := connection.recv(64)):
                answer += part
    except TimeoutError:
        return f"nothing answers there within {_CONNECT_TIMEOUT_S:.0f} seconds"
    except (ConnectionResetError, BrokenPipeError):
        answer = b""
    except (OSError, UnicodeError):
        return "nothing answers there"
    return None if answer[3:4] == bytes([_SETTINGS]) else "what answers there is no Ray"


def _stranger(address: str) -> str | None:
    """Whose process listens at an address, if the machine is this one and the user is another.

    A port is free for anybody once its Ray has ended.
    """
    parts = _parts(address)
    if parts is None or not _is_here(parts[0]):
        return None
    others = _listeners(parts[1]) - {os.geteuid(), 0}
    return f"a process of another user (uid {min(others)}) listens there" if others else None


def _is_here(host: str) -> bool:
    """Whether a host is this machine: only its own addresses can be listened at."""
    with contextlib.suppress(OSError):
        for family, kind, protocol, _, place in socket.getaddrinfo(host, 0, type=socket.SOCK_DGRAM):
            with socket.socket(family, kind, protocol) as probe, contextlib.suppress(OSError):
                probe.bind(place)
                return True
    return False


def _listeners(port: int) -> set[int]:
    """The users who listen at a port of this machine, at any of its addresses."""
    found: set[int] = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):  # not Linux, or no IPv6
            lines = Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]
            found |= _users(lines, port)
    return found


def _users(lines: Iterable[str], port: int) -> set[int]:
    """Who listens at a port, from the lines of proc_net_tcp(5)."""
    rows = (line.split() for line in lines)
    listening = "0A"
    return {int(row[7]) for row in rows if row[3] == listening and row[1].endswith(f":{port:04X}")}
