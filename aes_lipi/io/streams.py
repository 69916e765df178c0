"""Standard output and error whose loss ends no program: a reader that left, a full disk."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class _SparedFile(io.FileIO):
    """A file that takes everything, and drops what it cannot write.

    Attributes:
        lost: why something was dropped, the first time; None if nothing was.
    """

    lost: OSError | None = None

    def write(self, data: Any, /) -> int:
        """Write bytes, all of them or as many as at once; says how many."""
        try:
            while (written := super().write(data)) is None:  # it does not block, and is full
                select.select([], [self], [])
        except OSError as error:
            self.lost = self.lost or error
            return memoryview(data).nbytes
        return written


@contextmanager
def spared_streams() -> Iterator[Callable[[], OSError | None]]:
    """Let nothing that is printed in a block end it; letters that a terminal lacks become `?`.

    Streams that somebody has put in place of the process's own are left alone.

    Yields:
        tells why standard output was lost, if it was, but for a reader that has seen enough.
    """
    _fill_closed()
    before, spared = (sys.stdout, sys.stderr), _spared(sys.stdout, sys.__stdout__, "replace")
    if spared is not None:
        sys.stdout = spared
    sys.stderr = _spared(sys.stderr, sys.__stderr__, "backslashreplace") or sys.stderr

    def lost() -> OSError | None:
        if spared is None:
            return None
        spared.flush()
        raw: _SparedFile = spared.buffer.raw  # type: ignore[attr-defined]
        return None if raw.lost is None or raw.lost.errno == errno.EPIPE else raw.lost

    try:
        yield lost
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        sys.stdout, sys.stderr = before


def _spared(stream: TextIO | None, own: TextIO | None, errors: str) -> io.TextIOWrapper | None:
    if stream is None or stream is not own or not isinstance(stream, io.TextIOWrapper):
        return None
    return io.TextIOWrapper(
        io.BufferedWriter(_SparedFile(stream.fileno(), "wb", closefd=False)),
        encoding=stream.encoding,
        errors=errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _fill_closed() -> None:
    """Open what is closed of the three, or the next file would take its place and what is said."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
