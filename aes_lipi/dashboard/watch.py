"""What the page shows of studies, read from their folders when it is asked for; nothing is written.

A folder is looked at at most as often as its size allows, however many pages ask.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import pandas as pd

from aes_lipi.analysis.history import History, histories_of, history_under_way
from aes_lipi.dashboard.read_only import ReadOnlyStorage
from aes_lipi.dashboard.rings import NO_RING, ring_plots
from aes_lipi.dashboard.spec import Heading, Plot, plain_value
from aes_lipi.dashboard.views import LossChoice, read_variants_of, variant_plots
from aes_lipi.errors import UserError
from aes_lipi.results.description import STUDY_FILE
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.reading import StudyFolder
from aes_lipi.results.schema import failures_schema
from aes_lipi.results.status import Overview, Status, VariantStatus, overview_of
from aes_lipi.results.storage import Storage, join
from aes_lipi.results.trial_files import FAILURES, TABLES, TrialId
from aes_lipi.results.trial_tables import frame_of, read_failures

MOST_CHOSEN = 12
"""Variants whose trials are read and drawn at a time."""

_FIRST = 6  # variants that are drawn unless others are chosen

_UNDER_WAY = 8  # trials on their way that are drawn
_FAILURES = 200  # that are told of, the latest
_TOLD = ["variant", "variant_name", "trial", "error", "host"]
_PAUSE_S = 1.0  # between looks at a folder
_SPARED = 9  # times as long as a look takes, the next waits: a tenth of a core at most

_T = TypeVar("_T")


class ChosenVariant(NamedTuple):
    """A variant of one of the studies that are watched.

    Attributes:
        study: number of its study.
        variant: its id.
    """

    study: int
    variant: str


@dataclass(frozen=True)
class _Seen(Overview):
    """An overview, and what changes with all that figures are made of.

    Attributes:
        content: digest of the variants, what they are called, and the committed tables.
    """

    content: str

    @classmethod
    def of(cls, found: Overview) -> _Seen:
        """What is seen of a study."""
        told = hashlib.sha256()
        for each in found.status.variants:
            told.update(repr((each.variant, each.label)).encode())
        for trial, marker in found.folder.inventory.committed.items():
            digests = [marker[table].sha256 for table in TABLES]
            told.update(repr((*trial, *digests)).encode())
        return cls(found.status, found.trials, found.folder, told.hexdigest())


@dataclass
class _Seldom(Generic[_T]):
    """What is found out again only after a pause, which is longer where that takes long.

    Attributes:
        find: finds it out.
    """

    find: Callable[[], _T]
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: list[_T] = field(default_factory=list)
    _next: float = 0.0

    def known(self) -> _T:
        """What was found last, however long ago; what a page shows goes with what it was told."""
        found = self._found[:]
        return found[0] if found else self.value()

    def value(self) -> _T:
        """What was found last, or is found now."""
        with self._lock:
            begin = time.monotonic()
            if not self._found or begin >= self._next:
                self._found[:] = [self.find()]
                end = time.monotonic()
                self._next = end + max(_PAUSE_S, _SPARED * (end - begin))
            return self._found[0]


class Watched:
    """Studies whose folders were given, or that lie in folders that were.

    Args:
        locations: output folders of studies, their addresses, or folders of such folders.

    Raises:
        UserError: a folder cannot be read, or holds no study and no folder of one.
    """

    def __init__(self, locations: Sequence[str | Path]) -> None:
        self._locations = list(locations)
        self._studies: dict[str, _Study] = {}
        self._lock = threading.Lock()
        self._drawn: tuple[Any, dict[str, Any]] | None = None
        for location in self._locations:
            if not self._take_in(location):
                raise UserError(
                    f"{open_storage(location).shown}: holds no study, nor folders of studies; "
                    "give the --output_dir of one"
                )
        self._seldom = _Seldom(self._found)

    def overview(self) -> list[dict[str, Any]]:
        """How every study stands, in the order in which they were found."""
        return [
            study.overview() | {"number": number}
            for number, study in enumerate(self._seldom.value())
        ]

    def first(self) -> list[ChosenVariant]:
        """The variants to draw before any are chosen: those that run, and of the lowest losses."""
        found = [
            (not each.trials.running, math.inf if loss is None else loss, number, place, each)
            for number, study in enumerate(self._seldom.known())
            for place, each in enumerate(study.variants())
            for loss in (each.median_mean_L1,)
        ]
        lowest = sorted(found, key=lambda each: each[:4])[:_FIRST]
        in_order = sorted(lowest, key=lambda each: each[2:4])
        return [ChosenVariant(number, each.variant) for *_, number, _, each in in_order]

    def prepare(self) -> None:
        """Have ready what a page asks for first; what stands in the way is told when it does."""
        with suppress(UserError):
            self.overview()
            self.figures(self.first(), "mean_L1")

    def figures(self, chosen: Sequence[ChosenVariant], measure: LossChoice) -> dict[str, Any]:
        """Figures of some variants, and the machines that their trials ran on.

        Raises:
            UserError: there is no such variant, or there are more than are drawn at a time.
        """
        key = (tuple(chosen), measure, tuple(self._study(each).stamp() for each in chosen))
        with self._lock:  # one reads, the others take what it found
            if self._drawn is None or self._drawn[0] != key:
                self._drawn = key, self._figures(chosen, measure)
            return self._drawn[1]

    def ring(self, of: ChosenVariant, trial: int) -> list[Plot]:
        """The ring of a trial in space and time; of one on its way what was written down.

        Raises:
            UserError: no such trial, nothing of it was written down yet, or there is no ring.
        """
        study = self._study(of)
        label = study.labels()[of.variant]
        named = Heading("ring", "Ring", "The loss of every cell's pair on a batch, by generation.")
        history = study.history(TrialId(of.variant, trial))
        if history.is_of_pairs:
            raise UserError(NO_RING)
        return list(ring_plots(named, [(label, history)]))

    def check(self, chosen: ChosenVariant) -> None:
        """Make sure that there is a variant.

        Raises:
            UserError: there is not.
        """
        self._study(chosen)

    def _found(self) -> list[_Study]:
        for location in self._locations:
            with suppress(UserError):  # what is known of it tells so itself, and others stay
                self._take_in(location)
        return list(self._studies.values())

    def _take_in(self, location: str | Path) -> int:
        """Know the studies of a location; how many those are.

        Raises:
            UserError: it cannot be read.
        """
        found = _studies_in(location, self._studies)
        new = [each for each in found if str(each) not in self._studies]
        self._studies.update((str(each), _Study(each)) for each in new)
        return len(found)

    def _study(self, of: ChosenVariant) -> _Study:
        studies = self._seldom.known()
        if not 0 <= of.study < len(studies) or of.variant not in studies[of.study].labels():
            raise UserError("no such variant of the studies that are shown")
        return studies[of.study]

    def _figures(self, chosen: Sequence[ChosenVariant], measure: LossChoice) -> dict[str, Any]:
        if not 0 < len(chosen) <= MOST_CHOSEN:
            raise UserError(f"choose from 1 to {MOST_CHOSEN} variants")
        of_each: dict[_Study, set[str]] = {}
        for each in chosen:
            of_each.setdefault(self._study(each), set()).add(each.variant)
        variants = list(dict.fromkeys(each.variant for each in chosen))
        data = read_variants_of([study.folder(ids) for study, ids in of_each.items()], variants)
        running = [trial for study, ids in of_each.items() for trial in study.under_way(ids)]
        plots = variant_plots(data, variants, measure, running[:_UNDER_WAY])
        return {
            "figures": [asdict(plot) for plot in plots],
            "machines": _machines(data.trials),
            "notes": _repeated(of_each.values(), {**data.untried, **data.labels}),
            "skipped": list(data.skipped),
        }


class _Study:
    """One study, looked at now and then.

    Args:
        location: its output folder, or its address.
    """

    def __init__(self, location: str | Path) -> None:
        self.location = location
        storage = ReadOnlyStorage(open_storage(location))
        self._seen: _Seldom[_Seen] = _Seldom(lambda: _Seen.of(overview_of(storage, ())))
        self._failures: tuple[Any, list[dict[str, Any]]] = (None, [])
        self._courses: dict[TrialId, tuple[int, History | None]] = {}

    def variants(self) -> Sequence[VariantStatus]:
        """How each of its variants stands; none where that cannot be told."""
        try:
            return self._seen.known().status.variants
        except UserError:
            return ()

    def labels(self) -> dict[str, str]:
        """Of its variants, by id."""
        return {each.variant: each.label for each in self._seen.known().status.variants}

    def folder(self, variants: Collection[str]) -> StudyFolder:
        """What its folder held of some variants when it was last looked at."""
        folder = self._seen.known().folder
        # The description stays whole: what variants are called does not depend on the choice.
        return replace(folder, inventory=folder.inventory.only(variants))

    def stamp(self) -> tuple[Any, ...]:
        """What changes when figures do."""
        seen = self._seen.known()
        return (seen.status.directory, seen.status.trials, seen.status.running, seen.content)

    def overview(self) -> dict[str, Any]:
        """How it stands; a line on why that cannot be told, if so."""
        try:
            seen = self._seen.value()
            return _told(seen, self._failed(seen.folder))
        except UserError as error:
            return {"directory": open_storage(self.location).shown, "error": str(error)}

    def history(self, trial: TrialId) -> History:
        """The course of a trial.

        Raises:
            UserError: nothing is known of it.
        """
        folder = self._seen.known().folder
        committed = histories_of(folder.storage, folder.inventory, [trial])
        # Of a driver that is gone, there may be what it wrote on its way.
        found = committed.get(trial) or history_under_way(self.location, *_key(trial))
        if found is None:
            raise UserError(f"nothing of trial {trial.trial} was written down yet")
        return found

    def under_way(self, variants: Collection[str]) -> list[History]:
        """Trials of some variants on their way, as far as they were written down."""
        found: list[History] = []
        running = self._seen.known().status.running
        for each in running:
            trial = TrialId(each.variant, each.trial)
            if each.variant not in variants or len(found) == _UNDER_WAY:
                continue
            known = self._courses.get(trial)
            if known is None or known[0] != each.generations:
                known = each.generations, history_under_way(self.location, *_key(trial))
                self._courses[trial] = known
            if known[1] is not None:
                found.append(known[1])
        at_work = {TrialId(each.variant, each.trial) for each in running}
        self._courses = {trial: self._courses[trial] for trial in at_work & self._courses.keys()}
        return found

    def _failed(self, folder: StudyFolder) -> list[dict[str, Any]]:
        """The latest failures with their reasons; their records are read once."""
        known = folder.inventory.files
        files = {trial: known[trial.path(FAILURES)] for trial in folder.inventory.failed}
        latest = sorted(files, key=lambda trial: files[trial].modified)[-_FAILURES:]
        stamps = [files[trial] for trial in latest]
        if self._failures[0] != stamps:
            records = read_failures(folder.storage, latest)
            rows = frame_of(records, failures_schema())[_TOLD].astype(object).to_dict("records")
            told = [{str(name): plain_value(each[name]) for name in _TOLD} for each in rows]
            self._failures = stamps, told
        return self._failures[1]


def _key(trial: TrialId) -> tuple[str, int]:
    return trial.variant, trial.trial


def _studies_in(location: str | Path, known: Collection[str]) -> list[str | Path]:
    """A study's folder, or those in a folder; none behind a link, nor such as cannot be read.

    Raises:
        UserError: the folder itself cannot be read.
    """
    storage = open_storage(location)
    names = sorted(entry.name for entry in storage.children())
    if STUDY_FILE in names:
        return [location]
    below = {name: join(location, name) for name in names}
    return [
        place for name, place in below.items() if str(place) in known or _holds_study(storage, name)
    ]


def _holds_study(storage: Storage, name: str) -> bool:
    with suppress(UserError):
        return storage.read(f"{name}/{STUDY_FILE}", 1) is not None
    return False


def _repeated(chosen: Iterable[Collection[str]], labels: Mapping[str, str]) -> list[str]:
    """Lines on variants that were chosen of several studies."""
    times = Counter(variant for variants in chosen for variant in variants)
    return [
        f"{labels.get(variant, variant)}: chosen of {n} studies and drawn once, over the trials of "
        "all; one that several hold counts as the first has it"
        for variant, n in times.items()
        if n > 1
    ]


def _machines(trials: pd.DataFrame) -> list[dict[str, Any]]:
    """Where trials ran."""
    columns = ["host", "processor", "device_used"]
    groups = trials.groupby(columns, dropna=False, sort=True)["wall_time_s"]
    return [
        {
            **{name: str(value) for name, value in zip(columns, key, strict=True)},
            "trials": len(times),
            "median_s": float(times.median()),
        }
        for key, times in groups
    ]


def _told(seen: _Seen, failures: list[dict[str, Any]]) -> dict[str, Any]:
    """A study's status as the page takes it."""
    status = seen.status
    return {
        **asdict(status),
        "running": [each.model_dump() for each in status.running],
        "remarks": [each.model_dump() for each in status.remarks],
        "state": _state(status),
        "failures": failures,
        "content": seen.content,
    }


def _state(status: Status) -> str:
    """How a study stands, in a word: running, killed, done, failed or stopped."""
    if status.driver is not None:
        return "running" if status.driver.alive else "killed"
    if status.trials.pending:
        return "stopped"
    return "failed" if status.trials.failed else "done"
