"""The formats that a model is exported in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from aes_lipi.models import Model

Rows = npt.NDArray[np.floating]
"""Rows in the user's units: float32, or float64 where the model scales."""


@dataclass(frozen=True)
class Package:
    """A model in one format.

    Attributes:
        files: contents by name.
        whole: the file that holds encoder and decoder.
        runtime: what `encode` and `reconstruct` run on.
        encode: rows in the user's units, (rows, n_dim), to codes (rows, latent size).
        reconstruct: rows to reconstructions in the user's units, (rows, n_dim).
        score: rows to the error of each, as `Model.score`, (rows,).
        usage: lines of Python that use the files without this package.
    """

    files: Mapping[str, bytes]
    whole: str
    runtime: str
    encode: Callable[[Rows], Any]
    reconstruct: Callable[[Rows], Any]
    score: Callable[[Rows], Any]
    usage: str

    @property
    def n_bytes(self) -> int:
        """Size of the whole model's file."""
        return len(self.files[self.whole])


def _safetensors(model: Model) -> Package:
    from aes_lipi.export.as_safetensors import pack  # noqa: PLC0415 - one format is needed

    return pack(model)


def _onnx(model: Model) -> Package:
    from aes_lipi.export.as_onnx import pack  # noqa: PLC0415 - an optional dependency

    return pack(model)


def _torch(model: Model) -> Package:
    from aes_lipi.export.as_torch import pack  # noqa: PLC0415 - torch is slow to import

    return pack(model)


FORMATS: dict[str, Callable[[Model], Package]] = {
    "safetensors": _safetensors,
    "onnx": _onnx,
    "torch": _torch,
}
