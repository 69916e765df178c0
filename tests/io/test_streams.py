"""Output that cannot be written ends nothing, and is not lost without a word."""

from __future__ import annotations

import errno
import io
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import PATIENCE_S

from aes_lipi.io.streams import spared_streams

FULL = Path("/dev/full")


@contextmanager
def own(monkeypatch: pytest.MonkeyPatch, target: int) -> Iterator[None]:
    """A file that is open, in ASCII, as the standard output of this process."""
    with os.fdopen(target, "w", encoding="ascii") as stream, monkeypatch.context() as patched:
        patched.setattr(sys, "stdout", stream)
        patched.setattr(sys, "__stdout__", stream)
        yield


def test_letters_that_a_terminal_lacks_are_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    target = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with own(monkeypatch, target), spared_streams() as lost:
        print("caf\u00e9 \u2026 \udcff")
        assert lost() is None
    assert (tmp_path / "out").read_text() == "caf? ? ?\n"


@pytest.mark.skipif(not FULL.exists(), reason="no device that is always full")
def test_a_full_disk_is_told_and_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with own(monkeypatch, os.open(FULL, os.O_WRONLY)), spared_streams() as lost:
        print("x" * 100_000)
        print("y", flush=True)
        why = lost()
    assert why is not None
    assert why.errno == errno.ENOSPC


def test_a_reader_that_has_seen_enough_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with own(monkeypatch, writing), spared_streams() as lost:
        print("x" * 100_000, flush=True)
        assert lost() is None


def test_a_pipe_that_does_not_block_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    got = bytearray()

    def read_late() -> None:
        time.sleep(0.05)
        while more := os.read(reading, 65536):
            got.extend(more)

    reader = threading.Thread(target=read_late)
    reader.start()
    with own(monkeypatch, writing), spared_streams() as lost:
        print("x" * 300_000, flush=True)
        assert lost() is None
    reader.join(timeout=PATIENCE_S)
    os.close(reading)
    assert bytes(got) == b"x" * 300_000 + b"\n"


def test_what_others_put_in_place_of_a_stream_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for theirs in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stdout", theirs)
        with spared_streams() as lost:
            assert sys.stdout is theirs
            print("x")
            assert lost() is None
