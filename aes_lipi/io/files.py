"""Files that appear whole or not at all, and JSON in them, which is read without trust."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aes_lipi.errors import UserError

TEMPORARY_PREFIX = ".writing-"
_LONGEST_PAGE = 256 * 1024 * 1024  # bytes

# What file systems answer that know no syncing of folders, or that let nobody read a parent.
_NO_FOLDER_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM})


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, sync it, and rename it to `path`.

    Args:
        path: final name; an existing file is replaced in one step.
        write: writes the whole content to the path that it is given.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    temporary = path.parent / f"{TEMPORARY_PREFIX}{uuid.uuid4().hex}"
    try:
        _make_folder(path.parent)
        write(temporary)
        _sync(temporary)
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        _discard(temporary)
        reason = error.strerror or str(error)
        raise UserError(
            f"{path}: cannot be written ({reason}); make room or choose another --output_dir, then "
            "run the same command again"
        ) from error
    except BaseException:
        _discard(temporary)
        raise


def check_own_page(page: Path) -> None:
    """Refuse to replace a page or card that is somebody else's: ours names this package.

    Raises:
        UserError: it does not, or cannot be read; move it away, or choose another folder.
    """
    try:
        with page.open("rb") as stream:
            ours = b"aes_lipi" in stream.read(_LONGEST_PAGE)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError:
        ours = False
    if not ours:
        raise UserError(
            f"{page}: was not written by aes_lipi, and stays as it is; move it away, or choose "
            "another folder"
        )


def write_bytes_atomically(path: Path, content: bytes) -> None:
    """Write a file whole, as `write_atomically` does.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(path, write)


def write_text_atomically(path: Path, text: str) -> None:
    """Write text as UTF-8, as `write_atomically` does; what is not Unicode is spelt out.

    Raises:
        UserError: the disk is full, or the folder cannot be written.
    """
    write_bytes_atomically(path, text.encode("utf-8", "backslashreplace"))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, where the file system can.

    Raises:
        OSError: the disk fails.
    """
    try:
        _sync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, so that they outlive a crash of the machine."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        sync_folder(made.parent)


def _discard(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        temporary.unlink()


def _sync(path: Path) -> None:
    """Flush a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def encode_json(document: Mapping[str, Any]) -> bytes:
    """A JSON document as the content of its file.

    Raises:
        UserError: text that cannot be written as UTF-8, as the names of some files; rename them.
    """
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        line = text[text.rfind("\n", 0, error.start) + 1 :].partition("\n")[0].strip(" ,")
        raise UserError(f"{line[:200]}: is not Unicode; rename the file, or change it") from None


def decode_json(content: bytes | None) -> dict[str, Any] | None:
    """A file's JSON object; None if there is no file, or it holds none."""
    if content is None:
        return None
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None
