"""What a process may use, of machines that are made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from helpers import tiny_study
from studies import Listener

from aes_lipi.execution import local
from aes_lipi.execution.limits import Limits, limits_of
from aes_lipi.execution.local import LocalRunner
from aes_lipi.execution.run import run_study

TOP = "sys/fs/cgroup"
MEMINFO = {"proc/meminfo": "MemTotal: 67108864 kB\nMemFree: 1 kB\nMemAvailable: 33554432 kB\n"}
GIB = 2**30
V2 = {"proc/self/cgroup": "0::/a/b\n", **MEMINFO}
V1 = {"proc/self/cgroup": "4:memory:/elsewhere\n1:cpu,cpuacct:/x\n0::/\n", **MEMINFO}


def limits(root: Path, files: dict[str, str], environment: dict[str, str]) -> Limits:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return limits_of(root, environment, present=64)


CORES: list[tuple[dict[str, str], dict[str, str], int, str]] = [
    (MEMINFO, {}, 64, ""),
    ({**V2, f"{TOP}/a/cpu.max": "150000 100000"}, {}, 2, "control group allows 1.5 of 64"),
    ({**V2, f"{TOP}/a/b/cpu.max": "max 100000"}, {}, 64, ""),
    ({**V2, f"{TOP}/cpu.max": "50000 100000"}, {}, 1, "allows 0.5"),
    (
        {**V2, f"{TOP}/a/cpu.max": "400000 100000", f"{TOP}/a/b/cpu.max": "300000 100000"},
        {},
        3,
        "3",
    ),
    ({**V2, f"{TOP}/c/cpu.max": "100000 100000"}, {}, 64, ""),  # of others
    ({**V2, f"{TOP}/a/cpu.max": "6400000 100000"}, {}, 64, ""),
    ({**V2, f"{TOP}/a/cpu.max": "what 0"}, {}, 64, ""),
    ({**V2, f"{TOP}/a/cpu.max": "100 0"}, {}, 64, ""),
    (
        {
            **V1,
            f"{TOP}/cpu,cpuacct/x/cpu.cfs_quota_us": "250000\n",
            f"{TOP}/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
            f"{TOP}/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            f"{TOP}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        {},
        3,
        "allows 2.5",
    ),
    (  # a container without a name space of its own: its group is at the top
        {
            **V1,
            f"{TOP}/cpu,cpuacct/cpu.cfs_quota_us": "200000\n",
            f"{TOP}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
        {},
        2,
        "allows 2 of",
    ),
    (MEMINFO, {"SLURM_CPUS_PER_TASK": "4"}, 4, "SLURM_CPUS_PER_TASK is 4"),
    (MEMINFO, {"SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "4"}, 4, "PER_TASK is 4"),
    (MEMINFO, {"SLURM_CPUS_PER_TASK": "4(x2)"}, 64, ""),
    (MEMINFO, {"SLURM_CPUS_PER_TASK": "", "NSLOTS": "6"}, 6, "NSLOTS is 6"),
    (MEMINFO, {"NCPUS": "5"}, 5, "NCPUS is 5"),
    (MEMINFO, {"LSB_DJOB_NUMPROC": "7"}, 7, "LSB_DJOB_NUMPROC is 7"),
    (MEMINFO, {"LOKY_MAX_CPU_COUNT": "2"}, 2, "LOKY_MAX_CPU_COUNT is 2"),
    (MEMINFO, {"PYTHON_CPU_COUNT": "default"}, 64, ""),
    (MEMINFO, {"SLURM_CPUS_PER_TASK": "128"}, 64, ""),
    (MEMINFO, {"SLURM_CPUS_PER_TASK": "0"}, 1, "is 0"),
    ({**V2, f"{TOP}/a/cpu.max": "200000 100000"}, {"SLURM_CPUS_PER_TASK": "3"}, 2, "control group"),
]


@pytest.mark.parametrize(("files", "environment", "cores", "by"), CORES)
def test_the_least_number_of_cores_holds(
    tmp_path: Path, files: dict[str, str], environment: dict[str, str], cores: int, by: str
) -> None:
    found = limits(tmp_path, files, environment)
    assert found.cores == cores
    assert by in found.cores_by
    assert bool(by) == bool(found.cores_by)


MEMORY: list[tuple[dict[str, str], dict[str, str], float, str]] = [
    (MEMINFO, {}, 32, "of the machine"),
    ({**V2, f"{TOP}/a/memory.max": str(4 * GIB)}, {}, 4, "of the control group"),
    ({**V2, f"{TOP}/a/memory.max": "max"}, {}, 32, "of the machine"),
    (
        {
            **V2,
            f"{TOP}/a/memory.max": str(8 * GIB),
            f"{TOP}/a/memory.current": str(5 * GIB),
            f"{TOP}/a/memory.stat": f"anon 1\nfile 2\ninactive_file {2 * GIB}\nslab 3\n",
        },
        {},
        5,
        "of the control group",
    ),
    (
        {**V2, f"{TOP}/a/memory.max": str(3 * GIB), f"{TOP}/a/b/memory.max": str(2 * GIB)},
        {},
        2,
        "of the control group",
    ),
    (
        {
            **V1,
            f"{TOP}/memory/memory.limit_in_bytes": str(6 * GIB),
            f"{TOP}/memory/memory.usage_in_bytes": str(GIB),
        },
        {},
        5,
        "of the control group",
    ),
    (
        {**V1, f"{TOP}/memory/memory.limit_in_bytes": "9223372036854771712"},
        {},
        32,
        "of the machine",
    ),
    (MEMINFO, {"SLURM_MEM_PER_NODE": "2048"}, 2, "SLURM_MEM_PER_NODE"),
    (MEMINFO, {"SLURM_MEM_PER_NODE": "0"}, 32, "of the machine"),
    (MEMINFO, {"SLURM_MEM_PER_CPU": "1024", "SLURM_CPUS_PER_TASK": "3"}, 3, "SLURM_MEM_PER_CPU"),
]


@pytest.mark.parametrize(("files", "environment", "gib", "by"), MEMORY)
def test_the_least_memory_holds(
    tmp_path: Path, files: dict[str, str], environment: dict[str, str], gib: float, by: str
) -> None:
    found = limits(tmp_path, files, environment)
    assert (found.memory / GIB, found.memory_by) == (gib, by)


def test_this_machine_has_some() -> None:
    found = limits_of()
    assert 1 <= found.cores <= found.present
    assert found.memory > 0


LARGE = Limits(64, 64, "", None, 64 * GIB, "of the machine", None)
FEW = replace(LARGE, cores=2, cores_by="SLURM_CPUS_PER_TASK is 2")
TIGHT = replace(LARGE, memory=GIB, memory_by="of the control group")


Ask = tuple[int | None, int | None, int]


@pytest.mark.parametrize(
    ("of", "ask", "expected", "said"),
    [
        (LARGE, (None, None, 100), 64, ""),
        (LARGE, (None, 3, 100), 3, ""),
        (LARGE, (5, None, 100), 5, ""),
        (FEW, (None, None, 100), 2, "2 trials at a time: SLURM_CPUS_PER_TASK is 2"),
        (FEW, (None, None, 2), 2, ""),
        (FEW, (5, None, 100), 5, ""),
        (TIGHT, (None, None, 100), 2, "2 trials at a time: 1.0 GiB of memory are free (of the co"),
        (TIGHT, (None, 3, 100), 2, "2 trials at a time: 1.0 GiB"),
        (TIGHT, (8, None, 100), 8, "--jobs 8: 1.0 GiB of memory are free (of the control group)"),
        (TIGHT, (8, None, 2), 8, ""),
        (replace(TIGHT, memory=0), (None, None, 9), 1, "1 trial at a time: 0.0 GiB"),
    ],
)
def test_as_many_workers_as_fit(of: Limits, ask: Ask, expected: int, said: str) -> None:
    found, told = of.workers(*ask, each=384 * 2**20)
    assert found == expected
    assert told.startswith(said)
    assert bool(told) == bool(said)


def test_a_study_heeds_and_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = replace(FEW, cores=1, cores_by="the control group allows 1 of 64 cores")
    monkeypatch.setattr(local, "limits_of", lambda: one)
    monkeypatch.setattr(local, "_in_workers", None)  # nothing is started
    heard: list[str] = []
    listener = Listener()
    monkeypatch.setattr(listener, "noticed", heard.append)
    run_study(tiny_study(trials=2, epochs=1), tmp_path / "s", LocalRunner(None), listener)
    assert heard == ["1 trial at a time: the control group allows 1 of 64 cores"]
