"""A machine of two ordinary users, ada and bob, made of namespaces: what they do is done for real.

It has its own processes (with `hidepid=2`, as login nodes have it), network, `/tmp`, homes and
list of users, and this checkout and its Python under their paths, readable by all. Root makes it;
without root the tests are skipped, and say why.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from patience import PATIENCE_S

REPOSITORY = Path(__file__).resolve().parents[2]
UIDS = {"root": 0, "ada": 61001, "bob": 61002}
_UNSHARE = ["unshare", "--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child"]
_READY = "ready"


def why_not() -> str | None:
    """Why there can be no such machine here; None if there can.

    Root has all that it takes, so that under root nothing is passed over.
    """
    return None if os.geteuid() == 0 else "only root can make processes of other users"


@dataclass(frozen=True)
class Machine:
    """The machine while it runs.

    Attributes:
        pid: of its first process, as seen from here.
    """

    pid: int

    def popen(self, user: str, *command: object, **environment: str) -> subprocess.Popen[str]:
        """Start a command of a user; in a home of 0700, with an environment of its own."""
        ids = [f"--reuid={UIDS[user]}", f"--regid={UIDS[user]}", "--clear-groups"]
        inside = ["nsenter", "-t", str(self.pid), "-m", "-p", "-n", "-i"]
        home = f"/home/{user}"
        variables = {
            "HOME": home,
            "USER": user,
            "LOGNAME": user,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}",
            "PYTHONDONTWRITEBYTECODE": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            **environment,
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        entered = shlex.join(map(str, ["exec", "env", "-i", *words, *command]))
        return subprocess.Popen(
            [*inside, "setpriv", *ids, "sh", "-c", f"umask 022; cd {home}; {entered}"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, user: str, *command: object, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of a user to its end."""
        with self.popen(user, *command, **environment) as process:
            try:
                out, errors = process.communicate(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return subprocess.CompletedProcess([*map(str, command)], process.returncode, out, errors)

    def command_line(
        self, user: str, *arguments: object, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `aes-lipi` as a user."""
        words = [sys.executable, "-m", "aes_lipi", *arguments]
        return self.run(user, *words, **environment)

    def path(self, inside: str | Path) -> Path:
        """Where a file of the machine is seen from here."""
        return Path(f"/proc/{self.pid}/root") / str(inside).lstrip("/")

    def write(self, user: str, place: str, content: str | bytes, mode: int = 0o644) -> Path:
        """Lay a file down that is a user's."""
        path = self.path(place)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chown(path, UIDS[user], UIDS[user])
        path.chmod(mode)
        return path

    def folder(self, user: str, place: str, mode: int = 0o755) -> Path:
        """Make a folder that is a user's."""
        path = self.path(place)
        path.mkdir()
        os.chown(path, UIDS[user], UIDS[user])
        path.chmod(mode)
        return path

    def processes(self, user: str) -> dict[int, str]:
        """The living processes of a user by their ids here, and their command lines."""
        found = {}
        here = Path(f"/proc/{self.pid}/ns/pid").stat().st_ino
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                mine = (entry / "ns/pid").stat().st_ino == here
                line = (entry / "cmdline").read_text().replace("\0", " ")
                if mine and line and entry.stat().st_uid == UIDS[user]:  # the dead have none
                    found[int(entry.name)] = line
            except OSError:
                continue
        return found


def start() -> subprocess.Popen[str]:
    """Start a machine; see `booted`."""
    script = "\n".join(["set -e", *_setup(), f"echo {_READY}", "exec sleep infinity"])
    return subprocess.Popen([*_UNSHARE, "bash", "-c", script], stdout=subprocess.PIPE, text=True)


def booted(process: subprocess.Popen[str]) -> Machine:
    """The machine that a process has started, once it is there."""
    assert process.stdout is not None
    assert process.stdout.readline().strip() == _READY
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return Machine(int(children[0]))


def stop(process: subprocess.Popen[str]) -> None:
    """End a machine with all that runs on it."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=PATIENCE_S)


def _setup() -> list[str]:
    """The commands that root makes the machine with."""
    shown = _shown()
    lines = [
        "mount --make-rprivate /",
        "mount -t proc -o hidepid=2 proc /proc",
        "ip link set lo up",
    ]
    lines += ["mount -t tmpfs -o mode=755 none /mnt"]
    for k, path in enumerate(shown):
        lines += [f"mkdir /mnt/{k}", f"mount --rbind {shlex.quote(path)} /mnt/{k}"]
    lines += ["mount -t tmpfs -o mode=1777 none /tmp", "mount -t tmpfs -o mode=755 none /home"]
    lines += [f"mount -t tmpfs -o mode=755 none {each}" for each in _closed(shown)]
    for k, path in enumerate(shown):
        quoted = shlex.quote(path)
        lines += [f"mkdir -p {quoted}", f"mount --rbind /mnt/{k} {quoted}"]
    lines += ["mkdir -p /root /home/root", "cp /etc/passwd /mnt/passwd", "cp /etc/group /mnt/group"]
    for name, uid in list(UIDS.items())[1:]:
        lines += [
            f"mkdir -m 700 /home/{name}",
            f"chown {uid}:{uid} /home/{name}",
            f"echo {name}:x:{uid}:{uid}::/home/{name}:/bin/sh >> /mnt/passwd",
            f"echo {name}:x:{uid}: >> /mnt/group",
        ]
    return [*lines, *(f"mount --bind /mnt/{each} /etc/{each}" for each in ("passwd", "group"))]


def _shown() -> list[str]:
    """What the users need of this machine, and is in nobody's way."""
    places = [REPOSITORY, Path(sys.prefix), Path(sys.base_prefix)]
    return list(dict.fromkeys(str(each.resolve()) for each in places))


def _closed(paths: Sequence[str]) -> list[str]:
    """The topmost folders above some paths that others may not enter, outside `/tmp`."""
    found = []
    for path in map(Path, paths):
        for above in reversed(path.parents):
            if above.is_relative_to("/tmp"):
                break
            if not above.stat().st_mode & 0o001:
                found.append(str(above))
                break
    return list(dict.fromkeys(found))
