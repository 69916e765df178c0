"""What a study's folder holds: trials that are committed or not, and files that nobody needs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from aes_lipi.errors import UserError
from aes_lipi.io.files import TEMPORARY_PREFIX
from aes_lipi.results.description import PROGRESS_FILE, STUDY_FILE, holds_progress
from aes_lipi.results.lock import is_lock, locked
from aes_lipi.results.own_files import open_for_writing
from aes_lipi.results.storage import Entry, Storage
from aes_lipi.results.trial_files import (
    FAILURES,
    FOLDERS,
    MARKERS,
    MODELS,
    RESULTS,
    TABLES,
    CheckpointFiles,
    FileFacts,
    Marker,
    TrialId,
    committed_content,
    stored_marker,
    trial_of,
)

READERS = 16  # files that are read at a time: object stores answer slowly, but many at once

_UNMARKED = "without a commit marker"
UNREADABLE = "whose commit marker cannot be read"
DAMAGED = "with a table that is missing, or is not what its commit marker says"


@dataclass(frozen=True)
class Inventory:
    """What a study's folder holds.

    Attributes:
        committed: trials whose marker is there, and whose tables (those that were asked for) are
            what it says: by their sizes, and by their digests where they have changed since the
            marker was written.
        without_model: those of them whose model is missing, or is not that, as far as is seen so.
        failed: trials recorded as failed and not committed since.
        skipped: trials that have files and are not committed, and why.
        settled_failures: failure records of trials that were committed later.
        sizes: of all files that a study makes, by their paths.
    """

    committed: Mapping[TrialId, Marker]
    without_model: frozenset[TrialId]
    failed: frozenset[TrialId]
    skipped: Mapping[TrialId, str]
    settled_failures: frozenset[TrialId]
    sizes: Mapping[str, int]

    def is_empty(self) -> bool:
        """Whether there is no file of any trial."""
        return not self.sizes


def take_inventory(storage: Storage, tables: Collection[str] = TABLES) -> Inventory:
    """Find out what a study's folder holds.

    Failures are listed before markers and markers before results, against the order of writing, so
    that a trial that is committed meanwhile is never seen as damaged, nor seen nowhere.

    Args:
        storage: the folder.
        tables: those that are asked for: a trial that lacks others counts as committed.

    Raises:
        UserError: the folder cannot be read.
    """
    folders = (FAILURES, MARKERS, *RESULTS)
    entries = [entry for folder in folders for entry in storage.files(folder)]
    known = {entry.name: entry for entry in entries if trial_of(entry.name)}
    trials = _trials_by_folder(known)
    markers = _read_markers(storage, sorted(trials[MARKERS]))
    broken = _broken(storage, markers, known)
    committed = {
        trial: marker
        for trial, marker in markers.items()
        if marker and broken[trial].isdisjoint(tables)
    }
    with_files = set().union(*(trials[folder] for folder in (*RESULTS, MARKERS)))
    return Inventory(
        committed=committed,
        without_model=frozenset(trial for trial in committed if MODELS in broken[trial]),
        failed=frozenset(trials[FAILURES] - committed.keys()),
        skipped={trial: _why(trial, markers) for trial in sorted(with_files - committed.keys())},
        settled_failures=frozenset(trials[FAILURES] & committed.keys()),
        sizes={name: entry.size for name, entry in known.items()},
    )


def skipped_lines(skipped: Mapping[TrialId, str]) -> tuple[str, ...]:
    """One line for every reason for which trials were skipped."""
    return tuple(_line(reason, skipped) for reason in dict.fromkeys(skipped.values()))


def _line(reason: str, skipped: Mapping[TrialId, str]) -> str:
    which = [trial for trial, why in skipped.items() if why == reason]
    first = f"variant={which[0].variant} trial={which[0].trial:04d}"
    if len(which) == 1:
        return f"skipped a trial {reason} ({first})"
    return f"skipped {len(which)} trials {reason} (the first: {first})"


def models_line(trials: Collection[TrialId]) -> tuple[str, ...]:
    """A line on trials without their models; none if there are none."""
    if not trials:
        return ()
    first = min(trials)
    what = "1 trial has a model" if len(trials) == 1 else f"{len(trials)} trials have models"
    return (
        f"{what} missing or damaged (the first: variant={first.variant} trial={first.trial:04d}); "
        "tables are used, and --restore_models makes them again",
    )


def with_damaged_models(storage: Storage, committed: Mapping[TrialId, Marker]) -> set[TrialId]:
    """Those of committed trials whose model is missing or damaged: each is read.

    Raises:
        UserError: the folder cannot be read; the message says why.
    """

    def is_damaged(trial: TrialId) -> bool:
        return committed_content(storage, committed[trial][MODELS]) is None

    with ThreadPoolExecutor(READERS) as readers:
        found = zip(committed, readers.map(is_damaged, committed), strict=True)
        return {trial for trial, damaged in found if damaged}


def _trials_by_folder(paths: Iterable[str]) -> dict[str, set[TrialId]]:
    trials: dict[str, set[TrialId]] = {folder: set() for folder in FOLDERS}
    for found in map(trial_of, paths):
        if found is not None:
            trials[found[0]].add(found[1])
    return trials


def _why(trial: TrialId, markers: Mapping[TrialId, Marker | None]) -> str:
    if trial not in markers:
        return _UNMARKED
    return UNREADABLE if markers[trial] is None else DAMAGED


def _read_markers(storage: Storage, trials: Iterable[TrialId]) -> dict[TrialId, Marker | None]:
    def read(trial: TrialId) -> tuple[TrialId, Marker | None]:
        return trial, stored_marker(storage, trial)

    with ThreadPoolExecutor(READERS) as readers:
        return dict(readers.map(read, trials))


def _broken(
    storage: Storage, markers: Mapping[TrialId, Marker | None], known: Mapping[str, Entry]
) -> dict[TrialId, frozenset[str]]:
    """The folders in which trials' files are missing, or are not what the markers say.

    A file is read if it is newer than its marker, as one that has changed since it was committed.
    """

    def is_broken(facts: FileFacts, since: float) -> bool:
        entry = known.get(facts.path)
        if entry is None or entry.size != facts.size:
            return True
        return entry.modified > since and committed_content(storage, facts) is None

    def look(trial: TrialId) -> frozenset[str]:
        since = known[trial.path(MARKERS)].modified
        facts = (markers[trial] or {}).items()
        return frozenset(folder for folder, each in facts if is_broken(each, since))

    with ThreadPoolExecutor(READERS) as readers:
        return dict(zip(markers, readers.map(look, markers), strict=True))


_TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + "[0-9a-f]{32}")
_PLACE = re.compile(r"variant=v[0-9a-f]{10}")


@dataclass(frozen=True)
class Cleaned:
    """What was cleaned.

    Attributes:
        removed: files, and why they were removed.
        claims: whose stale claims were removed.
        kept: what else is not right, in lines.
    """

    removed: dict[str, str]
    claims: tuple[str, ...]
    kept: tuple[str, ...]


def clean(location: str | Path) -> Cleaned:
    """Remove temporary files, files of uncommitted trials and stale claims of a study.

    Checkpoints stay, unless their trial was committed: the study goes on from them.
    Only files that a study makes are removed, by their names and places; links are not followed.
    A trial that has a marker keeps its files, even if they are damaged: running the study again
    makes its tables anew, with --restore_models its model.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), a driver is at work
            (wait for it), or files cannot be removed.
    """
    storage = open_for_writing(location)
    tops = [entry.name for entry in storage.children()]
    if STUDY_FILE not in tops and not any(is_own(storage, name) for name in tops):
        raise UserError(f"{storage.shown}: holds no study; give the --output_dir of one")
    with locked(storage) as held:
        inventory = take_inventory(storage)
        orphans = leftovers(storage, inventory)
        for path in orphans:
            storage.remove(path)
        damaged = {trial: why for trial, why in inventory.skipped.items() if why != _UNMARKED}
        kept = [
            f"{line}; kept: run the study again to mend them" for line in skipped_lines(damaged)
        ]
        return Cleaned(orphans, held.stale, (*kept, *models_line(inventory.without_model)))


def leftovers(storage: Storage, inventory: Inventory) -> dict[str, str]:
    """Files of a study that nobody needs, unless a driver is at work, and why.

    Args:
        storage: the study's folder.
        inventory: its trials.

    Raises:
        UserError: the folder cannot be read; the message says why.
    """
    found = dict.fromkeys(_temporary(storage), "half written") | _orphans(inventory)
    found |= _superseded(storage, inventory)
    if holds_progress(storage):
        found[PROGRESS_FILE] = "of a driver that is gone"
    return found


def _orphans(inventory: Inventory) -> dict[str, str]:
    """Files that belong to no trial, and why."""
    unmarked = [trial for trial, why in inventory.skipped.items() if why == _UNMARKED]
    paths = [trial.path(folder) for trial in unmarked for folder in RESULTS]
    orphans = {path: "of no committed trial" for path in paths if path in inventory.sizes}
    settled = [trial.path(FAILURES) for trial in sorted(inventory.settled_failures)]
    return orphans | dict.fromkeys(settled, "of a trial that was committed since")


def _superseded(storage: Storage, inventory: Inventory) -> dict[str, str]:
    """Checkpoints that nobody will go on from, and why."""
    checkpoints = CheckpointFiles(storage)
    committed = [trial for trial in checkpoints.trials() if trial in inventory.committed]
    paths = [path for trial in committed for path in checkpoints.paths(trial)]
    return dict.fromkeys(paths, "a checkpoint of a trial that was committed since")


def remove_results(storage: Storage) -> int:
    """Remove all files of a study but its description.

    Markers go first, so that what is left in between are files of uncommitted trials.

    Returns:
        how many files were removed.

    Raises:
        UserError: files cannot be removed.
    """
    own = take_inventory(storage).sizes
    paths = sorted(own, key=lambda path: not path.startswith(f"{MARKERS}/"))
    checkpoints = CheckpointFiles(storage)
    paths += [path for trial in checkpoints.trials() for path in checkpoints.paths(trial)]
    for path in [*paths, *_temporary(storage), *[PROGRESS_FILE] * holds_progress(storage)]:
        storage.remove(path)
    return len(paths)


def is_own(storage: Storage, name: str) -> bool:
    """Whether a file at the top of a folder is one that a killed driver may have left."""
    if name == PROGRESS_FILE:  # a common name, so its content decides
        return holds_progress(storage)
    return is_lock(name) or _TEMPORARY.fullmatch(name) is not None


def _temporary(storage: Storage) -> Iterator[str]:
    """Half-written files, where a study writes."""
    for entry in storage.children():
        if _TEMPORARY.fullmatch(entry.name):
            yield entry.name
    for folder in FOLDERS:
        for entry in storage.files(folder):
            *places, name = entry.name.split("/")[1:]
            fits = len(places) == 1 and _PLACE.fullmatch(places[0])
            if fits and _TEMPORARY.fullmatch(name):
                yield entry.name
    yield from CheckpointFiles(storage).half_written()
