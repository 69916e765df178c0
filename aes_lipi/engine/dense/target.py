"""For which processor kernels are compiled, how, and where the machine code is kept.

The same source compiled for another processor adds in another order and has other bits. So
kernels are compiled for one named target, x86-64-v3 (AVX2 and fused multiply-add), on every
processor that has it, whatever else it has. With the environment variable `AES_LIPI_TARGET=native`,
and on other processors, they are compiled for the machine at hand; `target_name` says which.

Numba has one target for all code of a process: it is set when this module is imported, before
anything here is compiled.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence, Set
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.errors import NumbaError

from aes_lipi.errors import UserError

PORTABLE, NATIVE = "x86-64-v3", "native"
_VARIABLE = "AES_LIPI_TARGET"
_NEEDED = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"}
_Function = TypeVar("_Function", bound=Callable[..., Any])

# Options reach the compiler that the annotations of numba.njit do not know. Sums may be reordered
# and products fused, which is decided once, when a kernel is compiled; a quotient stays a quotient,
# because processors differ in how they estimate a reciprocal. Infinities and NaN are what IEEE 754
# says.
_njit: Any = numba.njit
_config: Any = numba.config
# Parts are inlined. Of a function that is called, the process that compiles would run the body that
# was compiled alone, and one that loads the cache the body that was optimised with the rest.
_PART = {
    "error_model": "numpy",
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "forceinline": True,
}
_REORDERED = {"nsz", "contract", "reassoc"}


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


def vector_bits() -> int:
    """How wide the vectors are that kernels of this process may use."""
    return bits_of(target_name(), _processor_flags())


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


def _set_target() -> None:
    """Have numba compile for `target_name`, whatever its own variables say.

    Whenever it compiles it reads them anew if one has changed, and forgets what it was told: here
    they are read first.
    """
    _config.reload_config()
    name = target_name()
    _config.CPU_NAME = name if name == PORTABLE else None
    _config.CPU_FEATURES = "" if name == PORTABLE else None


_set_target()


def part(function: _Function) -> _Function:
    """Compile a part of the entry point, with sums in the order that is fastest."""
    compiled: _Function = _njit(fastmath=_REORDERED, **_PART)(function)
    return compiled


def exact(function: _Function) -> _Function:
    """Compile a part of the entry point that counts on the order of its operations."""
    compiled: _Function = _njit(fastmath={"contract"}, **_PART)(function)
    return compiled


def entry_point(function: _Function) -> _Function:
    """Compile on first use, with the result cached on disk.

    Kept beside this file or, where that cannot be written, in numba's cache directory of the user;
    where neither can, it is compiled in every process. Numba's cache notices changes of the file of
    the entry point, but not of the functions that it calls; and while several processes compile a
    changed function, one may load what another version left under the same file name. Therefore the
    file name carries everything that the machine code depends on.
    """
    function.__qualname__ = f"{function.__qualname__}_{_fingerprint()}"
    return cast(_Function, _EntryPoint(function))


class _EntryPoint:
    """A function that is compiled, or loaded, when it is first called.

    A cache that is damaged, or where nothing can be written, does not stop it: see `remarks`.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        try:
            self.compiled = self._njit(cache=True)
        except RuntimeError:  # "no locator available": no directory to cache in
            self.compiled = self._njit()

    def __call__(self, *arguments: Any) -> Any:
        if not self.compiled.overloads:
            _set_target()
        try:
            return self.compiled(*arguments)
        except NumbaError:  # the arguments are not for this function
            raise
        except Exception as error:  # compiled code raises nothing: the cache did, in many ways
            return self._despite(error, arguments)

    def _despite(self, error: Exception, arguments: Sequence[Any]) -> Any:
        folder, mended = self.folder, "replaced"
        for path in self.cached():
            with suppress(OSError):
                path.unlink()
        try:
            answer = self.compiled(*arguments)  # what could only not be kept is there already
        except Exception:
            self.compiled = self._njit()
            answer = self.compiled(*arguments)
        if not self.cached():
            mended = "not kept, and compiled in every process"
        what = f"{type(error).__name__}: {error}".strip(": ")
        _remarks.append(f"the cache of compiled kernels in {folder} ({what}): {mended}")
        return answer

    @property
    def folder(self) -> Path | None:
        """Where the compiled function is kept; None if nowhere."""
        path = self.compiled.stats.cache_path
        return None if path is None else Path(path)

    def cached(self) -> list[Path]:
        """The files that the compiled function is kept in."""
        pattern = f"*.{self.function.__qualname__}-*.nb[ci]"
        return [] if self.folder is None else sorted(self.folder.glob(pattern))

    def _njit(self, cache: bool = False) -> Any:
        options = {"fastmath": _REORDERED, "nogil": True, "error_model": "numpy"}
        return _njit(cache=cache, **options)(self.function)


_remarks: list[str] = []


def remarks() -> list[str]:
    """What a user should know of kernels and was not told yet, in lines."""
    told = list(_remarks)
    _remarks.clear()
    return told


def _fingerprint() -> str:
    """Digest of this package's source, the compiler's version and the target."""
    digest = hashlib.sha256(f"{numba.__version__} {target_name()}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
