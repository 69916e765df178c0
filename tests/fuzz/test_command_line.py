"""The real command line: code 2, and one line on the error stream."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
import warm

from fuzz.hostile import Payload

ROOT = Path(__file__).parents[2]

CASES = {
    "pickle": ["--data", "{}/p.npy", "--output_dir", "{}/out"],
    "aliases": ["--config", "{}/bomb.yaml", "--dry_run"],
    "text": ["--rq", "quickstart", "--epochs", "a\nb\x1b[0m", "--dry_run"],
    "long": ["--rq", "quickstart", "--ann_path", "{}/" + "x" * 300, "--output_dir", "{}/out"],
}


@pytest.mark.parametrize("name", CASES)
def test_code_2_and_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "p.npy").write_bytes(pickle.dumps(Payload(tmp_path / "run")))
    (tmp_path / "bomb.yaml").write_text("a: &a [x]\nsettings: {epochs: *a}\n")
    command = [sys.executable, "run.py", *(each.format(tmp_path) for each in CASES[name])]
    ended = warm.run(command, cwd=ROOT)
    assert ended.returncode == 2
    lines = ended.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    assert lines[0].isprintable()
    assert not (tmp_path / "run").exists()
