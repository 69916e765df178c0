"""What a study's folder holds: trials that are committed or not."""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

import pyarrow as pa

from aes_lipi.results.index import CHECKED, KINDS, FileVersion, Index, KeptRows, RowRange, is_recent
from aes_lipi.results.storage import Entry, Storage
from aes_lipi.results.trial_files import (
    FAILURES,
    FOLDERS,
    MARKERS,
    MODELS,
    RESULTS,
    TABLES,
    FileFacts,
    Marker,
    TrialId,
    committed_content,
    stored_marker,
    trial_of,
)

READERS = 16  # files that are read at a time: object stores answer slowly, but many at once

UNMARKED = "without a commit marker"
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
        files: all that a study makes, by their paths.
        storage: the folder.
        index: what is known of its files without reading them.
    """

    committed: Mapping[TrialId, Marker]
    without_model: frozenset[TrialId]
    failed: frozenset[TrialId]
    skipped: Mapping[TrialId, str]
    settled_failures: frozenset[TrialId]
    files: Mapping[str, Entry]
    storage: Storage
    index: Index

    def is_empty(self) -> bool:
        """Whether there is no file of any trial."""
        return not self.files

    def only(self, variants: Collection[str]) -> Inventory:
        """What it has of some variants, by their ids."""
        return replace(
            self,
            committed={k: each for k, each in self.committed.items() if k.variant in variants},
            failed=frozenset(trial for trial in self.failed if trial.variant in variants),
            skipped={k: why for k, why in self.skipped.items() if k.variant in variants},
        )

    def version(self, trial: TrialId, folder: str) -> FileVersion:
        """The file of a committed trial in a folder, as the index knows files."""
        return _version_of(self.files, trial, self.committed[trial][folder], folder)

    def is_recent(self, version: FileVersion, folder: str) -> bool:
        """Whether a file is too new for the index."""
        return is_recent(self.files.get(version.trial.path(folder)))


@contextmanager
def _uncollected() -> Iterator[None]:
    """No garbage is looked for: a hundred thousand small things are made, and all of them last."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


@_uncollected()
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
    known: dict[str, Entry] = {}
    trials: dict[str, set[TrialId]] = {folder: set() for folder in FOLDERS}
    for entry in entries:
        found = trial_of(entry.name)
        if found is not None:
            known[entry.name] = entry
            trials[found[0]].add(found[1])
    index = Index(storage)
    markers = _read_markers(storage, index, sorted(trials[MARKERS]), known)
    broken = _broken(storage, index, markers, known, {MODELS, *tables})
    committed = {
        trial: marker
        for trial, marker in markers.items()
        if marker and broken.get(trial, _NONE) <= {MODELS}
    }
    with_files = set().union(*(trials[folder] for folder in (*RESULTS, MARKERS)))
    return Inventory(
        committed=committed,
        without_model=frozenset(
            trial for trial, folders in broken.items() if MODELS in folders and trial in committed
        ),
        failed=frozenset(trials[FAILURES] - committed.keys()),
        skipped={trial: _why(trial, markers) for trial in sorted(with_files - committed.keys())},
        settled_failures=frozenset(trials[FAILURES] & committed.keys()),
        files=known,
        storage=storage,
        index=index,
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


def _why(trial: TrialId, markers: Mapping[TrialId, Marker | None]) -> str:
    if trial not in markers:
        return UNMARKED
    return UNREADABLE if markers[trial] is None else DAMAGED


def _version_of(
    known: Mapping[str, Entry], trial: TrialId, facts: FileFacts | None, folder: str
) -> FileVersion:
    entry = known.get(trial.path(folder) if facts is None else facts.path)
    return FileVersion(trial, facts.sha256 if facts else "", entry.stamp if entry else "")


def _read_markers(
    storage: Storage, index: Index, trials: Sequence[TrialId], known: Mapping[str, Entry]
) -> dict[TrialId, Marker | None]:
    """What all markers say; those that the index knows are not read."""
    rows = index.rows_of(MARKERS)
    versions = {trial: FileVersion(trial, "", known[trial.path(MARKERS)].stamp) for trial in trials}
    kept = {trial: found for trial in trials if (found := rows.find(versions[trial]))}
    markers: dict[TrialId, Marker | None] = dict(zip(kept, _markers_in(rows, kept), strict=True))
    missing = [trial for trial in trials if trial not in kept]
    with ThreadPoolExecutor(READERS) as readers:
        read = readers.map(partial(stored_marker, storage), missing)
        markers |= zip(missing, read, strict=True)
    fresh = {versions[trial]: marker for trial in missing if (marker := markers[trial])}
    rows.add({version: _marker_row(marker) for version, marker in fresh.items()})
    rows.save(lambda version: is_recent(known[version.trial.path(MARKERS)]))
    return {trial: markers[trial] for trial in trials}


def _markers_in(rows: KeptRows, kept: Mapping[TrialId, RowRange]) -> Iterator[Marker]:
    table = rows.rows(list(kept.values()), KINDS[MARKERS])
    columns = [
        [table[f"{folder}_{name}"].to_pylist() for name in ("rows", "size", "sha256")]
        for folder in RESULTS
    ]
    for number, trial in enumerate(kept):
        yield {
            folder: FileFacts(trial.path(folder), *(column[number] for column in each))
            for folder, each in zip(RESULTS, columns, strict=True)
        }


def _marker_row(marker: Marker) -> pa.Table:
    values = {
        f"{folder}_{name}": getattr(marker[folder], name)
        for folder in RESULTS
        for name in ("rows", "size", "sha256")
    }
    return pa.Table.from_pylist([values], schema=KINDS[MARKERS](()))


_NONE: frozenset[str] = frozenset()


def _broken(
    storage: Storage,
    index: Index,
    markers: Mapping[TrialId, Marker | None],
    known: Mapping[str, Entry],
    asked: Collection[str],
) -> dict[TrialId, frozenset[str]]:
    """Those of some folders in which trials' files are missing, or are not what the markers say.

    A file is read if it is newer than its marker, as one that has changed since it was committed,
    and the index does not know it as it is now.

    Returns:
        by trial, those that have such files.
    """
    broken: dict[TrialId, set[str]] = {}
    doubtful: dict[str, dict[TrialId, FileFacts]] = {}
    for trial, marker in markers.items():
        since = known[trial.path(MARKERS)].modified
        for folder, facts in (marker or {}).items():
            if folder not in asked:
                continue
            entry = known.get(facts.path)
            if entry is None or entry.size != facts.size:
                broken.setdefault(trial, set()).add(folder)
            elif entry.modified > since:
                doubtful.setdefault(folder, {})[trial] = facts
    for folder, files in doubtful.items():
        for trial in _changed(storage, index, folder, files, known):
            broken.setdefault(trial, set()).add(folder)
    return {trial: frozenset(folders) for trial, folders in broken.items()}


def _changed(
    storage: Storage,
    index: Index,
    folder: str,
    files: Mapping[TrialId, FileFacts],
    known: Mapping[str, Entry],
) -> list[TrialId]:
    """The trials whose file in a folder is not what their marker says; each is read once."""
    rows = index.rows_of(folder)
    checked = rows if CHECKED[folder] == folder else index.rows_of(CHECKED[folder])
    versions = {trial: _version_of(known, trial, facts, folder) for trial, facts in files.items()}
    unknown = [
        trial
        for trial, version in versions.items()
        if rows.find(version) is None and checked.find(version) is None
    ]

    def is_whole(trial: TrialId) -> bool:
        return committed_content(storage, files[trial]) is not None

    with ThreadPoolExecutor(READERS) as readers:
        whole = dict(zip(unknown, readers.map(is_whole, unknown), strict=True))
    good = [versions[trial] for trial, is_good in whole.items() if is_good]
    for version in good:
        if rows.find_content(version) is not None:
            rows.see(version)
    sizes = {each: files[each.trial].size for each in good if rows.find(each) is None}
    schema = KINDS[CHECKED[folder]](())
    checked.add({each: pa.table([[size]], schema) for each, size in sizes.items()})
    for each in {rows, checked}:
        each.save(lambda version: is_recent(known[version.trial.path(folder)]))
    return [trial for trial, is_good in whole.items() if not is_good]
