"""Checkpoints of a study's trials: the last two of each, until it is committed.

checkpoints/variant=<id>/trial=<nnnn>/generation=<gggggggg>.safetensors
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from aes_lipi.io.files import TEMPORARY_PREFIX
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import TrialId

CHECKPOINTS = "checkpoints"
_KEPT = 2

_TRIAL = rf"{CHECKPOINTS}/variant=(v[0-9a-f]{{10}})/trial=([0-9]{{4}})"
_FILE = re.compile(rf"{_TRIAL}/generation=[0-9]{{8}}\.safetensors")
_HALF_WRITTEN = re.compile(rf"{_TRIAL}/{re.escape(TEMPORARY_PREFIX)}[0-9a-f]{{32}}")


class CheckpointFiles:
    """The checkpoints in a study's folder.

    Args:
        storage: the folder.

    Raises:
        UserError: the folder cannot be read; mend its permissions.
    """

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._paths: dict[TrialId, list[str]] = {}
        self._sizes: dict[str, int] = {}
        for entry in storage.files(CHECKPOINTS):
            found = _FILE.fullmatch(entry.name)
            if found is not None and entry.size <= _most_bytes():
                self._sizes[entry.name] = entry.size
                self._paths.setdefault(TrialId(found[1], int(found[2])), []).append(entry.name)

    def trials(self) -> list[TrialId]:
        """All trials that have some."""
        return sorted(self._paths)

    def paths(self, trial: TrialId) -> list[str]:
        """The places of a trial's checkpoints, in order of generations."""
        return list(self._paths.get(trial, ()))

    def write(self, trial: TrialId, generations: int, content: bytes) -> None:
        """Write one down; of older ones all but the last are removed.

        Args:
            trial: whose.
            generations: that its ring has behind it.
            content: of the file.

        Raises:
            UserError: the folder cannot be written.
        """
        path = (
            f"{CHECKPOINTS}/variant={trial.variant}/trial={trial.trial:04d}/"
            f"generation={generations:08d}.safetensors"
        )
        self._storage.write(path, content)
        self._sizes[path] = len(content)
        known = self._paths.setdefault(trial, [])
        later = [each for each in known if each > path]  # of a course that was given up
        earlier = [each for each in known if each < path]
        for old in [*later, *earlier[: 1 - _KEPT]]:
            self._storage.remove(old)
            del self._sizes[old]
        self._paths[trial] = [*earlier[1 - _KEPT :], path]

    def newest_first(self, trial: TrialId) -> Iterator[tuple[str, bytes]]:
        """A trial's checkpoints: place and content of the file.

        Raises:
            UserError: one cannot be read.
        """
        for path in reversed(self.paths(trial)):
            content = self._storage.read(path, self._sizes[path])
            if content is not None:
                yield path, content

    def remove(self, trial: TrialId) -> None:
        """Remove a trial's checkpoints.

        Raises:
            UserError: a file cannot be removed; mend the folder's permissions.
        """
        for path in self._paths.pop(trial, ()):
            self._storage.remove(path)
            del self._sizes[path]

    def half_written(self) -> list[str]:
        """Files that a killed driver was writing."""
        entries = self._storage.files(CHECKPOINTS)
        return [entry.name for entry in entries if _HALF_WRITTEN.fullmatch(entry.name)]


def _most_bytes() -> int:
    """No checkpoint is larger than half of the memory that its ring must fit into."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
