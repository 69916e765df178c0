"""Tensors of files that torch.save wrote: the one kind of pickle that is read, and only if named.

The published code keeps data sets and networks in them. They are read by torch's restricted reader
(`weights_only`), which makes tensors and plain containers and runs nothing of the file.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from aes_lipi.arrays import Array
from aes_lipi.errors import UserError, printable
from aes_lipi.optional import not_installed

_LARGEST_PICKLE = 1_000_000
"""Bytes that describe the tensors of a file."""

_REMEDY = "save tensors, or dictionaries of them, with torch.save of torch 1.6 or later"


def read_torch(path: Path) -> Array | dict[str, Any]:
    """The tensor of a file, or the tensors of its dictionaries by their names, as numpy arrays.

    Raises:
        UserError: torch is not installed, or the file is missing, damaged, or holds anything but
            dense tensors in dictionaries; save these with torch.save.
    """
    label = repr(printable(path, 200))
    try:
        import torch  # noqa: PLC0415 - slow, and not needed otherwise
    except ImportError:
        raise not_installed(f"reading {label}", "torch", "torch") from None
    try:
        _check_archive(path)
        # Mapped, so that what the pickle says of a tensor's length is held against the file's.
        content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
        arrays: Array | dict[str, Any] = _arrays(content)
        return arrays
    except OSError as error:
        raise UserError(f"{label}: {error.strerror or error}; check the path") from None
    except Exception as error:  # a hostile file makes torch raise whatever there is
        said = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{label}: cannot be read ({printable(said, 160)}); {_REMEDY}") from None


def _check_archive(path: Path) -> None:
    """Refuse what could unfold to more than the file's size.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no archive, as torch has written them since 1.6, or a compressed one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except zipfile.BadZipFile:
        raise ValueError("not an archive, or damaged") from None
    if any(each.compress_type != zipfile.ZIP_STORED for each in members):
        raise ValueError("compressed")
    pickles = (each.file_size for each in members if each.filename.endswith(".pkl"))
    if max(pickles, default=0) > _LARGEST_PICKLE:
        raise ValueError("describes more tensors than a network has")


def _arrays(content: Any, depth: int = 0) -> Any:
    """Tensors as arrays of their own, in the dictionaries that they stand in.

    Raises:
        ValueError: there is something else.
    """
    if not isinstance(content, dict) or depth > 1:
        return _array(content)
    return {str(name): _arrays(each, depth + 1) for name, each in content.items()}


def _array(tensor: Any) -> Array:
    """The values of a tensor.

    Raises:
        ValueError: it is no tensor, or says that it has more values than lie in the file.
        TypeError: numpy has no such values.
    """
    if not hasattr(tensor, "untyped_storage"):
        raise ValueError(f"holds a {type(tensor).__name__}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ValueError("a tensor with more values than the file has")
    return np.array(tensor.numpy())
