"""A small study, run once for a process of tests, and a browser."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import tiny_study
from patience import PATIENCE_S
from studies import run_study

Browse = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two variants, one of them pruned, of two trials each."""
    made: Path = tmp_path_factory.mktemp("studies") / "tiny"
    run_study(tiny_study(2, epochs=8, prune_method=["None", "random"], prune_probability=0.6), made)
    return made


@pytest.fixture
def browse(tmp_path_factory: pytest.TempPathFactory) -> Browse:
    """Opens an address for 20 s of the browser's time; says the page then and what it logged."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("there is no Chromium")
    command = [
        *(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
        *(f"--user-data-dir={tmp_path_factory.mktemp('browser')}", "--enable-logging=stderr"),
        *("--dump-dom", "--virtual-time-budget=20000"),
    ]

    def seen(address: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, address], capture_output=True, text=True, timeout=PATIENCE_S, check=True
        )

    return seen
