"""The column that says what computed: the processor, and what its kernels were compiled for."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch
from helpers import tiny_study
from studies import run_study

from aes_lipi.engine.processor import bits_of, processor_name
from aes_lipi.results.reading import load_results

EPYC = "processor\t: 0\ncpu family\t: {}\nmodel\t\t: {}\nmodel name\t: AMD EPYC\n"


def test_generations_of_one_name_are_told_apart(tmp_path: Path) -> None:
    names = set()
    for family, model in ((23, 49), (25, 1), (25, 17)):
        path = tmp_path / "cpuinfo"
        path.write_text(EPYC.format(family, model) * 2)
        names.add(processor_name(path))
    assert names == {
        "AMD EPYC (family 23, model 49)",
        "AMD EPYC (family 25, model 1)",
        "AMD EPYC (family 25, model 17)",
    }


def test_other_processors_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n")
    here = platform.processor() or platform.machine()
    assert processor_name(path) == f"{here} (implementer 0x41, part 0xd0c)"
    assert processor_name(tmp_path / "none") == here


@pytest.mark.parametrize(
    ("target", "flags", "bits"),
    [
        ("x86-64-v3", {"avx", "avx2", "avx512f"}, 256),
        ("native", {"avx", "avx2", "avx512f"}, 512),
        ("native", {"avx"}, 256),
        ("native", {"sse2"}, 128),
        ("native", set(), 128),
    ],
)
def test_the_width_is_that_of_the_target(target: str, flags: set[str], bits: int) -> None:
    assert bits_of(target, flags) == bits


def test_the_column_says_what_kernels_were_compiled_for(tmp_path: Path) -> None:
    run_study(tiny_study(trials=1, epochs=1, engine=["dense", "torch"]), tmp_path / "s")
    trials = load_results(tmp_path / "s", ["trials"]).trials.set_index("engine_used")
    dense, by_torch = trials["processor"]["dense"], trials["processor"]["torch"]
    assert dense.startswith(f"{processor_name()}, kernels for ")
    assert dense.endswith(" bits")
    assert f"kernels for {torch.backends.cpu.get_cpu_capability()}" in by_torch
