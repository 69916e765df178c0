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

_given = threading.Event()
_minded = threading.Event()


def give_notice() -> bool:
    """Give notice to this process; False if nobody minds it, or it was given before."""
    if not _minded.is_set() or _given.is_set():
        return False
    _given.set()
    return True


@contextmanager
def time_limit(
    seconds: float | None, leave: Callable[[], bool] = give_notice
) -> Iterator[Callable[[], bool]]:
    """Give notice to this process once a block has run for so many seconds.

    Args:
        seconds: None for no limit.
        leave: gives notice; False as long as nobody minds it.

    Yields:
        tells whether the time is up.
    """
    is_up, is_over = threading.Event(), threading.Event()

    def wait() -> None:
        if not is_over.wait(seconds):
            is_up.set()
            while not leave() and not is_over.wait(_AGAIN_S):
                pass

    if seconds is not None:
        threading.Thread(target=wait, name="time limit", daemon=True).start()
    try:
        yield is_up.is_set
    finally:
        is_over.set()


@contextmanager
def minded() -> Iterator[Callable[[], bool]]:
    """Mind a notice while a block runs.

    Yields:
        tells whether it was given.
    """
    _given.clear()
    _minded.set()
    try:
        yield _given.is_set
    finally:
        _minded.clear()
        _given.clear()
