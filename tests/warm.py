"""Processes that start at once: copies of one that has imported what they need.

A command of the package takes 2 s to import its modules and to load its kernels, and so does each
of its workers: seldom is that what a test is about. One process for each process of pytest imports
them once and stands by. Whatever is started here is a fork of it: a process of its own, with its
own streams, folder, environment, session, signals and exit code, and a child of the one that asked
for it. A command that is started so leaves a copy standing by for its own workers.

Where the start matters (its time, what is imported, the environment of numerical libraries), tests
use `subprocess`, and the fixture `cold_workers`. With `COLD_STARTS` in the environment, as `make
test-slow` has it, nothing is forked.
"""

from __future__ import annotations

import array
import atexit
import ctypes
import fcntl
import functools
import gc
import importlib
import multiprocessing.util
import os
import pickle
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from patience import PATIENCE_S

NEEDED = (
    *("aes_lipi.cli.commands", "aes_lipi.cli.run", "aes_lipi.cli.running"),
    *("aes_lipi.execution.local", "aes_lipi.execution.run", "aes_lipi.execution.ray.connection"),
    *("aes_lipi.results.health", "aes_lipi.analysis.tables", "pandas", "pyarrow.compute"),
)
"""Modules that a study loads; none of them starts a thread."""

COLD = "COLD_STARTS" in os.environ
TRUE_SPAWN: Callable[[bytes, Sequence[Any], Sequence[int]], int] = (
    multiprocessing.util.spawnv_passfds
)
_FOR_THE_ASKER = (signal.SIGINT, signal.SIGTERM)
_PR_SET_CHILD_SUBREAPER = 36
_standard_paths: list[str] = []
"""Of a process that stands by: where it finds modules, but for the folders of the tests."""


@dataclass(frozen=True)
class _Request:
    """A process to start.

    Attributes:
        argv: its command line.
        environment: its environment.
        cwd: its folder.
        mask: signals that it blocks at first.
        descriptors: numbers that it has for the file descriptors that come along.
        new_session: whether it leads a session.
    """

    argv: tuple[str, ...]
    environment: dict[str, str]
    cwd: str
    mask: frozenset[int]
    descriptors: tuple[int, ...]
    new_session: bool


class _Standby:
    """The asker's end of a process that stands by.

    Args:
        line: to that process.
    """

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._lock = threading.Lock()

    def start(
        self,
        argv: Sequence[str],
        descriptors: Mapping[int, int],
        *,
        environment: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        new_session: bool = False,
    ) -> int:
        """Start a process; its id. It is a child of this one.

        Args:
            argv: its command line.
            descriptors: ours for each number of its file descriptors.
            environment: its environment; this process's by default.
            cwd: its folder; this process's by default.
            new_session: whether it leads a session.
        """
        request = _Request(
            tuple(argv),
            dict(os.environ if environment is None else environment),
            os.fspath(cwd or Path.cwd()),
            frozenset(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))),
            tuple(descriptors),
            new_session,
        )
        prctl = ctypes.CDLL(None).prctl
        with self._lock:
            prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
            try:
                socket.send_fds(self._line, [pickle.dumps(request)], [*descriptors.values()])
                return int(self._line.recv(16))
            finally:
                prctl(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)

    def spawn(self, path: bytes, args: Sequence[Any], passed: Sequence[int]) -> int:
        """Start a worker of multiprocessing; see `multiprocessing.util.spawnv_passfds`."""
        if os.fsencode(path) != os.fsencode(sys.executable) or not _is_worker(args):
            return TRUE_SPAWN(path, args, passed)
        numbers = {0, 1, 2, *map(int, passed)}
        return self.start([os.fsdecode(each) for each in args], {n: n for n in numbers})


def _is_worker(args: Sequence[Any]) -> bool:
    return os.fsdecode(args[-1]) == "--multiprocessing-fork"


@functools.cache
def _standby() -> _Standby:
    """The process that stands by for this one."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    tests = Path(__file__).parent
    path = filter(None, (str(tests), str(tests.parent), os.environ.get("PYTHONPATH")))
    subprocess.Popen(
        [sys.executable, "-c", f"import warm; warm.stand_by({theirs.fileno()})"],
        stdin=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
        env={**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(path)},
    ).returncode = 0  # it ends when this process does: nobody waits for it
    theirs.close()
    atexit.register(ours.close)
    return _Standby(ours)


def warm_workers() -> None:
    """From now on, workers of multiprocessing that this process starts are forked."""

    def spawn(path: bytes, args: Sequence[Any], passed: Sequence[int]) -> int:
        known = _standby() if _is_worker(args) else None
        return TRUE_SPAWN(path, args, passed) if known is None else known.spawn(path, args, passed)

    if not COLD:
        multiprocessing.util.spawnv_passfds = spawn  # type: ignore[assignment]


class _Process(subprocess.Popen[str]):
    """A process that does not outlive a test that fails: leaving its block would wait for it."""

    def __exit__(self, kind: type[BaseException] | None, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


class _Popen(_Process):
    """A process that is a copy of the one that stands by."""

    def _execute_child(
        self,
        args: Sequence[str],
        _executable: Any,
        _preexec: Any,
        _close: Any,
        _passed: Any,
        cwd: str | None,
        env: Mapping[str, str] | None,
        *rest: Any,
    ) -> None:
        pipes, new_session = rest[3:9], rest[14]
        reads, _, _, writes, _, errors = pipes
        given = {0: reads, 1: writes, 2: errors}
        self.pid = _standby().start(
            list(map(str, args)),
            {number: number if ours == -1 else ours for number, ours in given.items()},
            environment=env,
            cwd=cwd,
            new_session=new_session,
        )
        self._child_created = True
        self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]


def start(
    command: Sequence[object],
    *,
    stdout: int | None = None,
    stderr: int | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> subprocess.Popen[str]:
    """Start a command of Python's, or `aes-lipi`; see `subprocess.Popen`."""
    kind = _Process if COLD else _Popen
    return kind(
        list(map(str, command)),
        stdout=stdout,
        stderr=stderr,
        text=True,
        cwd=cwd,
        env=env,
        start_new_session=new_session,
    )


def run(
    command: Sequence[object],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = PATIENCE_S,
    check: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and hear what it says; see `subprocess.run`."""
    pipe = subprocess.PIPE
    with start(command, stdout=pipe, stderr=pipe, cwd=cwd, env=env) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, errors)
    if check:
        done.check_returncode()
    return done


# --- the process that stands by


def _serve(line: socket.socket) -> tuple[_Request, list[int]]:
    """Stand by until nobody can ask any more; returns in each process that is asked for.

    A middle process ends at once, so that the new one becomes a child of the asker.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _FOR_THE_ASKER)
    while True:
        message, descriptors, _, _ = socket.recv_fds(line, 2**20, 64)
        if not message:
            os._exit(0)
        (reads, writes), (waits, lets) = os.pipe(), os.pipe()
        middle = os.fork()
        if middle == 0:
            child = os.fork()
            if child != 0:
                os.write(writes, array.array("i", [child]).tobytes())
                os._exit(0)
            for each in (reads, writes, lets, line.detach()):
                os.close(each)
            os.read(waits, 1)
            os.close(waits)
            return pickle.loads(message), descriptors
        for each in (writes, waits, *descriptors):
            os.close(each)
        [pid] = array.array("i", os.read(reads, 4))
        os.waitpid(middle, 0)
        line.send(str(pid).encode())
        os.close(reads)
        os.close(lets)


def _become(request: _Request, descriptors: list[int]) -> None:
    """Be the process that was asked for, but for what it runs."""
    if request.new_session:
        os.setsid()
    _take(descriptors, request.descriptors)
    os.chdir(request.cwd)
    os.environ.clear()
    os.environ.update(request.environment)
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        old = getattr(sys, name)
        new = open(  # noqa: SIM115 - for the life of the process
            *(number, mode),
            encoding=old.encoding,
            errors=old.errors,
            closefd=False,
            buffering=1 if number == 2 or os.isatty(number) else -1,
        )
        setattr(sys, name, new)
        setattr(sys, f"__{name}__", new)
    if not _is_worker(request.argv):
        _keep_one_for_workers()
    signal.pthread_sigmask(signal.SIG_SETMASK, request.mask)


def _take(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Give file descriptors their numbers."""
    aside = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, 512) for each in descriptors]
    for each in descriptors:
        os.close(each)
    for each, number in zip(aside, numbers, strict=True):
        os.dup2(each, number)
        os.close(each)


def _keep_one_for_workers() -> None:
    """Leave a copy standing by for workers of this process; it returns in each of them."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        ours.close()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.close(nothing)
        _run(*_serve(theirs))
    theirs.close()
    multiprocessing.util.spawnv_passfds = _Standby(ours).spawn  # type: ignore[assignment]


def _run(request: _Request, descriptors: list[int]) -> None:
    """Run what was asked for, as the interpreter does."""
    _become(request, descriptors)
    sys.orig_argv = list(request.argv)
    program, *words = request.argv
    if program != sys.executable:
        words = [program, *words]
    while words[0].startswith("-") and words[0] not in ("-c", "-m"):
        del words[0]
    paths = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = ["", *paths, *_standard_paths]
    if words[0] == "-c":
        _, code, *rest = words
        sys.argv = ["-c", *rest]
        main = ModuleType("__main__")
        sys.modules["__main__"] = main
        exec(compile(code, "<string>", "exec"), main.__dict__)
    elif words[0] == "-m":
        sys.argv = words[1:]
        sys.path[0] = str(Path.cwd())
        runpy.run_module(words[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = words
        sys.path[0] = str(Path(words[0]).resolve().parent)
        runpy.run_path(words[0], run_name="__main__")
    sys.exit()


def stand_by(descriptor: int) -> None:
    """Import what is needed, and stand by for who is at the other end of a socket."""
    own = {"", *os.environ["PYTHONPATH"].split(os.pathsep)}
    _standard_paths.extend(path for path in sys.path if path not in own)
    for name in NEEDED:
        importlib.import_module(name)
    importlib.import_module("aes_lipi.engine.dense").compile_kernels()
    gc.collect()
    gc.freeze()  # no collection of a copy touches what it shares
    _run(*_serve(socket.socket(fileno=descriptor)))
