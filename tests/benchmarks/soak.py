"""Long and many on this machine alone: memory, handles and files must not grow.

Runs 1,000 short trials in two worker processes, then one trial of 4,000 generations that is written
down every second, both by the real command; prints what its processes hold as they go on.
`--figure FILE` draws it. `python -m benchmarks.soak`, tests on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import astuple, dataclass, field
from pathlib import Path

INTERVAL_S = 1.0
MIB = 2**20
PAGE = os.sysconf("SC_PAGE_SIZE")
SETTLED_S = 10.0
STUDY = """
trials: {trials}
checkpoint_interval: 1s
settings: {{n_clusters: 2, n_examples_per_cluster: 50, population_size: 4, epochs: {generations},
  prune_method: random}}
"""


@dataclass
class Held:
    """What a driver and its workers held when, and what lay half-written in the folder."""

    seconds: list[float] = field(default_factory=list)
    mib: list[float] = field(default_factory=list)
    handles: list[int] = field(default_factory=list)
    passing_files: list[int] = field(default_factory=list)


def tree(root: int) -> Iterator[Path]:
    """The places in /proc of a process and those below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(entry.name)] = int(fields[1])
    for pid in parents:
        above = pid
        while above > 1 and above != root:
            above = parents.get(above, 0)
        if above == root:
            yield Path(f"/proc/{pid}")


def take(held: Held, driver: int, folder: Path, started: float) -> None:
    """One sample."""
    resident = handles = 0
    for place in tree(driver):
        try:
            resident += int((place / "statm").read_text().split()[1]) * PAGE
            handles += len(list((place / "fd").iterdir()))
        except OSError:
            continue
    passing = sum(1 for path in folder.rglob("*") if ".writing-" in path.name)
    passing += len(list(folder.glob("checkpoints/*/*/*")))
    held.seconds.append(time.monotonic() - started)
    held.mib.append(resident / MIB)
    held.handles.append(handles)
    held.passing_files.append(passing)


def sampled_run(folder: Path, trials: int, generations: int) -> Held:
    """Run a study by the command, and sample its processes."""
    folder.mkdir()
    (folder / "soak.yaml").write_text(STUDY.format(trials=trials, generations=generations))
    command = [sys.executable, "-m", "aes_lipi", "run", "--local", "--jobs", "2"]
    command += ["--config", str(folder / "soak.yaml"), "--output_dir", str(folder / "s")]
    held, started = Held(), time.monotonic()
    with (folder / "log").open("wb") as log:
        driver = subprocess.Popen(command, stdout=log, stderr=log)
        while driver.poll() is None:
            take(held, driver.pid, folder / "s", started)
            time.sleep(INTERVAL_S)
    assert driver.returncode == 0, (folder / "log").read_text()
    assert len(list((folder / "s").glob("committed/*/*.json"))) == trials
    assert not (folder / "s" / "checkpoints").exists()
    return held


def report(name: str, held: Held) -> None:
    """Print what was held at some shares of the time."""
    samples = [each for each in zip(*astuple(held), strict=True) if each[0] >= SETTLED_S]
    samples = samples[:-1]  # the last one may find the workers gone
    marks = [samples[round(share * (len(samples) - 1))] for share in (0, 0.25, 0.5, 0.75, 1)]
    print(f"{name}: at {', '.join(f'{mark[0]:.0f}' for mark in marks)} s")
    print("  MiB resident          " + "".join(f"{mark[1]:8.0f}" for mark in marks))
    print("  open handles          " + "".join(f"{mark[2]:8d}" for mark in marks))
    print(f"  checkpoints, half-written files, at most {max(each[3] for each in samples)}")


def draw(path: Path, runs: dict[str, Held]) -> None:
    """Memory over time."""
    import matplotlib.pyplot as plt  # noqa: PLC0415

    figure, axes = plt.subplots(1, len(runs), figsize=(8, 3), layout="constrained")
    for each, (name, held) in zip(axes, runs.items(), strict=True):
        each.plot(held.seconds, held.mib, color="C0")
        each.set(xlabel="s", ylabel="MiB resident, driver and workers", title=name, ylim=(0, None))
    figure.savefig(path, dpi=150)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--generations", type=int, default=4000)
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = {
            f"{options.trials} trials": sampled_run(Path(folder) / "many", options.trials, 20),
            f"{options.generations} generations": sampled_run(
                Path(folder) / "long", 1, options.generations
            ),
        }
    for name, held in runs.items():
        report(name, held)
    if options.figure:
        draw(options.figure, runs)


if __name__ == "__main__":
    main()
