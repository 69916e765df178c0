"""Threads of this process, and the notice that it will soon be stopped; without numpy.

Batch systems and clouds give notice (SIGTERM). Who runs trials in this process may mind it: they
are written down first, and then it ends.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


_AGAIN_S = 0.2

_minding: set[Notice] = set()


class Notice:
    """Notice that trials are to be written down, and their run to end, to whoever minds it."""

    def __init__(self) -> None:
        self._given, self._minded = threading.Event(), threading.Event()

    def give(self) -> bool:
        """Give it; False if nobody minds it, or it was given before."""
        if not self._minded.is_set() or self._given.is_set():
            return False
        self._given.set()
        return True

    @contextmanager
    def minded(self) -> Iterator[Callable[[], bool]]:
        """Mind it while a block runs.

        Yields:
            tells whether it was given.
        """
        self._given.clear()
        self._minded.set()
        _minding.add(self)
        try:
            yield self._given.is_set
        finally:
            _minding.discard(self)
            self._minded.clear()
            self._given.clear()


def give_notice() -> bool:
    """Give notice to all runs of this process; False if nobody minds it, or it was given before."""
    given = [each.give() for each in tuple(_minding)]
    return any(given)


@contextmanager
def time_limit(seconds: float | None, leave: Callable[[], bool]) -> Iterator[Callable[[], bool]]:
    """Give notice once a block has run for so many seconds.

    Args:
        seconds: None for no limit.
        leave: gives notice; False as long as nobody minds it.

    Yields:
        tells whether the time is up.
    """
    is_up, is_over = threading.Event(), threading.Event()

    def wait() -> None:
        if not is_over.wait(None if seconds is None else min(seconds, threading.TIMEOUT_MAX)):
            is_up.set()
            while not leave() and not is_over.wait(_AGAIN_S):
                pass

    if seconds is not None:
        threading.Thread(target=wait, name="time limit", daemon=True).start()
    try:
        yield is_up.is_set
    finally:
        is_over.set()
