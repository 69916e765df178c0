"""Every test computes with one thread, as every trial does, and finds no cluster of others."""

from __future__ import annotations

import multiprocessing.util
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest
import warm
from hypothesis import settings

# Machines that run the tests are shared: no example has a deadline.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None)
settings.load_profile("quick")

os.environ.pop("RAY_ADDRESS", None)
os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="no-ray-")  # where a running Ray is looked for
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

warm.warm_workers()

LONG = (
    *("tests/execution/ray/", "tests/other_users/", "tests/analysis/report/"),
    *("tests/execution/", "tests/cli/", "tests/results/", "tests/extension/", "tests/test_"),
)
"""Beginnings of the names of files that take long: they start first."""


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: there is always a test that waits, for Ray or for a lease."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where processes share the work, a file's tests stay together: they share what they make."""
    if hasattr(config, "workerinput"):
        for item in items:
            if item.get_closest_marker("xdist_group") is None:
                item.add_marker(pytest.mark.xdist_group(item.location[0]))
        items.sort(key=_place)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Groups that are not kept together cost a cluster, or a report, for every process.

    Raises:
        pytest.UsageError: versions of pytest and pytest-xdist that do not fit each other; take
            those of `constraints.txt`.
    """
    if hasattr(session.config, "workerinput") and session.config.getoption("loadgroup"):
        alone = [item.nodeid for item in session.items if "@" not in item.nodeid]
        if alone:
            raise pytest.UsageError(f"{alone[0]}: is not kept with others of its group")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Names of tests go to and fro between processes: no value of megabytes is part of one."""
    if isinstance(val, str | bytes) and len(val) > 80:
        return f"{argname} of {len(val)}"
    return None


def _place(item: pytest.Item) -> int:
    names = (k for k, name in enumerate(LONG) if item.location[0].startswith(name))
    return next(names, len(LONG))


def pytest_configure(config: pytest.Config) -> None:
    """Kernels are compiled once, before the processes that share the work start."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        from aes_lipi.engine.dense import compile_kernels  # noqa: PLC0415

        compile_kernels()


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Not on import: the process that hands out tests needs no torch."""
    import torch  # noqa: PLC0415

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _signals_of_the_tests() -> Iterator[None]:
    """Ctrl-C is heard, and a command that ran in this process no longer ends it after a signal.

    A shell that is no terminal's starts what runs in its background deaf to it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.set_wakeup_fd(-1)


@pytest.fixture
def cold_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers start as they do for users, with imports of their own."""
    monkeypatch.setattr(multiprocessing.util, "spawnv_passfds", warm.TRUE_SPAWN)
