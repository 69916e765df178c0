"""A driver that is killed at a system call of a commit, at every one of them in turn."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from prepared import (
    prepared_checkpoint,
    prepared_failure,
    prepared_files,
    prepared_study,
    run_prepared,
    trial_ids,
)
from studies import assert_same_study, contents

from aes_lipi.results import index
from aes_lipi.results.cleaning import clean
from aes_lipi.results.reading import load_results
from aes_lipi.results.store import ResultStore

STUDY = prepared_study()
FIRST, SECOND = trial_ids(STUDY)
TESTS = Path(__file__).resolve().parents[1]
CALLS = (
    "mkdir,mkdirat,openat,write,pwrite64,fsync,fdatasync,close,rename,renameat,renameat2,"
    "link,linkat,unlink,unlinkat,rmdir,utimensat,ftruncate"
)
SAMPLE = 5

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")


@dataclass
class Committer:
    """A process whose children commit the first trial, or read; see `committer.py`."""

    process: subprocess.Popen[str]

    def commit(self, directory: Path, *options: str, run: str = "1") -> int:
        """Let a child commit, or read, under strace; return its exit status."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{directory}\t{run}\n")
        self.process.stdin.flush()
        child = int(self.process.stdout.readline())
        command = ["strace", "-f", "-p", str(child), "-e", f"trace={CALLS}", *options]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            line = strace.stderr.readline()
            assert "attached" in line, line
            os.kill(child, signal.SIGCONT)
            status = int(self.process.stdout.readline())
            strace.stderr.read()
        return status


@pytest.fixture(scope="module")
def committer() -> Iterator[Committer]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", str(TESTS / "results" / "committer.py")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{TESTS}:{TESTS.parent}", "OPENBLAS_NUM_THREADS": "1"},
    )
    with process:
        yield Committer(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("undisturbed") / "study"
    assert run_prepared(STUDY, directory) == [FIRST, SECOND]
    return directory


def before(directory: Path, kind: str) -> Path:
    """A folder as the killed driver finds it."""
    if kind == "littered":  # by a trial that failed, and that was killed when it was tried again
        store = ResultStore(directory)
        store.open(STUDY)
        store.record_failure(FIRST, prepared_failure(FIRST))
        files = prepared_files(FIRST, run=3).contents()
        for folder in ("models", "generations", "trials"):
            store.storage.write(FIRST.path(folder), files[folder])
        store.storage.write(FIRST.path("committed"), b"{}")
    return directory


def boundaries(committer: Committer, directory: Path, kind: str) -> list[tuple[str, int]]:
    """Each system call of an undisturbed commit, as its name and how often it was called so far."""
    log = directory / "log"
    assert committer.commit(before(directory / "whole", kind), "-o", str(log)) == 0
    return calls_in(log)


def calls_in(log: Path) -> list[tuple[str, int]]:
    """The system calls that strace wrote down, each with how often it was called so far."""
    called: Counter[str] = Counter()
    found = []
    for line in log.read_text().splitlines():
        call = re.match(r"\d+ +(\w+)\(", line)
        if call is not None:
            called[call[1]] += 1
            found.append((call[1], called[call[1]]))
    return found


def killed_and_mended(
    committer: Committer, directory: Path, kind: str, at: tuple[str, int], whole: Path
) -> bool:
    """Kill a commit, look at what is left, and go on; whether it was killed."""
    call, number = at
    before(directory, kind)
    fault = f"inject={call}:signal=SIGKILL:when={number}"
    status = committer.commit(directory, "-e", fault, "-o", "/dev/null")
    if (directory / "study.json").exists():
        seen_at_once(directory)
    committed = contents(directory, "committed")
    checkpoints_are_whole(directory, bool(committed))
    assert run_prepared(STUDY, directory, run=2) in ([FIRST, SECOND], [SECOND])
    for name, marker in committed.items():
        if marker != b"{}":
            assert contents(directory, "committed")[name] == marker
    clean(directory)
    assert_same_study(whole, directory)
    assert status in (0, -signal.SIGKILL)
    return status != 0


def checkpoints_are_whole(directory: Path, committed: bool) -> None:
    """What is there of a trial on its way is whole, and what was there is not lost."""
    found = contents(directory, "checkpoints")
    whole = {
        int(name.removesuffix(".safetensors")[-8:]): content
        for name, content in found.items()
        if ".writing-" not in name
    }
    assert all(content == prepared_checkpoint(at) for at, content in whole.items())
    assert list(whole) in ([], [1], [1, 2], [1, 2, 3], [2, 3], [3])
    assert committed or len(whole) >= min(2, max(whole, default=0))


def seen_at_once(directory: Path) -> None:
    """Readers that come right after the kill: a trial is whole or not there."""
    results = load_results(directory)
    assert len(results.trials) in (0, 1)
    assert len(results.generations) == 100 * len(results.trials)
    for table, rows in (("trials", 1), ("generations", 100)):
        if list((directory / table).rglob("*.parquet")):
            assert len(pd.read_parquet(directory / table)) == rows


def test_a_commit_killed_at_some_system_calls_goes_on(
    committer: Committer, undisturbed: Path, tmp_path: Path
) -> None:
    found = boundaries(committer, tmp_path, "empty")
    assert {"mkdir", "openat", "write", "fsync", "rename", "unlink"} <= {call for call, _ in found}
    for at in found[:: max(1, len(found) // SAMPLE)]:
        assert killed_and_mended(committer, tmp_path / f"{at}", "empty", at, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["empty", "littered"])
def test_a_commit_killed_at_every_system_call_goes_on(
    committer: Committer, undisturbed: Path, tmp_path: Path, kind: str
) -> None:
    found = boundaries(committer, tmp_path, kind)
    for at in found:
        assert killed_and_mended(committer, tmp_path / f"{at}", kind, at, undisturbed)
    print(f"{kind}: killed at {len(found)} system calls: {dict(Counter(c for c, _ in found))}")


WRITES = {"mkdir", "write", "fsync", "rename", "unlink", "rmdir"}


def half_indexed(directory: Path) -> Path:
    """A study of two trials; the index knows the first, and the next reader will merge both."""
    store = ResultStore(directory)
    store.open(STUDY)
    for trial in (FIRST, SECOND):
        store.commit(trial, prepared_files(trial))
        if trial == FIRST:
            load_results(directory)
    return directory


@pytest.mark.parametrize("sample", [3, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_reader_killed_while_it_writes_the_index_leaves_what_is_read_right(
    committer: Committer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sample: int
) -> None:
    monkeypatch.setattr(index, "_WORTH", 1)
    monkeypatch.setattr(index, "_RECENT_S", 0.0)
    log = tmp_path / "log"
    assert committer.commit(half_indexed(tmp_path / "whole"), "-o", str(log), run="look") == 0
    expected = load_results(tmp_path / "whole")
    found = [each for each in calls_in(log) if each[0] in WRITES]
    assert {"write", "rename", "unlink"} <= {call for call, _ in found}
    for call, number in found[:: max(1, len(found) // sample)]:
        directory = half_indexed(tmp_path / f"{call}-{number}")
        fault = f"inject={call}:signal=SIGKILL:when={number}"
        killed = committer.commit(directory, "-e", fault, "-o", "/dev/null", run="look")
        assert killed == -signal.SIGKILL
        for _ in range(2):
            results = load_results(directory)
            assert results.trials.equals(expected.trials)
            assert results.generations.equals(expected.generations)
        clean(directory)
        left = [path.name.partition("-")[0] for path in (directory / index.INDEX).iterdir()]
        assert set(left) == {"committed", "generations", "trials"}  # one of them perhaps twice
        assert len(left) <= 4
