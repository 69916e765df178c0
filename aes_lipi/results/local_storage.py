"""Results in a folder of this machine, or of a file system that it mounts."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from aes_lipi.atomic import sync_folder, write_atomically
from aes_lipi.errors import UserError
from aes_lipi.results.storage import Entry

REMEDY = "choose another --output_dir"


class LocalStorage:
    """A folder; see `Storage`.

    A file is written under a temporary name beside its own, synced, renamed, and its folder synced.
    Links below the folder are neither followed nor replaced: nothing outside it is touched.

    Args:
        root: the folder, made with the first file; it may itself be a link.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def shown(self) -> str:
        """The folder."""
        return str(self._root)

    def read(self, name: str, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        path = self._inside(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise UserError(f"{path}: is not a file; move it away or {REMEDY}")
                return stream.read() if limit is None else stream.read(limit)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _unreadable(path, error) from None

    def write(self, name: str, content: bytes) -> None:
        """See `Storage.write`."""

        def fill(temporary: Path) -> None:
            with temporary.open("xb") as stream:
                stream.write(content)

        write_atomically(self._inside(name), fill)

    def refresh(self, name: str, content: bytes) -> bool:
        """See `Storage.refresh`."""
        path = self._inside(name)
        try:
            os.utime(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UserError(f"{path}: cannot be written ({error.strerror}); {REMEDY}") from None
        return True

    def remove(self, name: str) -> None:
        """See `Storage.remove`."""
        path = self._inside(name)
        try:
            path.unlink()
            sync_folder(path.parent)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise UserError(f"{path}: cannot be removed ({error.strerror}); {REMEDY}") from None
        with contextlib.suppress(OSError):
            for folder in list(path.relative_to(self._root).parents)[:-1]:
                (self._root / folder).rmdir()

    def files(self, folder: str) -> list[Entry]:
        """See `Storage.files`."""
        try:
            return sorted(self._below(self._root, folder), key=lambda entry: entry.name)
        except OSError as error:
            raise _unreadable(self._root / folder, error) from None

    def _below(self, root: Path, folder: str) -> Iterator[Entry]:
        path = root / folder
        if path.is_symlink() or not path.is_dir():
            return
        with os.scandir(path) as found:
            for entry in found:
                name = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    yield from self._below(root, name)
                elif entry.is_file(follow_symlinks=False):
                    with contextlib.suppress(FileNotFoundError):  # removed since
                        facts = entry.stat(follow_symlinks=False)
                        yield Entry(name, facts.st_size, facts.st_mtime)

    def children(self) -> list[Entry]:
        """See `Storage.children`."""
        try:
            with os.scandir(self._root) as found:
                return sorted(map(_child, found), key=lambda entry: entry.name)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise _unreadable(self._root, error) from None

    def _inside(self, name: str) -> Path:
        """The path of a file.

        Raises:
            UserError: a folder on the way, or the file, is a link, or there can be no such path.
        """
        path = self._root / name
        parts = list(path.relative_to(self._root).parents)[:-1]
        for place in (*(self._root / part for part in parts), path):
            if _is_link(place):
                raise UserError(f"{place}: is a link; move it away or {REMEDY}")
        return path


def _is_link(path: Path) -> bool:
    try:
        return stat.S_ISLNK(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # a path that is too long, or holds a null byte
        raise _unreadable(path, error) from None


def _child(entry: os.DirEntry[str]) -> Entry:
    try:
        facts = entry.stat(follow_symlinks=False)
    except FileNotFoundError:  # removed since
        return Entry(entry.name, 0, 0.0)
    return Entry(entry.name, facts.st_size, facts.st_mtime)


def _unreadable(path: Path, error: OSError | ValueError) -> UserError:
    reason = error.strerror if isinstance(error, OSError) else error
    return UserError(f"{path}: cannot be read ({reason}); {REMEDY}")
