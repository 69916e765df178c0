"""For which processor kernels are compiled, how, and where the machine code is kept.

The same source compiled for another processor adds in another order and has other bits. So
kernels are compiled for one named target, x86-64-v3 (AVX2 and fused multiply-add), on every
processor that has it, whatever else it has; `target_name` says which it is.

Numba has one target for all code of a process, which it makes for the first function that is
defined: it is set when this module is imported, before anything here is compiled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.core.errors import NumbaError
from numba.core.registry import cpu_target

from aes_lipi.autoencoders.environments import HUBER_LIMIT
from aes_lipi.autoencoders.network import LEAK
from aes_lipi.engine.processor import PORTABLE, target_name

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


def _forget_target() -> None:
    """Have numba make its target anew, where functions that were compiled before have made one.

    They keep theirs; what is defined from here on has the one that is set here.
    """
    vars(cpu_target).pop("_toplevel_target_context", None)


def _set_target() -> None:
    """Have numba compile for `target_name`, whatever its own variables say.

    Whenever it compiles it reads them anew if one has changed, and forgets what it was told: here
    they are read first.
    """
    _config.reload_config()
    name = target_name()
    _config.CPU_NAME = name if name == PORTABLE else None
    _config.CPU_FEATURES = "" if name == PORTABLE else None


_forget_target()
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
    """Digest of this package's source, the compiler's version and options, and the target."""
    asked = [_config.OPT, _config.LOOP_VECTORIZE, _config.SLP_VECTORIZE, LEAK, HUBER_LIMIT]
    digest = hashlib.sha256(f"{numba.__version__} {target_name()} {asked}".encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
