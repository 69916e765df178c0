"""Every test computes with one thread, as every trial does, and finds no cluster of others."""

from __future__ import annotations

import os
import shutil
import tempfile

import pytest
import torch
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # machines that run the tests are shared
settings.load_profile("untimed")

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
