"""The mode in which a thread computes: how it rounds, and whether subnormal numbers are zero.

Any library may have changed it that was compiled for speed, and bits depend on it. So every entry
point enters one mode, and leaves it as it found it.
"""

from __future__ import annotations

import platform
from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.extending import intrinsic

_alloca_once: Any = cgutils.alloca_once
_named: Any = cgutils.get_or_insert_function
_WORD = ir.IntType(64)


class _Mode(NamedTuple):
    """The register that says how a kind of processor computes.

    Attributes:
        wanted: no traps, to the nearest, and what is smaller than any normal number is zero.
        read: LLVM's name of the instruction that reads it.
        write: and of the one that sets it.
        by_place: whether both take the place of 32 bits in memory, instead of 64 bits themselves.
    """

    wanted: int
    read: str
    write: str
    by_place: bool


# Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, 10.2.3 (MXCSR); Arm
# Architecture Reference Manual for A-profile (FPCR).
_X86 = _Mode(0x9FC0, "llvm.x86.sse.stmxcsr", "llvm.x86.sse.ldmxcsr", by_place=True)
_ARM = _Mode(1 << 24, "llvm.aarch64.get.fpcr", "llvm.aarch64.set.fpcr", by_place=False)
MODES = {"x86_64": _X86, "amd64": _X86, "aarch64": _ARM, "arm64": _ARM}
_MODE = MODES.get(platform.machine().lower())


def _intrinsic(function: Callable[..., Any]) -> Any:
    """What kernels call, from a function that gives its types and what writes its instructions."""
    return intrinsic(function)


@_intrinsic
def enter_mode(_: Any) -> Any:
    """Round to the nearest, and take what is smaller than any normal number for zero.

    A kept Adam's running means fade until they are that small, and stay so: Intel's processors
    take a hundred cycles or more for each, a trial of the baseline twice as long in all.

    Returns:
        in which mode the thread was, for `leave_mode`.
    """

    def code(_: Any, builder: Any, __: Any, ___: Any) -> Any:
        if _MODE is None:
            return _WORD(0)
        before = read_mode(builder, _MODE)
        write_mode(builder, _MODE, _WORD(_MODE.wanted))
        return before

    return types.uint64(), code


@_intrinsic
def leave_mode(_: Any, before: Any) -> Any:
    """Go back into the mode that `enter_mode` found."""

    def code(_: Any, builder: Any, __: Any, arguments: Any) -> Any:
        if _MODE is not None:
            write_mode(builder, _MODE, arguments[0])
        return arguments[0]

    return before(before), code


def read_mode(builder: Any, mode: _Mode) -> Any:
    """Add instructions that read a processor's mode; 64 bits."""
    if not mode.by_place:
        kind = ir.FunctionType(_WORD, [])
        return builder.call(_named(builder.module, kind, mode.read), [])
    place = _alloca_once(builder, _WORD)
    builder.store(_WORD(0), place)
    _call_with_place(builder, mode.read, place)
    return builder.load(place)


def write_mode(builder: Any, mode: _Mode, word: Any) -> None:
    """Add instructions that set a processor's mode."""
    if not mode.by_place:
        kind = ir.FunctionType(ir.VoidType(), [_WORD])
        builder.call(_named(builder.module, kind, mode.write), [word])
        return
    place = _alloca_once(builder, _WORD)
    builder.store(word, place)
    _call_with_place(builder, mode.write, place)


def _call_with_place(builder: Any, name: str, place: Any) -> None:
    """The instructions of x86, which use the lower half of a word in memory."""
    bytes_of = ir.IntType(8).as_pointer()
    function = _named(builder.module, ir.FunctionType(ir.VoidType(), [bytes_of]), name)
    builder.call(function, [builder.bitcast(place, bytes_of)])
