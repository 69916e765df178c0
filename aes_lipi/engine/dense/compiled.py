"""How the kernels of the dense engine are compiled and where the result is kept.

Small functions are inlined into the few entry points. Those are compiled on first use for this
processor and cached on disk: beside this file, or, where that cannot be written, in numba's cache
directory of the user. Where neither can, they are compiled in every process.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import llvmlite  # type: ignore[import-untyped]
import llvmlite.binding  # type: ignore[import-untyped]
import numba

_Function = TypeVar("_Function", bound=Callable[..., object])


# Options reach the compiler that the annotations of numba.njit do not know.
_njit: Any = numba.njit
# Nothing outside compiled code calls the parts of an entry point.
_PART = {"error_model": "numpy", "no_cpython_wrapper": True, "no_cfunc_wrapper": True}


def inlined(function: _Function) -> _Function:
    """Compile a function into its callers."""
    compiled: _Function = _njit(forceinline=True, **_PART)(function)
    return compiled


def kernel(function: _Function) -> _Function:
    """Compile a part of an entry point that is large enough to be called."""
    compiled: _Function = _njit(**_PART)(function)
    return compiled


def entry_point(function: _Function) -> _Function:
    """Compile on first use, with the result cached on disk.

    Numba's cache notices changes of the file of the entry point, but not of the functions inlined
    into it; and while several processes compile a changed function, one may load what another
    version left under the same file name. Therefore the file name carries everything that the
    machine code depends on.
    """
    function.__qualname__ = f"{function.__qualname__}_{_fingerprint()}"
    try:
        compiled: _Function = _njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:  # "no locator available": no directory to cache in
        compiled = _njit(nogil=True, error_model="numpy")(function)
    return compiled


@cache
def _fingerprint() -> str:
    """Digest of this package's source, the compiler and the processor."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    for part in (
        numba.__version__,
        llvmlite.__version__,
        llvmlite.binding.get_host_cpu_name(),
        llvmlite.binding.get_host_cpu_features().flatten(),
    ):
        digest.update(part.encode())
    return digest.hexdigest()[:16]
