"""Notice that a process will soon be stopped, as batch systems and clouds give it (SIGTERM).

Who runs trials in this process may mind it: they are written down first, and then it ends.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Notice = Callable[[], bool]
"""Tells whether notice was given."""

_given = threading.Event()
_minded = threading.Event()


def never() -> bool:
    """No notice is ever given."""
    return False


def give_notice() -> bool:
    """Give notice to this process; False if nobody minds it, or it was given before."""
    if not _minded.is_set() or _given.is_set():
        return False
    _given.set()
    return True


def was_given() -> bool:
    """Whether notice was given to this process."""
    return _given.is_set()


@contextmanager
def minded() -> Iterator[None]:
    """Mind a notice while a block runs."""
    _given.clear()
    _minded.set()
    try:
        yield
    finally:
        _minded.clear()
        _given.clear()
