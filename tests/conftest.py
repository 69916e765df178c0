"""Every test computes with one thread, as every trial does, and finds no cluster of others."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest
import torch
from hypothesis import settings

# Machines that run the tests are shared: no example has a deadline.
settings.register_profile("quick", deadline=None, max_examples=25)
settings.register_profile("thorough", deadline=None)
settings.load_profile("quick")

torch.set_num_threads(1)

os.environ.pop("RAY_ADDRESS", None)
os.environ["RAY_TMPDIR"] = tempfile.mkdtemp(prefix="no-ray-")  # where a running Ray is looked for
os.environ["RAY_AUTH_MODE"] = "disabled"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"


def pytest_configure(config: pytest.Config) -> None:
    """Kernels are compiled once, before the processes that share the work start."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        from aes_lipi.engine.dense import compile_kernels  # noqa: PLC0415

        compile_kernels()


def pytest_unconfigure() -> None:
    shutil.rmtree(os.environ["RAY_TMPDIR"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _signals_of_the_tests() -> Iterator[None]:
    """A command that ran in this process no longer ends it, in time, after a signal."""
    yield
    signal.set_wakeup_fd(-1)
