"""Distributed spatial coevolution of autoencoders that are pruned while they train."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from aes_lipi._version import __version__ as __version__

if TYPE_CHECKING:
    from aes_lipi.analysis.published_code import read_published
    from aes_lipi.api import load_study, run
    from aes_lipi.callbacks import Callback
    from aes_lipi.config import Variant
    from aes_lipi.errors import UserError
    from aes_lipi.estimator import AutoencoderRing as AutoencoderRing
    from aes_lipi.models import Ensemble, save_model
    from aes_lipi.results.model_files import load_model
    from aes_lipi.results.reading import load_results
    from aes_lipi.stepping import evolve

__all__ = [
    "Callback",
    "Ensemble",
    "UserError",
    "Variant",
    "__version__",
    "evolve",
    "load_model",
    "load_results",
    "load_study",
    "read_published",
    "run",
    "save_model",
]
"""Without `AutoencoderRing`, so that `import *` does without scikit-learn."""

_HOMES = {
    "AutoencoderRing": "aes_lipi.estimator",
    "Callback": "aes_lipi.callbacks",
    "Ensemble": "aes_lipi.models",
    "UserError": "aes_lipi.errors",
    "Variant": "aes_lipi.config",
    "evolve": "aes_lipi.stepping",
    "load_model": "aes_lipi.results.model_files",
    "load_results": "aes_lipi.results.reading",
    "load_study": "aes_lipi.api",
    "read_published": "aes_lipi.analysis.published_code",
    "run": "aes_lipi.api",
    "save_model": "aes_lipi.models",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `aes-lipi --help` needs none of them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """All public names, whether they were imported or not, and no others."""
    return sorted({"__version__", *_HOMES})
