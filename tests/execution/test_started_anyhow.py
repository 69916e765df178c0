"""A study's worker processes, however the process that starts them was started itself."""

from __future__ import annotations

import multiprocessing
import multiprocessing.spawn
import os
import subprocess
import sys
import threading
import time
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

import pytest
from helpers import tiny_study
from patience import PATIENCE_S
from studies import run_study

from aes_lipi.errors import UserError
from aes_lipi.execution import local
from aes_lipi.results.reading import load_results

STUDY = """
import aes_lipi
study = aes_lipi.load_study("quickstart", dict(
    epochs=2, trials=1, n_clusters=2, n_examples_per_cluster=4, n_dim=6, device="cpu"))
found = aes_lipi.run(study, FOLDER, jobs=2)
print(len(found.trials), len(found.failures))
"""


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("/some/script.py", None),  # python script.py
        ("<stdin>", None),  # python -
        ("/some/package/__main__.py", "package.__main__"),  # python -m package
        ("/some/module.py", "module"),  # python -m module
        (None, None),  # a notebook, python -c
    ],
)
def test_no_worker_is_told_of_the_script(
    monkeypatch: pytest.MonkeyPatch, file: str | None, name: str | None
) -> None:
    script = ModuleType("__main__")
    script.__spec__ = None if name is None else ModuleSpec(name, None)
    if file is not None:
        script.__file__ = file
    monkeypatch.setitem(sys.modules, "__main__", script)
    with local._heritage():
        told = multiprocessing.spawn.get_preparation_data("worker")
    assert sys.modules["__main__"] is script
    assert not any(key.startswith("init_main") for key in told)
    assert told["sys_path"]


def test_two_threads_that_start_workers_leave_all_as_it_was() -> None:
    """Of the one that leaves last, too, what it found is what the script had."""
    script, environment = sys.modules["__main__"], dict(os.environ)
    both = threading.Barrier(2)

    def start(pause: float) -> None:
        both.wait()
        for _ in range(20):
            with local._heritage():
                time.sleep(pause)

    threads = [threading.Thread(target=start, args=(pause,)) for pause in (0.001, 0.0015)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sys.modules["__main__"] is script
    assert dict(os.environ) == environment


def test_a_script_without_a_guard_has_workers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    script = ModuleType("__main__")
    script.__file__ = str(tmp_path / "script.py")
    Path(script.__file__).write_text(f"open({str(tmp_path / 'imported')!r}, 'w')")
    monkeypatch.setitem(sys.modules, "__main__", script)
    assert run_study(tiny_study(trials=2), tmp_path / "s", jobs=2).committed == 2
    assert not (tmp_path / "imported").exists()


@pytest.mark.slow
def test_a_study_can_come_through_standard_input(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-"],
        input=STUDY.replace("FOLDER", repr(str(tmp_path / "s"))),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "2 0\n", "")


def test_workers_that_never_come_up_are_no_trials_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(multiprocessing.spawn, "_python_exe", b"/bin/false")
    with pytest.raises(UserError, match=r"do not come up: the first ended with code 1; .*--jobs 1"):
        run_study(tiny_study(trials=2), tmp_path / "s", jobs=2)
    monkeypatch.undo()
    assert load_results(tmp_path / "s").failures.empty
    assert run_study(tiny_study(trials=2), tmp_path / "s").committed == 2


def test_a_daemon_of_multiprocessing_is_told_to_run_one_at_a_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "daemon", True)  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"daemon of multiprocessing.*jobs=1"):
        run_study(tiny_study(trials=2), tmp_path / "s", jobs=2)
    assert load_results(tmp_path / "s").failures.empty
