"""The folder that results lie in, on this machine or in an object store, behind one protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class Entry:
    """A file in a storage.

    Attributes:
        name: its path inside the storage, with slashes.
        size: in bytes.
        modified: when it was written last, in seconds by the clock of whatever keeps it; only
            differences mean something.
    """

    name: str
    size: int
    modified: float


class Storage(Protocol):
    """A folder of files, each of which is there whole or not at all.

    Names are relative, with slashes. Every method raises `UserError`, in one line, where the
    storage cannot be read or written.
    """

    @property
    def shown(self) -> str:
        """The folder's place, for messages."""
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
        """All files below a folder, in order of their names; links are passed over."""
        ...

    def children(self) -> list[Entry]:
        """The files and folders at the top, in order of names; sizes of folders mean nothing."""
        ...
