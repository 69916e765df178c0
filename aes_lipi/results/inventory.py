"""Which trials of a study are committed, and which files are not part of any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import (
    FAILURES,
    FOLDERS,
    MARKERS,
    RESULTS,
    Marker,
    TrialId,
    stored_marker,
    trial_of,
)

READERS = 16  # files that are read at a time: object stores answer slowly, but many at once

UNMARKED = "without a commit marker"
UNREADABLE = "whose commit marker cannot be read"
DAMAGED = "with a file missing, or of another size than its commit marker says"
CORRUPT = "with a file of other content than its commit marker says"


@dataclass(frozen=True)
class Inventory:
    """What a study's folder holds.

    Attributes:
        committed: trials whose marker is there, with all files that it names, in their sizes.
        failed: trials recorded as failed and not committed since.
        skipped: trials that have files and are not committed, and why.
        settled_failures: failure records of trials that were committed later.
        sizes: of all files that a study makes, by their paths.
    """

    committed: Mapping[TrialId, Marker]
    failed: frozenset[TrialId]
    skipped: Mapping[TrialId, str]
    settled_failures: frozenset[TrialId]
    sizes: Mapping[str, int]

    def is_empty(self) -> bool:
        """Whether there is no file of any trial."""
        return not self.sizes


def take_inventory(storage: Storage) -> Inventory:
    """Find out what a study's folder holds.

    Failures are listed before markers and markers before results, against the order of writing, so
    that a trial that is committed meanwhile is never seen as damaged, nor seen nowhere.

    Raises:
        UserError: the folder cannot be read.
    """
    folders = (FAILURES, MARKERS, *RESULTS)
    entries = [entry for folder in folders for entry in storage.files(folder)]
    sizes = {entry.name: entry.size for entry in entries if trial_of(entry.name)}
    trials = _trials_by_folder(sizes)
    markers = _read_markers(storage, sorted(trials[MARKERS]))
    committed = {
        trial: marker for trial, marker in markers.items() if marker and _is_whole(marker, sizes)
    }
    with_files = set().union(*(trials[folder] for folder in (*RESULTS, MARKERS)))
    return Inventory(
        committed=committed,
        failed=frozenset(trials[FAILURES] - committed.keys()),
        skipped={trial: _why(trial, markers) for trial in sorted(with_files - committed.keys())},
        settled_failures=frozenset(trials[FAILURES] & committed.keys()),
        sizes=sizes,
    )


def is_committed(storage: Storage, trial: TrialId) -> bool:
    """Whether one trial is committed.

    Raises:
        UserError: the folder cannot be read.
    """
    marker = stored_marker(storage, trial)
    if marker is None:
        return False
    return all(facts.match(storage.read(facts.path)) for facts in marker.values())


def skipped_lines(skipped: Mapping[TrialId, str]) -> tuple[str, ...]:
    """One line for every reason for which trials were skipped."""
    return tuple(_line(reason, skipped) for reason in dict.fromkeys(skipped.values()))


def _line(reason: str, skipped: Mapping[TrialId, str]) -> str:
    which = [trial for trial, why in skipped.items() if why == reason]
    first = f"variant={which[0].variant} trial={which[0].trial:04d}"
    if len(which) == 1:
        return f"skipped a trial {reason} ({first})"
    return f"skipped {len(which)} trials {reason} (the first: {first})"


def _trials_by_folder(paths: Iterable[str]) -> dict[str, set[TrialId]]:
    trials: dict[str, set[TrialId]] = {folder: set() for folder in FOLDERS}
    for found in map(trial_of, paths):
        if found is not None:
            trials[found[0]].add(found[1])
    return trials


def _why(trial: TrialId, markers: Mapping[TrialId, Marker | None]) -> str:
    if trial not in markers:
        return UNMARKED
    return UNREADABLE if markers[trial] is None else DAMAGED


def _read_markers(storage: Storage, trials: Iterable[TrialId]) -> dict[TrialId, Marker | None]:
    def read(trial: TrialId) -> tuple[TrialId, Marker | None]:
        return trial, stored_marker(storage, trial)

    with ThreadPoolExecutor(READERS) as readers:
        return dict(readers.map(read, trials))


def _is_whole(marker: Marker, sizes: Mapping[str, int]) -> bool:
    return all(sizes.get(facts.path) == facts.size for facts in marker.values())
