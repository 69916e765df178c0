"""What a machine has, and what is said of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from aes_lipi.execution.limits import Limits
from aes_lipi.execution.machine import _NO_TORCH, MachineFacts

LIMITS = Limits(8, 8, "", None, 2**33, "of the machine", None)
GOOD = MachineFacts(
    python="3.12.1",
    version="1.0",
    packages={"numpy": "2.4.6", "torch": "2.13.0+cpu"},
    pins={"torch": "2.13.0", "ray": "2.60.0"},
    processor="a processor",
    cores=8,
    quota=None,
    limit=None,
    limits=LIMITS,
    memory=2**34,
    available=2**33,
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
    (
        {"limits": replace(LIMITS, cores=3, cores_by="NSLOTS is 3")},
        ("cores", "well", "8 of a processor, of which 3 are used: NSLOTS is 3", ""),
    ),
    (
        {"limits": replace(LIMITS, memory=2**32, memory_by="of the control group")},
        ("memory", "well", "for this process 4.0 GiB (of the control group)", ""),
    ),
    (
        {"limits": replace(LIMITS, memory=2**28, memory_by="of the control group")},
        ("memory", "problem", "for this process 0.2 GiB", "allow this one more"),
    ),
    (
        {"available": 2**28, "limits": replace(LIMITS, memory=2**28)},
        ("memory", "problem", "0.2 GiB of 16.0 GiB", "end other programs"),
    ),
    ({"warm": False}, ("kernels", "well", "where the first trial will put them", "")),
    ({"cache": None}, ("kernels", "problem", "in every process anew", "set NUMBA_CACHE_DIR")),
    ({"gpus": ("H", "K")}, ("gpu", "well", "H, K", "")),
    ({"torch_error": "no file"}, ("torch", "problem", "no file", "pip install")),
    ({"torch_error": _NO_TORCH}, ("torch", "well", "by the engine dense; pip install", "")),
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


def test_a_missing_package_is_named() -> None:
    packages = {"numpy": "2.4.6", "torch": None}
    assert ("packages", "problem", "no torch") in [each[:3] for each in told(packages=packages)]
