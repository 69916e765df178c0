"""Being connected to a cluster that there is, or to a Ray of our own that others cannot reach."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aes_lipi.errors import UserError
from aes_lipi.execution.ray.address import HERE, system_temporary
from aes_lipi.execution.ray.installation import inspect_ray, token_complaint
from aes_lipi.io.ownership import folder_fault, seen, this_account

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


_FINEST = 0.0001
"""The smallest part of a resource that Ray tells apart."""
_OF_RAY = ("memory", "object_store_memory")


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
        if 0 < value < _FINEST:
            raise UserError(f"--cell_resources {text[:60]}: give {_FINEST:f} at least, or 0")
        if name in _OF_RAY:
            raise UserError(
                f"--cell_resources {text[:60]}: {name} is Ray's own to share out; give CPU, GPU, "
                "or resources that nodes were started with"
            )
        resources[name] = value
    return tuple(resources.items())


INLINE_BYTES = 1_000_000
"""Objects up to this size travel inside calls: 247 KB of weights cost less so than through the
object store (tests/benchmarks/NOTES.md)."""


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Be connected to a cluster; a connection that the caller had is used and left.

    Args:
        address: host:port of its head, or `HERE` for a Ray of our own on this machine.

    Raises:
        UserError: nothing answers there, it refuses the token, or others may have that; the message
            says which.
    """
    import ray  # noqa: PLC0415 - slow, and not needed to find out whether there is a cluster

    if ray.is_initialized():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    os.environ.setdefault("RAY_max_direct_call_object_size", str(INLINE_BYTES))
    joined = _started_here() if address == HERE else _joined(address)
    with joined:
        for number, handler in handlers.items():  # Ray puts its own in their place
            signal.signal(number, handler)
        yield


@contextmanager
def _joined(address: str) -> Iterator[None]:
    """Be connected to a cluster that there is."""
    import ray  # noqa: PLC0415

    complaint = token_complaint(inspect_ray())
    if complaint is not None:
        raise UserError(f"Ray cluster {address}: {complaint.said}; {complaint.remedy}")
    try:
        _init(address, address)
        yield
    finally:
        ray.shutdown()


@contextmanager
def _started_here() -> Iterator[None]:
    """Have a Ray that nobody else can reach, and that ends with this process, however that ends.

    It listens on the loopback address alone, has a token that only the environment of its own
    processes holds, and keeps its sockets and logs in a folder that nobody else may enter.

    Raises:
        UserError: others may write where it would keep its files; choose another RAY_TMPDIR.
    """
    import ray  # noqa: PLC0415

    folder = _own_folder()
    variables = {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_TMPDIR": str(folder),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # one node is all there is
    }
    reaper = _reaper(folder)
    try:
        with _one_node_only():
            with _environment(variables):
                _read_token_anew()
                temporary = str(folder / "ray")  # which Ray opens to everybody
                _init(HERE, "local", include_dashboard=False, _temp_dir=temporary)
            yield
    finally:
        ray.shutdown()
        _read_token_anew()
        reaper.communicate()


def _own_folder() -> Path:
    """A new folder that nobody else may enter, where Ray's sockets may lie: its path is short."""
    try:
        place = system_temporary().resolve()
        place.mkdir(parents=True, exist_ok=True)
        complaint = folder_fault(seen(place), this_account())
        if complaint is not None:
            raise UserError(f"{place}: {complaint}; choose another folder as RAY_TMPDIR")
        return Path(tempfile.mkdtemp(prefix="aes-lipi-", dir=place))
    except OSError as error:
        raise UserError(f"{error}; choose another folder as RAY_TMPDIR") from None


def _reaper(folder: Path) -> subprocess.Popen[bytes]:
    """The process that ends what is left of Ray once this one is done with it, or gone."""
    script = Path(__file__).with_name("reaper.py")
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(script), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # what ends this process' group does not end it
    )


@contextmanager
def _one_node_only() -> Iterator[None]:
    """Have Ray take the loopback address for this node's own, whatever network there is."""
    from ray._private import ray_constants  # noqa: PLC0415

    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Have environment variables for processes that start while a block runs."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _read_token_anew() -> None:
    """Have Ray look at RAY_AUTH_MODE and the token again, which it keeps from the first look."""
    import ray  # noqa: PLC0415

    raylet: Any = ray._raylet
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()


_HINTS = {
    "uth": " (RAY_AUTH_MODE and the token must be the cluster's)",
    "timed out during startup": " (try again when less is running here)",
}


def _init(shown: str, address: str, **how: Any) -> None:
    """Connect, or start Ray; what its parts print meanwhile is not for users.

    Raises:
        UserError: it cannot be done; the message says why.
    """
    import ray  # noqa: PLC0415

    try:
        with _stderr_unheard():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **how)
    except Exception as error:  # of no kind of its own where Ray takes too long to start
        reason = " ".join(str(error).split())[:200]
        hint = next((hint for word, hint in _HINTS.items() if word in reason), "")
        raise UserError(f"Ray cluster {shown}: cannot connect: {reason}{hint}") from None


@contextmanager
def _stderr_unheard() -> Iterator[None]:
    """Let nothing that compiled code writes to the error stream be seen, while a block runs."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
