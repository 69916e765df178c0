from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = 77


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ray_up_submit_and_down_for_real() -> None:
    done = subprocess.run(
        [Path(__file__).parent / "launch.sh"],
        env={**os.environ, "BIN": str(Path(sys.executable).parent)},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode == SKIPPED:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("passed; nothing is left")
