"""The Slurm script with a stand-in for Slurm: both nodes are this machine."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.manifests import CLUSTER, TOP
from patience import PATIENCE_S

import aes_lipi

SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
[ "$1" = hostname ] && echo 127.0.0.1 && exit
exec "$@"
"""
SCONTROL = "#!/bin/sh\necho node-a; echo node-b\n"


@pytest.fixture
def allocation(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on two nodes, with commands of Slurm that run things here."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (commands / name).write_text(text, "utf-8")
        (commands / name).chmod(stat.S_IRWXU)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    for name in ("run.py", "cluster"):
        (checkout / name).symlink_to(TOP / name)
    (checkout / ".venv").symlink_to(Path(sys.prefix))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {
        **kept,
        "PATH": f"{commands}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(checkout),
        "SLURM_JOB_ID": str(os.getpid()),
        "SLURM_JOB_NODELIST": "node-[a-b]",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_CPUS_PER_TASK": "1",
    }


def sbatch(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", CLUSTER / "slurm.sh", *arguments],
        env=environment,
        check=False,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


@pytest.mark.slow
def test_a_study_runs_and_ray_is_gone_after_it(allocation: dict[str, str], tmp_path: Path) -> None:
    study = ["--rq", "quickstart", "--trials", "1", "--epochs", "3"]
    done = sbatch(allocation, *study, "--output_dir", str(tmp_path / "results"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 nodes are there" in done.stdout
    assert len(aes_lipi.load_results(tmp_path / "results").trials) == 2
    left = [
        process.name
        for process in Path("/proc").glob("[0-9]*")
        if f"/tmp/ray-{os.getpid()}/".encode() in _command_line(process)
    ]
    assert left == []
    assert not Path(f"/tmp/ray-{os.getpid()}").exists()
    assert not list((tmp_path / "checkout").glob(".slurm-*")), "the token is left"


@pytest.mark.slow
def test_the_exit_code_is_that_of_the_study(allocation: dict[str, str]) -> None:
    assert sbatch({**allocation, "SLURM_JOB_NUM_NODES": "1"}, "--rq", "no_such").returncode == 2


def _command_line(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""
