"""Signals end a command in time, whatever it is at, with one line and without a traceback."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from patience import PATIENCE_S, wait_until

from aes_lipi.results.checkpoint import identify

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
hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # compiled: no handler of Python's runs
"""
QUIET = "from aes_lipi.cli.terminal import ends_by_interrupt; ends_by_interrupt.set()"


def ended(
    signals: list[signal.Signals], code: str, *arguments: str, after_s: float = 0.0
) -> tuple[int, list[str]]:
    """Send signals to a command, which must end within a minute: its exit code and what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(after_s)
        for each in signals:
            process.send_signal(each)
            time.sleep(0.05)
        _, errors = process.communicate(timeout=PATIENCE_S)
        return process.returncode, errors.splitlines()


@pytest.mark.parametrize("after_s", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_while_modules_load_a_command_ends_at_once(
    sent: signal.Signals, after_s: float, tmp_path: Path
) -> None:
    code, said = ended(
        [sent], COMMAND, "run", *LONG, "--output_dir", str(tmp_path / "s"), after_s=after_s
    )
    assert code == 130
    assert said[-1] == INTERRUPTED
    assert not any("Traceback" in line for line in said)


@pytest.mark.parametrize("sent", [[signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]])
def test_compiled_code_does_not_hold_a_process_back(sent: list[signal.Signals]) -> None:
    code, said = ended(sent, STUCK)
    assert (code, said) == (130, [INTERRUPTED])


def test_a_command_that_has_no_other_end_has_nothing_to_say_of_it() -> None:
    assert ended([signal.SIGINT], QUIET + STUCK) == (130, [])


def test_a_bug_is_told_as_one_with_an_exit_code_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", BUG], capture_output=True, text=True, check=False)
    first, *rest = done.stderr.splitlines()
    assert done.returncode == 70
    assert first.startswith("error: this is a bug in aes_lipi")
    assert "report" in first
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "RuntimeError: of s3://bucket/a"


GRACE_S = 25.0
TINY = ["--n_clusters", "2", "--n_examples_per_cluster", "4", "--n_dim", "6", "--device", "cpu"]


def written_down(folder: Path) -> dict[Path, int]:
    """The newest generation that is written down of every trial, by its folder."""
    paths = sorted(folder.glob("checkpoints/*/*/generation=*.safetensors"))
    return {path.parent: int(path.stem.partition("=")[2]) for path in paths}


@contextmanager
def running_trials(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A command with two trials on their way in workers, whose process ids are given, too."""
    command = [sys.executable, "-m", "aes_lipi", "run", "--rq", "quickstart", "--trials", "2"]
    flags = ["--epochs", "1000000", "--checkpoint_interval", "1s", "--jobs", "2", "--local", *TINY]
    with subprocess.Popen(
        [*command, *flags, "--output_dir", str(folder)], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            wait_until(lambda: len(written_down(folder)) == 2)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            workers = [int(pid) for pid in children if b"spawn_main" in command_of(int(pid))]
            assert len(workers) == 2
            yield process, workers
        finally:
            process.kill()


def command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_after_sigterm_running_trials_are_written_down_within_the_grace(tmp_path: Path) -> None:
    with running_trials(tmp_path) as (process, workers):
        before, sent = written_down(tmp_path), time.monotonic()
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=2 * GRACE_S)
        assert time.monotonic() - sent < GRACE_S + 2.0
    assert process.returncode == 130
    assert said.splitlines()[-1] == INTERRUPTED
    for trial, newest in written_down(tmp_path).items():
        content = (trial / f"generation={newest:08d}.safetensors").read_bytes()
        assert identify(content).generations == newest > before[trial]
    assert not any(command_of(pid) for pid in workers)


def test_workers_end_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    with running_trials(tmp_path) as (process, workers):
        process.kill()
        process.wait()
        wait_until(lambda: not any(command_of(pid) for pid in workers))


def test_a_time_limit_ends_a_run_as_a_batch_system_does(tmp_path: Path) -> None:
    command = [sys.executable, "-c", COMMAND, "run", *LONG, "--local", "--time_limit", "2s"]
    done = subprocess.run(
        [*command, "--output_dir", str(tmp_path / "s")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == INTERRUPTED
