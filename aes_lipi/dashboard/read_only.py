"""A study's folder in which nothing is written."""

from __future__ import annotations

from aes_lipi.results.storage import Entry, Storage


class ReadOnlyStorage:
    """A storage whose index is kept in memory; see `Storage`.

    Who looks at a study should leave no trace in it: the folder may be somebody else's work, a
    copy that is to stay what it is, or a file system without room. Drivers keep its index, so that
    there is little to read besides; what there is is read once.

    Args:
        storage: that keeps the files.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._kept: dict[str, bytes] = {}

    @property
    def shown(self) -> str:
        """See `Storage.shown`."""
        return self._storage.shown

    @property
    def is_own(self) -> bool:
        """See `Storage.is_own`: what is left here goes with the process."""
        return True

    def read(self, name: str, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        kept = self._kept.get(name)
        return self._storage.read(name, limit) if kept is None else kept[:limit]

    def write(self, name: str, content: bytes) -> None:
        """Keep a file in memory."""
        self._kept[name] = content

    def refresh(self, name: str, content: bytes) -> bool:
        """See `Storage.refresh`; the file is kept in memory."""
        self.write(name, content)
        return True

    def remove(self, name: str) -> None:
        """Let go what is kept in memory; what is in the folder stays."""
        self._kept.pop(name, None)

    def files(self, folder: str) -> list[Entry]:
        """See `Storage.files`."""
        kept = self._kept_in(folder)
        there = self._storage.files(folder)
        return sorted([*there, *kept]) if kept else there

    def children(self) -> list[Entry]:
        """See `Storage.children`."""
        return self._storage.children()

    def _kept_in(self, folder: str) -> list[Entry]:
        kept = self._kept.copy()  # other threads look, too
        names = [name for name in kept if name.startswith(f"{folder}/")]
        return [Entry(name, len(kept[name]), 0.0) for name in names]
