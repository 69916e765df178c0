"""The folder that results lie in, here or in an object store, behind one protocol.

A folder of this machine, or of a file system that it mounts, is `LocalStorage`.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple, Protocol

from aes_lipi.errors import UserError, without_secrets
from aes_lipi.io.files import sync_folder, write_atomically


class Entry(NamedTuple):
    """A file in a storage.

    Attributes:
        name: its path inside the storage, with slashes.
        size: in bytes.
        modified: when it was written last, in seconds by the clock of whatever keeps it; only
            differences mean something.
        stamp: changes whenever the file does: made of its size and of all that tells when it was
            changed, where nobody can set some of that.
    """

    name: str
    size: int
    modified: float
    stamp: str = ""


class Storage(Protocol):
    """A folder of files, each of which is there whole or not at all.

    Names are relative, with slashes. Every method raises `UserError`, in one line, where the
    storage cannot be read or written.
    """

    @property
    def shown(self) -> str:
        """The folder's place, for messages."""
        ...

    @property
    def is_own(self) -> bool:
        """Whether a reader may leave files there: it is not somebody else's folder."""
        ...

    def read(self, name: str, limit: int | None = None) -> bytes | None:
        """A file's content, or its first `limit` bytes; None if there is no such file."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file; once this returns, it outlives a crash of the machine."""
        ...

    def refresh(self, name: str, content: bytes) -> bool:
        """Set the time of a file, which has this content, to now; False if it is gone."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, if it is there, and the folders that this leaves empty."""
        ...

    def files(self, folder: str) -> list[Entry]:
        """All files below a folder, in order of their names; there need be no such folder.

        Links of others are passed over. One in the place of a study's folder or file is refused:
        what lies behind it would seem to be gone.
        """
        ...

    def children(self) -> list[Entry]:
        """The files and folders at the top, in order of names; sizes of folders mean nothing."""
        ...


_REMEDY = "choose another --output_dir"
_PLACES = ("variant=", "trial=")  # how names of a study's folders and files begin


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

    @property
    def is_own(self) -> bool:
        """Whether it is this user's folder."""
        with contextlib.suppress(OSError):
            return self._root.stat().st_uid == os.geteuid()
        return False

    def read(self, name: str, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        path = self._inside(name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            with os.fdopen(descriptor, "rb") as stream:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise UserError(f"{path}: is not a file; move it away or {_REMEDY}")
                size = os.fstat(descriptor).st_size + 1  # Python makes room for all it may read
                return stream.read() if limit is None else stream.read(min(limit, size))
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
            raise UserError(f"{path}: cannot be written ({error.strerror}); {_REMEDY}") from None
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
            raise UserError(f"{path}: cannot be removed ({error.strerror}); {_REMEDY}") from None
        with contextlib.suppress(OSError):
            for folder in list(path.relative_to(self._root).parents)[:-1]:
                (self._root / folder).rmdir()

    def files(self, folder: str) -> list[Entry]:
        """See `Storage.files`."""
        place = self._inside(folder)
        try:
            return sorted(self._below(folder), key=attrgetter("name"))
        except OSError as error:
            raise _unreadable(place, error) from None

    def _below(self, folder: str) -> list[Entry]:
        entries, folders = [], []
        try:
            listing = os.scandir(f"{self._root}/{folder}")
        except (FileNotFoundError, NotADirectoryError):
            return []
        with listing as found:
            for entry in found:
                name = f"{folder}/{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    folders.append(name)
                elif entry.is_file(follow_symlinks=False):
                    try:
                        facts = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:  # removed since
                        continue
                    entries.append(_entry(name, facts))
                elif entry.name.startswith(_PLACES):
                    self._inside(name)
        for each in folders:
            entries += self._below(each)
        return entries

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
                raise UserError(f"{place}: is a link; move it away or {_REMEDY}")
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
    return _entry(entry.name, facts)


def _entry(name: str, facts: os.stat_result) -> Entry:
    stamp = f"{facts.st_size}.{facts.st_mtime_ns}.{facts.st_ctime_ns}"
    return Entry(name, facts.st_size, facts.st_mtime, stamp)


def _unreadable(path: Path, error: OSError | ValueError) -> UserError:
    reason = error.strerror if isinstance(error, OSError) else error
    return UserError(f"{path}: cannot be read ({reason}); {_REMEDY}")


_MANGLED = re.compile(r"[a-z][a-z0-9+]+:/[^/]")


def is_address(location: str | Path) -> bool:
    """Whether a location is an address, as in `s3://bucket/results`, and not a folder.

    Raises:
        UserError: an address that `Path` took a slash from; give it as text.
    """
    if isinstance(location, Path):
        if _MANGLED.match(str(location)):
            raise UserError(f"{location}: give the address as text, not as a Path")
        return False
    return "://" in location


def join(location: str | Path, name: str) -> str | Path:
    """A folder below a location; the options of an address stay at its end."""
    if not is_address(location):
        return Path(location) / name
    address, mark, options = str(location).partition("?")
    return f"{address.rstrip('/')}/{name}{mark}{options}"


def place_of(location: str | Path) -> str:
    """A location for messages: without the options of an address, nor keys in front of its host."""
    if not is_address(location):
        return str(location)
    return without_secrets(str(location), whole=True).partition("?")[0].rstrip("/")
