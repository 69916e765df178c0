"""The memory that a user's own large table takes while it is trained on.

    PYTHONPATH=tests .venv/bin/python -m benchmarks.own_data [--rows 1000000] [--columns 100]

The table is a Parquet file of float32 columns in units of their own. `run.py --data` trains on it
with one job and with two; what is told is the largest sum, over the processes of a run, of the
memory that each has for itself and its share of what they map together (PSS), sampled.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_S = 0.1
FLAGS = ("--scale", "minmax", "--epochs", "1", "--population_size", "2", "--batch_size", "256")
MIB = 2**20


def write_table(path: Path, rows: int, columns: int) -> None:
    """Rows that depend on eight numbers, a group of columns at a time."""
    rng = np.random.default_rng(0)
    causes = rng.random((rows, 8), dtype=np.float32)
    table = {
        f"column {k}": causes @ rng.normal(size=8).astype(np.float32) + k for k in range(columns)
    }
    pq.write_table(pa.table(table), path)


def processes(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += [each for child in task.read_text().split() for each in processes(int(child))]
    return found


def proportional_set_size(pid: int) -> int:
    """Bytes; 0 of a process that is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def peak(command: list[str]) -> tuple[int, float]:
    """The most memory that a command and its children have at a time, and its seconds."""
    started, most = time.perf_counter(), 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                found = sum(map(proportional_set_size, processes(process.pid)))
            except OSError:  # one ended while it was looked at
                found = 0
            most = max(most, found)
            time.sleep(SAMPLE_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: ended with code {process.returncode}")
    return most, time.perf_counter() - started


def main() -> None:
    """Write the table, and train on it with one job and with two."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=100)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.parquet"
        write_table(path, asked.rows, asked.columns)
        size = 4 * asked.rows * asked.columns / MIB
        print(f"{asked.rows} rows of {asked.columns} columns: {size:.0f} MiB as float32")
        for jobs in (1, 2):
            command = [sys.executable, str(ROOT / "run.py"), "--local", "--data", str(path), *FLAGS]
            trials = ["--trials", str(jobs), "--jobs", str(jobs), "--prune_method", "None"]
            most, seconds = peak([*command, *trials, "--output_dir", f"{folder}/{jobs}"])
            print(f"--jobs {jobs}: at most {most / MIB:.0f} MiB, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
