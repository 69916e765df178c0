"""What a machine has, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from aes_lipi.execution.machine import MachineFacts, _group_limits

GOOD = MachineFacts(
    python="3.12.1",
    version="1.0",
    packages={"numpy": "2.4.6", "torch": "2.13.0+cpu"},
    pins={"torch": "2.13.0", "ray": "2.60.0"},
    processor="a processor",
    cores=8,
    quota=None,
    memory=2**34,
    available=2**33,
    limit=None,
    target="x86-64-v3",
    cache="/somewhere",
    warm=True,
    gpus=(),
    torch_error="",
    stores=("s3",),
)


def told(**changes: Any) -> list[tuple[str, str, str, str]]:
    """What is no longer said as of a good machine: subject, state, words and remedy."""
    before = GOOD.findings()
    found = [each for each in replace(GOOD, **changes).findings() if each not in before]
    return [(each.subject, each.state, each.said, each.remedy) for each in found]


def test_a_good_machine_has_nothing_to_mend() -> None:
    found = {each.subject: each for each in GOOD.findings()}
    assert {each.state for each in found.values()} == {"well"}
    assert found["packages"].said == "numpy 2.4.6, torch 2.13.0+cpu"
    assert found["cores"].said == "8 of a processor"
    assert found["kernels"].said == "for x86-64-v3, in /somewhere"
    assert found["memory"].said == "8.0 GiB of 16.0 GiB are free"
    assert found["gpu"].said.startswith("none")


CASES: list[tuple[dict[str, Any], tuple[str, str, str, str]]] = [
    ({"quota": 2.5}, ("cores", "note", "the control group allows 2.5", "--jobs 2")),
    ({"quota": 0.5}, ("cores", "note", "allows 0.5", "--jobs 1")),
    ({"limit": 2**32}, ("memory", "well", "the control group allows 4.0 GiB", "")),
    ({"limit": 2**28}, ("memory", "problem", "allows 0.2 GiB", "allow this one more")),
    ({"available": 2**28}, ("memory", "problem", "0.2 GiB of 16.0 GiB", "end other programs")),
    ({"warm": False}, ("kernels", "well", "where the first trial will put them", "")),
    ({"cache": None}, ("kernels", "problem", "in every process anew", "set NUMBA_CACHE_DIR")),
    ({"gpus": ("H", "K")}, ("gpu", "well", "H, K", "")),
    ({"torch_error": "no file"}, ("torch", "problem", "no file", "pip install")),
    ({"stores": ()}, ("object stores", "well", "none", "")),
    ({"pins": {"numpy": "2.0"}}, ("pins", "note", "numpy 2.4.6 instead of 2.0", "pip install")),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "expected"), CASES, ids=[str(each[0]) for each in CASES])
def test_what_is_said(changes: dict[str, Any], expected: tuple[str, str, str, str]) -> None:
    found = told(**changes)
    [(subject, state, said, remedy)] = found
    assert (subject, state) == expected[:2]
    assert expected[2] in said
    assert expected[3] in remedy
    assert bool(remedy) == (state != "well")


def test_a_quota_of_all_cores_is_none() -> None:
    assert told(quota=8.0) == []


def test_a_missing_package_is_named() -> None:
    packages = {"numpy": "2.4.6", "torch": None}
    assert ("packages", "problem", "no torch") in [each[:3] for each in told(packages=packages)]


def groups(root: Path, membership: str, files: dict[str, str]) -> tuple[float | None, int | None]:
    for name, content in {"proc/self/cgroup": membership, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return _group_limits(root)


def test_the_least_limit_of_nested_groups_holds(tmp_path: Path) -> None:
    top = "sys/fs/cgroup"
    files = {
        f"{top}/a/cpu.max": "150000 100000\n",
        f"{top}/a/memory.max": "4096\n",
        f"{top}/a/b/cpu.max": "max 100000\n",
        f"{top}/a/b/memory.max": "8192\n",
        f"{top}/c/memory.max": "1\n",
    }
    assert groups(tmp_path, "0::/a/b\n", files) == (1.5, 4096)


def test_groups_of_the_first_version_are_read(tmp_path: Path) -> None:
    files = {
        "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us": "50000\n",
        "sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
    }
    membership = "4:memory:/elsewhere\n1:cpu,cpuacct:/x\n0::/\n"
    assert groups(tmp_path, membership, files) == (0.5, None)
    assert _group_limits(tmp_path / "nothing") == (None, None)
