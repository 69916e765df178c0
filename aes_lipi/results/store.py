"""The folder of a study's results.

study.json                                     what was asked for
local.json                                     where data files are on the driver's machine
models/variant=<id>/trial=<nnnn>.safetensors   the best pair
generations/variant=<id>/trial=<nnnn>.parquet  a row per generation and cell
trials/variant=<id>/trial=<nnnn>.parquet       one row
committed/variant=<id>/trial=<nnnn>.json       written last, it commits the trial
failures/variant=<id>/trial=<nnnn>.parquet     one row for a trial that failed
checkpoints/variant=<id>/trial=<nnnn>/...      of a trial on its way, until it is committed
lock-<token>.json                             of the driver that has the folder
progress.json                                  what that driver is at
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aes_lipi.config import Study
from aes_lipi.errors import UserError
from aes_lipi.results.cleaning import is_own, remove_results
from aes_lipi.results.description import (
    LOCAL_FILE,
    PROGRESS_FILE,
    STUDY_FILE,
    Progress,
    check_same_study,
    describe_places,
    describe_study,
    stored_description,
)
from aes_lipi.results.inventory import Inventory, take_inventory
from aes_lipi.results.lock import HeldLock, locked
from aes_lipi.results.own_files import check_ours, is_ours, open_for_writing
from aes_lipi.results.schema import failures_schema
from aes_lipi.results.trial_files import (
    FAILURES,
    MARKERS,
    RESULTS,
    TABLES,
    CheckpointFiles,
    Row,
    TrialFiles,
    TrialId,
    parquet,
    stored_marker,
)


class ResultStore:
    """Writes and finds the results of one study.

    Args:
        location: the study's output folder, or its address; made when the study is opened.

    Raises:
        UserError: the address is none.
    """

    def __init__(self, location: str | Path) -> None:
        self.storage = open_for_writing(location)
        self._held: HeldLock | None = None
        self._checkpoints: CheckpointFiles | None = None

    def holds(self, study: Study, fresh: bool = False) -> bool:
        """Whether the folder was made for this study; False if it is still to be made.

        Args:
            study: the study.
            fresh: whether it may be made from the folder of any study.

        Raises:
            UserError: the folder holds another study (give another --output_dir, or --fresh) or a
                study.json that is not ours (move it away), or cannot be read.
        """
        content = stored_description(self.storage)
        if content is None and not self._is_vacant():
            raise UserError(
                f"{self.storage.shown}: not empty and holds no study; choose another --output_dir"
            )
        check_ours(self.storage, STUDY_FILE)
        if self.storage.is_folder and describe_places(study):
            check_ours(self.storage, LOCAL_FILE)
        if content is None or fresh:
            return False
        check_same_study(self.storage, content, study)
        return True

    @contextmanager
    def locked(self) -> Iterator[HeldLock]:
        """Have the folder while a block runs.

        Raises:
            UserError: another driver has it.
        """
        with locked(self.storage) as held:
            self._held, self._checkpoints = held, None
            try:
                yield held
            finally:
                self._held, self._checkpoints = None, None

    def open(self, study: Study, fresh: bool = False) -> int:
        """Make the folder a study's, or find that it is.

        Args:
            study: the study.
            fresh: remove the results of the study that the folder holds now, whichever it is.

        Returns:
            how many files were removed.

        Raises:
            UserError: the folder holds a different study, or cannot be written.
        """
        known = stored_description(self.storage)
        self.holds(study, fresh)
        removed = remove_results(self.storage) if fresh and known is not None else 0
        asked = describe_study(study)
        if known != asked:
            self.storage.write(STUDY_FILE, asked)
        places = describe_places(study)
        if not self.storage.is_folder:
            return removed
        if places:
            self.storage.write(LOCAL_FILE, places)
        elif is_ours(self.storage, LOCAL_FILE):
            self.storage.remove(LOCAL_FILE)
        return removed

    def inventory(self) -> Inventory:
        """Which trials are committed, and which failed."""
        return take_inventory(self.storage)

    def is_committed(self, trial: TrialId, folders: Iterable[str] = RESULTS) -> bool:
        """Whether the trial's marker is there, and its files are what the marker says.

        Args:
            trial: which.
            folders: of the files that are looked at.
        """
        marker = stored_marker(self.storage, trial)
        if marker is None:
            return False
        files = (marker[folder] for folder in folders)
        return all(facts.match(self.storage.read(facts.path)) for facts in files)

    def commit(self, trial: TrialId, files: TrialFiles) -> None:
        """Write a finished trial's files, and then its marker; nothing if it is committed.

        Of one that was committed, what is missing or damaged is written alone, where it is what was
        committed. A reader that comes at any moment, and a driver that comes after this one was
        killed at any moment, see the whole trial or none.

        Raises:
            UserError: the disk is full, the folder cannot be written, or another driver has it.
        """
        self._check_lock()
        if not self.is_committed(trial) and not self._is_mended(trial, files):
            self.storage.remove(trial.path(MARKERS))
            for folder, content in files.contents().items():
                self.storage.write(trial.path(folder), content)
            self.storage.write(trial.path(MARKERS), files.marker(trial))
        self.storage.remove(trial.path(FAILURES))
        self._known_checkpoints().remove(trial)

    def _is_mended(self, trial: TrialId, files: TrialFiles) -> bool:
        """Write what is not as a trial's marker says, if all of it is among these files."""
        marker = stored_marker(self.storage, trial)
        if marker is None:
            return False
        fresh = {trial.path(folder): content for folder, content in files.contents().items()}
        damaged = [f for f in marker.values() if not f.match(self.storage.read(f.path))]
        if not all(facts.match(fresh.get(facts.path)) for facts in damaged):
            return False
        for facts in damaged:
            self.storage.write(facts.path, fresh[facts.path])
        return True

    def record_failure(self, trial: TrialId, row: Row) -> None:
        """Write down that a trial failed, and why; nothing if its tables are committed.

        Raises:
            UserError: as `commit`.
        """
        self._check_lock()
        if not self.is_committed(trial, TABLES):
            self.storage.write(trial.path(FAILURES), parquet([row], failures_schema()))

    def write_checkpoint(self, trial: TrialId, generations: int, content: bytes) -> None:
        """Write down a trial on its way; its last two checkpoints are kept.

        Args:
            trial: whose.
            generations: that its ring has behind it.
            content: of the checkpoint's file.

        Raises:
            UserError: as `commit`.
        """
        self._check_lock()
        self._known_checkpoints().write(trial, generations, content)

    def checkpoints(self, trial: TrialId) -> Iterator[tuple[str, bytes]]:
        """A trial's checkpoints, the newest first: place and content of the file.

        Raises:
            UserError: one cannot be read.
        """
        return self._known_checkpoints().newest_first(trial)

    def drop_checkpoints(self, trials: Iterable[TrialId]) -> None:
        """Remove what killed drivers left: checkpoints of trials, and those that were half written.

        Raises:
            UserError: a file cannot be removed; mend the folder's permissions.
        """
        checkpoints = self._known_checkpoints()
        for trial in set(trials).intersection(checkpoints.trials()):
            checkpoints.remove(trial)
        for name in checkpoints.half_written:
            self.storage.remove(name)

    def write_progress(self, progress: Progress) -> None:
        """Write down, for others to read, what the driver is at.

        Raises:
            UserError: as `commit`.
        """
        self._check_lock()
        self.storage.write(PROGRESS_FILE, progress.encoded())

    def remove_progress(self) -> None:
        """Remove what a driver wrote of itself.

        Raises:
            UserError: the file cannot be removed, or another driver has the folder (wait for it).
        """
        self._check_lock()
        self.storage.remove(PROGRESS_FILE)

    def _is_vacant(self) -> bool:
        """Whether there is nothing in the folder but what killed drivers left."""
        return all(is_own(self.storage, each.name) for each in self.storage.children())

    def _known_checkpoints(self) -> CheckpointFiles:
        if self._checkpoints is None:
            self._checkpoints = CheckpointFiles(self.storage)
        return self._checkpoints

    def _check_lock(self) -> None:
        if self._held is not None:
            self._held.check()
