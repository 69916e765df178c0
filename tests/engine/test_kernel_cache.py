"""A cache of compiled kernels that is damaged, full or another user's stops nothing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
import pytest
from helpers import tiny_study
from numba.core.errors import NumbaError
from studies import Listener, run_study

from aes_lipi.engine.dense import engine, kernels
from aes_lipi.engine.dense.target import entry_point, remarks
from aes_lipi.engine.processor import PORTABLE, target_name

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder where compiled functions are kept."""
    with monkeypatch.context() as patch:
        patch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
        vars(numba.config)["reload_config"]()
        yield tmp_path
    vars(numba.config)["reload_config"]()


def _double(x: int) -> int:
    return 2 * x


def doubling() -> Any:
    """A function as another process has it: neither compiled nor loaded."""
    return entry_point(FunctionType(_double.__code__, globals()))


def _cut(share: float) -> Callable[[Path], object]:
    return lambda path: os.truncate(path, int(share * path.stat().st_size))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": _cut(0),
    "cut short": _cut(0.5),
    "its end is missing": _cut(0.98),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "something else": lambda path: path.write_bytes(b"<html>404</html>" * 64),
}


def test_a_variable_of_numba_that_changes_later_changes_no_target(
    kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reads all its variables anew then, as it compiles."""
    expected = PORTABLE if target_name() == PORTABLE else None
    for setting in ("new_style", "default"):
        monkeypatch.setenv("NUMBA_CAPTURED_ERRORS", setting)
        assert doubling()(21) == 42
        assert vars(numba.config)["CPU_NAME"] == expected
    assert len(list(kept.rglob("*.nbc"))) == 1  # loaded, since it is of the same target


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_replaced_and_told_once(kept: Path, suffix: str, damage: str) -> None:
    assert doubling()(21) == 42
    [path] = kept.rglob(f"*.{suffix}")
    assert remarks() == []
    DAMAGES[damage](path)
    assert doubling()(21) == 42
    [line] = remarks()
    assert line.startswith(f"the cache of compiled kernels in {path.parent} (")
    assert line.endswith("): replaced")
    assert remarks() == []
    assert doubling()(21) == 42
    assert remarks() == []


@contextmanager
def nothing_can_be_written() -> Iterator[None]:
    """As over a quota: files are made, and cannot grow."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_folder_over_its_quota_is_told_and_left_as_it_was(kept: Path) -> None:
    with nothing_can_be_written():
        assert doubling()(21) == 42
    [line] = remarks()
    assert line.endswith("not kept, and compiled in every process")
    assert not [path for path in kept.rglob("*") if path.is_file()]
    assert doubling()(21) == 42
    assert remarks() == []


def test_files_that_may_not_be_touched_are_left_and_told(kept: Path) -> None:
    """As those of another user: here folders lie in their places, since root may touch all."""
    assert doubling()(21) == 42
    for path in kept.rglob("*.nb?"):
        path.unlink()
        path.mkdir()
    assert doubling()(21) == 42
    [line] = remarks()
    assert line.endswith("not kept, and compiled in every process")


def test_arguments_that_do_not_fit_are_no_fault_of_the_cache(kept: Path) -> None:
    double = doubling()
    assert double(21) == 42
    before = {path: path.stat().st_mtime_ns for path in kept.rglob("*.nb?")}
    with pytest.raises(NumbaError):
        double(object())
    assert {path: path.stat().st_mtime_ns for path in kept.rglob("*.nb?")} == before
    assert remarks() == []


def test_a_study_says_it_once(kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of the kernels finds what a full disk left."""
    real, double = kernels.run_batches, doubling()
    assert double(21) == 42
    [index] = kept.rglob("*.nbi")
    os.truncate(index, 20)
    again = doubling()

    def loads_first(*arguments: Any) -> None:
        assert again(21) == 42
        real(*arguments)

    monkeypatch.setattr(engine, "run_batches", loads_first)
    listener, heard = Listener(), list[str]()
    monkeypatch.setattr(listener, "noticed", heard.append)
    assert run_study(tiny_study(trials=2, epochs=1, engine="dense"), tmp_path / "s", 1, listener)
    [line] = [line for line in heard if "kernels" in line]
    assert line.endswith("): replaced")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_worker_processes_run_with_a_damaged_cache(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    flags = ["--n_clusters=2", "--n_examples_per_cluster=4", "--n_dim=6", "--epochs=1"]
    run_py = [sys.executable, str(ROOT / "run.py"), "--rq=quickstart", "--local"]
    command = [*run_py, *flags, "--jobs=2", "--trials=1"]

    def run(folder: str) -> str:
        done = subprocess.run(
            [*command, f"--output_dir={tmp_path / folder}"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    assert "kernels" not in run("whole")
    for path in cache.rglob("*.nbi"):
        os.truncate(path, 20)
    assert run("damaged").count("the cache of compiled kernels") == 1
