"""Whether a study's folder is well: what is missing, damaged or left over, and the remedy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aes_lipi.errors import UserError
from aes_lipi.results.cleaning import is_own, leftovers
from aes_lipi.results.description import (
    LOCAL_FILE,
    STUDY_FILE,
    StudyDescription,
    read_study_description,
    stored_description,
)
from aes_lipi.results.index import INDEX, is_piece
from aes_lipi.results.inventory import DAMAGED, READERS, UNREADABLE, Inventory, take_inventory
from aes_lipi.results.lock import Lock, lock_on
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import (
    CHECKPOINTS,
    FOLDERS,
    MARKERS,
    MODELS,
    CheckpointFiles,
    TrialId,
    stored_marker,
    trial_of,
)

_MADE_LATER = ("report", "exports")  # by other commands, into the folder
_SHOWN = 3
_AGAIN = "run the study's command again, which goes on and mends"
_RESTORE = "run the study's command again with --restore_models"
_REMEDIES = {"missing": _AGAIN, "damaged": f"remove them, then {_AGAIN}"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: what it is.
        said: how it is.
        state: `well`; `note`, which hinders nothing; or `problem`.
        remedy: what to do about it; empty where there is nothing to do.
    """

    subject: str
    said: str
    state: Literal["well", "note", "problem"] = "well"
    remedy: str = ""


@dataclass(frozen=True)
class FolderFacts:
    """What is found in a study's folder.

    Attributes:
        description: of the study; None if it cannot be read.
        inventory: its trials.
        faults: paths of files that a readable marker names, and whether each is `missing` or
            `damaged`: not, bit for bit, what was committed.
        lock: the driver's, and whether that lives; None if there is none.
        on_the_way: how many trials have a checkpoint and are not committed.
        unneeded: files that `clean` removes, and why.
        foreign: files and folders that no command of ours makes.
    """

    description: StudyDescription | None
    inventory: Inventory
    faults: Mapping[str, str]
    lock: tuple[Lock, bool] | None
    on_the_way: int
    unneeded: Mapping[str, str]
    foreign: tuple[str, ...]

    def findings(self) -> list[Finding]:
        """What is well in a study's folder and what is not, each problem with its remedy."""
        return [_of_study(self), _of_driver(self), *_of_trials(self), *_of_files(self)]


def inspect_folder(location: str | Path) -> FolderFacts:
    """Look at everything in a study's folder; nothing is written but the index.

    Args:
        location: the study's output folder, or its address.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), or cannot be read.
    """
    storage = open_storage(location)
    lock = lock_on(storage)  # before the files, which a driver that ends in between puts in order
    content = stored_description(storage)
    inventory = take_inventory(storage)
    if content is None and inventory.is_empty():
        raise UserError(f"{storage.shown}: holds no study; give the --output_dir of one")
    unneeded = leftovers(storage, inventory)
    return FolderFacts(
        description=None if content is None else read_study_description(content),
        inventory=inventory,
        faults=_faults(storage, inventory),
        lock=lock,
        on_the_way=len(set(CheckpointFiles(storage).trials()) - inventory.committed.keys()),
        unneeded=unneeded,
        foreign=_foreign(storage, unneeded),
    )


def _of_study(facts: FolderFacts) -> Finding:
    if facts.description is None:
        remedy = "put the file back from a copy, or choose another --output_dir for new results"
        return Finding("study", f"{STUDY_FILE}: missing, or no description", "problem", remedy)
    n = len(facts.description.variants)
    return Finding("study", f"{facts.description.name}: {_count(n, 'variant')}")


def _of_driver(facts: FolderFacts) -> Finding:
    if facts.lock is None:
        return Finding("driver", "none")
    lock, alive = facts.lock
    return (
        Finding("driver", lock.whose())
        if alive
        else Finding("driver", f"{lock.whose()} is gone", "note", _AGAIN)
    )


def _of_trials(facts: FolderFacts) -> list[Finding]:
    asked = facts.description

    def wanted(trials: Iterable[TrialId]) -> int:
        """Of those that the study asks for now, as `status` counts them."""
        if asked is None:
            return len(list(trials))
        return sum(each.variant in asked.variants and each.trial < asked.trials for each in trials)

    done, failed = wanted(facts.inventory.committed), wanted(facts.inventory.failed)
    total = asked.trials * len(asked.variants) if asked else done
    pending = done < total and not _is_under_way(facts)
    found = [Finding("trials", f"{done} of {total} committed")]
    if pending:
        found = [Finding("trials", f"{done} of {total} committed", "note", _AGAIN)]
    if facts.on_the_way:
        found.append(Finding("checkpoints", f"of {_count(facts.on_the_way, 'trial')}"))
    if failed:
        remedy = "see failures/ for the errors; run the study's command again with --retry_failed"
        found.append(Finding("failures", f"{_count(failed, 'trial')} failed", "problem", remedy))
    return found


def _of_files(facts: FolderFacts) -> list[Finding]:
    skipped = facts.inventory.skipped.items()
    unread = [trial.path(MARKERS) for trial, why in skipped if why == UNREADABLE]
    found = [each for what in _REMEDIES for each in _of_faults(facts.faults, what)]
    if unread:
        found.append(_of_paths("unreadable", unread, "problem", _AGAIN))
    if facts.unneeded and not _is_under_way(facts):
        found.append(_of_paths("left over", list(facts.unneeded), "note", "aes-lipi clean DIR"))
    if facts.foreign:
        found.append(_of_paths("not of a study", facts.foreign, "note", "they are left alone"))
    return found or [Finding("files", "all are what was committed")]


def _of_faults(faults: Mapping[str, str], what: str) -> list[Finding]:
    """What is said of the tables, and of the models, with one kind of fault."""
    paths = [path for path, was in faults.items() if was == what]
    models = [path for path in paths if path.startswith(f"{MODELS}/")]
    tables = [path for path in paths if not path.startswith(f"{MODELS}/")]
    known = ((tables, _REMEDIES[what]), (models, _RESTORE))
    return [_of_paths(what, paths, "problem", remedy) for paths, remedy in known if paths]


def _of_paths(
    what: str, paths: Sequence[str], state: Literal["note", "problem"], remedy: str
) -> Finding:
    shown = ", ".join(paths[:_SHOWN])
    more = f", and {len(paths) - _SHOWN} more" if len(paths) > _SHOWN else ""
    return Finding("files", f"{_count(len(paths), 'file')} {what}: {shown}{more}", state, remedy)


def _is_under_way(facts: FolderFacts) -> bool:
    return facts.lock is not None and facts.lock[1]


def _faults(storage: Storage, inventory: Inventory) -> dict[str, str]:
    def of_trial(trial: TrialId) -> dict[str, str]:
        marker = inventory.committed.get(trial) or stored_marker(storage, trial) or {}
        contents = {each: storage.read(each.path, each.size + 1) for each in marker.values()}
        return {
            facts.path: "missing" if content is None else "damaged"
            for facts, content in contents.items()
            if not facts.match(content)
        }

    damaged = [trial for trial, why in inventory.skipped.items() if why == DAMAGED]
    with ThreadPoolExecutor(READERS) as readers:
        found = readers.map(of_trial, sorted([*inventory.committed, *damaged]))
        return {path: what for faults in found for path, what in faults.items()}


def _foreign(storage: Storage, unneeded: Mapping[str, str]) -> tuple[str, ...]:
    """What is in a study's folder, and among its files, that no command makes."""
    known = {*FOLDERS, CHECKPOINTS, INDEX, STUDY_FILE, LOCAL_FILE, *_MADE_LATER}
    tops = [each.name for each in storage.children() if each.name not in known]
    among = [each.name for folder in (*FOLDERS, INDEX) for each in storage.files(folder)]
    found = [name for name in tops if not is_own(storage, name)]
    found += [name for name in among if not (trial_of(name) or is_piece(name))]
    return tuple(name for name in found if name not in unneeded)


def _count(n: int, what: str) -> str:
    return f"{n} {what}{'' if n == 1 else 's'}"
