"""The one check before a file of a results folder is replaced or removed: that it is ours.

Most files of a study say so by name and place: nobody else calls a file after a variant's id, a
lock's token or a temporary file's. `study.json`, `local.json` and `progress.json` are common
names, so that what they hold decides.
"""

from __future__ import annotations

from pathlib import Path

from aes_lipi.errors import UserError
from aes_lipi.results.description import (
    LOCAL_FILE,
    PROGRESS_FILE,
    STUDY_FILE,
    holds_places,
    holds_progress,
    is_study_description,
    stored_description,
)
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.storage import Entry, LocalStorage, Storage


class OwnFiles:
    """A storage in which the files of others stay as they are; see `Storage`.

    Args:
        storage: that keeps the files.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    @property
    def shown(self) -> str:
        """See `Storage.shown`."""
        return self._storage.shown

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of this machine, and no address."""
        return isinstance(self._storage, LocalStorage)

    @property
    def is_own(self) -> bool:
        """See `Storage.is_own`."""
        return self._storage.is_own

    def read(self, name: str, limit: int | None = None) -> bytes | None:
        """See `Storage.read`."""
        return self._storage.read(name, limit)

    def write(self, name: str, content: bytes) -> None:
        """See `Storage.write`; refused where it would replace a file that is not ours."""
        check_ours(self._storage, name)
        self._storage.write(name, content)

    def refresh(self, name: str, content: bytes) -> bool:
        """See `Storage.refresh`."""
        return self._storage.refresh(name, content)

    def remove(self, name: str) -> None:
        """See `Storage.remove`; refused where the file is not ours."""
        check_ours(self._storage, name)
        self._storage.remove(name)

    def files(self, folder: str) -> list[Entry]:
        """See `Storage.files`."""
        return self._storage.files(folder)

    def children(self) -> list[Entry]:
        """See `Storage.children`."""
        return self._storage.children()


def open_for_writing(location: str | Path) -> OwnFiles:
    """The folder of a study's results, in which the files of others stay as they are.

    Raises:
        UserError: as `open_storage`.
    """
    return OwnFiles(open_storage(location))


def is_ours(storage: Storage, name: str) -> bool:
    """Whether a file says that it is ours, or there is none."""
    if name == STUDY_FILE:
        content = stored_description(storage)
        return content is None or is_study_description(content)
    if name == LOCAL_FILE:
        return storage.read(name, 1) is None or holds_places(storage)
    return name != PROGRESS_FILE or storage.read(name, 1) is None or holds_progress(storage)


def check_ours(storage: Storage, name: str) -> None:
    """Refuse to replace or remove a file that does not say that it is ours.

    Raises:
        UserError: it does not; move it away, or choose another folder.
    """
    if not is_ours(storage, name):
        raise UserError(
            f"{storage.shown}/{name}: was not written by aes_lipi, or is damaged, and stays as it "
            "is; move it away, or choose another --output_dir"
        )
