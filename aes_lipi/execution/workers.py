"""Worker processes that run one trial, or one stack of trials, after another.

A worker has a pipe to the driver. It may die at any moment: the driver then starts another in its
place and gives the trials to it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections.abc import Hashable, Iterator, Mapping, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess

from aes_lipi.execution.inputs import SharedDataset, map_shared
from aes_lipi.execution.job import Job, Said, now_and_then
from aes_lipi.execution.trial import run_trials

PROGRESS_INTERVAL_S = 0.25
FOR_THE_DRIVER = (signal.SIGINT, signal.SIGTERM)
"""Signals that often come to all processes of a job; the driver tells its workers what to do."""

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "TORCHINDUCTOR_COMPILE_THREADS",
)


def one_thread_per_process() -> None:
    """Ask numerical libraries that this process and its children load later for one thread."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = "1"


@contextlib.contextmanager
def _heritage() -> Iterator[None]:
    """What a worker takes over at its start: one thread, and deafness to signals for the driver.

    The driver's own environment is as before afterwards, and it hears what came meanwhile.
    """
    before = dict(os.environ)
    heard = signal.pthread_sigmask(signal.SIG_BLOCK, FOR_THE_DRIVER)
    one_thread_per_process()
    try:
        yield
    finally:
        for variable in THREAD_VARIABLES:
            if variable in before:
                os.environ[variable] = before[variable]
            else:
                del os.environ[variable]
        signal.pthread_sigmask(signal.SIG_SETMASK, heard)


class Worker:
    """The driver's end of a worker process.

    Args:
        datasets: that it maps instead of reading them.
    """

    def __init__(self, datasets: Mapping[Hashable, SharedDataset] | None = None) -> None:
        context: SpawnContext = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process: SpawnProcess = context.Process(
            target=_work, args=(theirs, datasets or {}), daemon=True
        )
        with _heritage():
            self._process.start()
        theirs.close()

    def assign(self, stack: Sequence[Job]) -> None:
        """Give the worker trials to run beside each other."""
        with contextlib.suppress(OSError):  # it has just died: `receive` will tell
            self.connection.send(tuple(stack))

    def give_notice(self) -> None:
        """Ask for the trials to be written down, and to stop."""
        with contextlib.suppress(OSError):  # it has just died: `receive` will tell
            self.connection.send(None)

    def receive(self) -> Said | None:
        """The worker's next word, and of which trial; None if it is dead."""
        try:
            said: Said = self.connection.recv()
        except (EOFError, OSError):
            return None
        return said

    def stop(self) -> None:
        """End the process, whatever it is doing; it writes no files."""
        self.connection.close()
        self._process.kill()
        self._process.join()

    @property
    def exit_reason(self) -> str:
        """How a dead worker ended."""
        self._process.join(timeout=5)
        code = self._process.exitcode
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"


def _work(connection: Connection, datasets: Mapping[Hashable, SharedDataset]) -> None:
    """The life of a worker: run what comes through the pipe until it closes.

    What comes while a trial runs is notice.
    """
    map_shared(datasets)
    for each in FOR_THE_DRIVER:
        signal.signal(each, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FOR_THE_DRIVER)
    while True:
        try:
            stack: tuple[Job, ...] | None = connection.recv()
            if stack is None:
                continue  # the trials that were to stop had ended by themselves
            said = run_trials(stack, notice=connection.poll)
            for job, message in now_and_then(said, PROGRESS_INTERVAL_S):
                connection.send((job.id, message))
        except (EOFError, OSError):  # the driver is gone: nobody wants the trial any more
            return
