"""Where there is no /proc and no control group, as on macOS: what is found out otherwise."""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from helpers import random_dataset

from aes_lipi.engine import processor
from aes_lipi.execution import inputs
from aes_lipi.execution.limits import limits_of, memory_of
from aes_lipi.execution.ray import address, reaper
from aes_lipi.results import processes

Hide = Callable[[ModuleType], None]


@pytest.fixture
def hide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hide:
    """Have a module find no /proc."""

    def path(name: str | Path) -> Path:
        text = str(name)
        return Path(f"{tmp_path}/none{text}") if text.startswith("/proc/") else Path(text)

    def hidden(module: ModuleType) -> None:
        monkeypatch.setattr(module, "Path", path)

    return hidden


def test_a_process_is_known_by_its_id_and_not_by_its_start(hide: Hide) -> None:
    hide(processes)
    this = processes.this_process()
    assert (this.machine, this.started) == (socket.gethostname(), "")
    assert this.is_local()
    assert this.existence() == "unknown"  # its signs of life decide
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    gone = processes.Process(this.host, this.machine, ended.pid, "")
    assert gone.existence() == "gone"


def test_cores_and_memory_are_those_of_the_machine(tmp_path: Path) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_of(tmp_path) == (whole, whole)
    found = limits_of(tmp_path, {})
    assert found.cores == found.present
    assert (found.memory, found.quota, found.group_memory) == (whole, None, None)


def test_a_processor_has_a_name(hide: Hide, tmp_path: Path) -> None:
    expected = platform.processor() or platform.machine()
    assert processor.processor_name(tmp_path / "none") == expected
    hide(processor)
    assert processor._processor_flags() == set()
    assert processor.choose_target("", set()) == processor.NATIVE


def test_shared_data_lie_in_a_file_with_a_name_and_leave_none(hide: Hide) -> None:
    hide(inputs)
    with inputs._shared(random_dataset(20, 3)) as held:
        path = Path(held.path)
        assert path.stat().st_size == sum(held.n_rows) * 3 * 4
    assert not path.exists()


def test_nobody_is_known_to_listen(hide: Hide) -> None:
    hide(address)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert address._listeners(server.getsockname()[1]) == set()


def test_a_ray_is_ended_by_what_its_processes_were_started_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "_PROC", tmp_path / "none")
    folder = tmp_path / "ray"
    folder.mkdir()
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with (
        subprocess.Popen([*sleeper, f"--temp-dir={folder}/session"]) as one,
        subprocess.Popen([*sleeper, f"{folder}-of-another"]) as other,
    ):
        reaper.reap(str(folder), {os.getpid()})
        assert one.wait(10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()
    assert not folder.exists()
