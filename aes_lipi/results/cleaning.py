"""Files of a study that nobody needs: what they are, and their removal."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aes_lipi.errors import UserError
from aes_lipi.io.files import TEMPORARY_PREFIX
from aes_lipi.results.description import PROGRESS_FILE, STUDY_FILE, holds_progress
from aes_lipi.results.index import INDEX, is_outdated, is_piece
from aes_lipi.results.inventory import (
    UNMARKED,
    Inventory,
    models_line,
    skipped_lines,
    take_inventory,
)
from aes_lipi.results.lock import is_lock, locked
from aes_lipi.results.own_files import open_for_writing
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import (
    FAILURES,
    FOLDERS,
    MARKERS,
    RESULTS,
    CheckpointFiles,
)

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
    Only files that a study makes are removed, by their names and places; links of others are left,
    and one in the place of a study's folder or file is refused, since results may lie behind it.
    A trial that has a marker keeps its files, even if they are damaged: running the study again
    makes its tables anew, with --restore_models its model.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), a driver is at work
            (wait for it), a folder of the study's is a link (move it away), or files cannot be read
            or removed.
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
        damaged = {trial: why for trial, why in inventory.skipped.items() if why != UNMARKED}
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
    found = dict.fromkeys(_temporary(storage), "half written") | _orphans(storage, inventory)
    found |= _superseded(storage, inventory)
    found |= {
        entry.name: "of an index of another version"
        for entry in storage.files(INDEX)
        if is_piece(entry.name) and is_outdated(entry.name)
    }
    if holds_progress(storage):
        found[PROGRESS_FILE] = "of a driver that is gone"
    return found


def _orphans(storage: Storage, inventory: Inventory) -> dict[str, str]:
    """Files that belong to no trial, and why; a marker that was not listed is looked for again."""
    unmarked = [
        trial
        for trial, why in inventory.skipped.items()
        if why == UNMARKED and storage.read(trial.path(MARKERS), 1) is None
    ]
    paths = [trial.path(folder) for trial in unmarked for folder in RESULTS]
    orphans = {path: "of no committed trial" for path in paths if path in inventory.files}
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
    own = take_inventory(storage).files
    paths = sorted(own, key=lambda path: not path.startswith(f"{MARKERS}/"))
    checkpoints = CheckpointFiles(storage)
    paths += [path for trial in checkpoints.trials() for path in checkpoints.paths(trial)]
    paths += [entry.name for entry in storage.files(INDEX) if is_piece(entry.name)]
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
    for entry in [*storage.children(), *storage.files(INDEX)]:
        if _TEMPORARY.fullmatch(entry.name.removeprefix(f"{INDEX}/")):
            yield entry.name
    for folder in FOLDERS:
        for entry in storage.files(folder):
            *places, name = entry.name.split("/")[1:]
            fits = len(places) == 1 and _PLACE.fullmatch(places[0])
            if fits and _TEMPORARY.fullmatch(name):
                yield entry.name
    yield from CheckpointFiles(storage).half_written
