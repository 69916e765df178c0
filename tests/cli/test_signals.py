"""Signals end a command in time, whatever it is at, with one line and without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

INTERRUPTED = "error: interrupted; run the same command again to go on where it stopped"
LONG = ["--rq", "quickstart", "--epochs", "200000", "--jobs", "1", "--engine", "torch"]
COMMAND = """
from aes_lipi.cli import entry
run = entry._run
def said(program):
    print("ready", flush=True)
    return run(program)
entry._run = said
entry.main()
"""
BUG = """
from aes_lipi.cli import entry
def broken(program):
    raise RuntimeError("of s3://KEY:SECRET@bucket/a")
entry._run = broken
entry.main()
"""
STUCK = """
import hashlib
from aes_lipi.cli import entry
entry._heed_signals()
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # compiled: no handler of Python's runs
"""


def ended(
    signals: list[signal.Signals], code: str, *arguments: str, after_s: float = 0.0
) -> tuple[int, float, list[str]]:
    """Send signals to a command: its exit code, the seconds that it took, and what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_s)
        sent = time.monotonic()
        for each in signals:
            process.send_signal(each)
            time.sleep(0.05)
        _, errors = process.communicate(timeout=60)
        return process.returncode, time.monotonic() - sent, errors.splitlines()


@pytest.mark.parametrize("after_s", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_while_modules_load_a_command_ends_at_once(
    sent: signal.Signals, after_s: float, tmp_path: Path
) -> None:
    code, _, said = ended(
        [sent], COMMAND, "run", *LONG, "--output_dir", str(tmp_path / "s"), after_s=after_s
    )
    assert code == 130
    assert said[-1] == INTERRUPTED
    assert not any("Traceback" in line for line in said)


@pytest.mark.parametrize("sent", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
def test_compiled_code_does_not_hold_a_process_back(sent: list[signal.Signals]) -> None:
    code, took_s, said = ended(sent, STUCK)
    assert (code, said) == (130, [INTERRUPTED])
    assert took_s < 2.0  # 0.8, and what a busy machine takes to tell


def test_a_bug_is_told_as_one_with_an_exit_code_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", BUG], capture_output=True, text=True, check=False)
    first, *rest = done.stderr.splitlines()
    assert done.returncode == 70
    assert first.startswith("error: this is a bug in aes_lipi")
    assert "report" in first
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "RuntimeError: of s3://bucket/a"
