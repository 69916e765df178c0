"""Named arrays that are read without trust."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aes_lipi.arrays import Array

Tensors = Mapping[str, Array]


def take(
    tensors: Tensors, name: str, dtype: type[np.generic], shape: tuple[int | None, ...]
) -> Array:
    """One of the arrays, of the type and shape that it must have.

    Args:
        tensors: all of them.
        name: which.
        dtype: its type.
        shape: its shape; None where any length will do.

    Raises:
        ValueError: it is not there, or is something else.
    """
    if name not in tensors:
        raise ValueError(f"{name}: missing")
    array = tensors[name]
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, length) for length, wanted in zip(array.shape, shape, strict=True)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(
            f"{name}: {array.dtype} of shape {array.shape}, not {np.dtype(dtype)} of {shape}"
        )
    return array
