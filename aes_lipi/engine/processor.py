"""The processor at hand, and what the kernels of the engine `dense` are compiled for on it.

Found out without the compiler, which is slow to import.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Set
from functools import cache
from pathlib import Path

from aes_lipi.errors import UserError

PORTABLE, NATIVE = "x86-64-v3", "native"
_VARIABLE = "AES_LIPI_TARGET"
_NEEDED = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}


def machine_name() -> str:
    """The kind of processor, and what kernels are compiled for on it: as far as bits depend on it.

    Raises:
        UserError: see `choose_target`.
    """
    return f"{processor_name()}, kernels for {kernel_target()}"


def kernel_target() -> str:
    """The target of kernels of this process, and how wide its vectors are.

    Raises:
        UserError: see `choose_target`.
    """
    return f"{target_name()}, {bits_of(target_name(), _processor_flags())} bits"


@cache
def target_name() -> str:
    """The processor that kernels of this process are compiled for: `x86-64-v3`, or `native`.

    Raises:
        UserError: see `choose_target`.
    """
    return choose_target(os.environ.get(_VARIABLE, ""), _processor_flags())


def choose_target(asked: str, flags: Set[str]) -> str:
    """The target that is asked for (by default the portable one), given what a processor can do.

    Raises:
        UserError: AES_LIPI_TARGET is no target, or the processor lacks it; leave it out.
    """
    if asked not in ("", PORTABLE, NATIVE):
        raise UserError(f"{_VARIABLE}: {asked!r} is no target; use {PORTABLE} or {NATIVE}")
    able = flags >= _NEEDED
    if asked == PORTABLE and not able:
        raise UserError(f"{_VARIABLE}: this processor lacks {PORTABLE}; use {NATIVE}")
    return PORTABLE if able and asked != NATIVE else NATIVE


def bits_of(target: str, flags: Set[str]) -> int:
    """How wide the vectors of a target may be, on a processor that can do so much."""
    if target == PORTABLE:
        return 256
    wide = {"avx512f": 512, "avx": 256, "sve": 256}
    return max((bits for flag, bits in wide.items() if flag in flags), default=128)


def _processor_flags() -> set[str]:
    """What this processor can do, in the words of Linux; nothing where that is not told."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    flags = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return set(next(flags, "").split())


_KINDS = {
    "cpu family": "family",
    "model": "model",
    "CPU implementer": "implementer",
    "CPU part": "part",
}


def processor_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The kind of processor, on which bits may depend (see `engine.dense.target`).

    With its family and model, since virtual machines tell no generation in the name.
    """
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    told: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        told.setdefault(key.strip(), value.strip())
    name = told.get("model name") or platform.processor() or platform.machine()
    kind = ", ".join(f"{word} {told[key]}" for key, word in _KINDS.items() if told.get(key))
    return f"{name} ({kind})" if kind else name
