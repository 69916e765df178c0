"""The directories behind a report: what was run there and on what, and single trials of theirs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import numpy as np
import pandas as pd
from pydantic import ValidationError

from aes_lipi.analysis.baselines import chosen_trials, column_table
from aes_lipi.analysis.distances import Distances, distances_in
from aes_lipi.analysis.history import History, histories_of
from aes_lipi.analysis.measures import TrialRows
from aes_lipi.analysis.pareto import Tradeoff, candidates_frame, recorded_rows, tradeoffs
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.report.views import Grid
from aes_lipi.analysis.settings import noise_of, settings_of, varying_settings
from aes_lipi.analysis.tables import generation_samples
from aes_lipi.arrays import Float32
from aes_lipi.coevolution.topology import Neighbourhoods
from aes_lipi.config import Variant
from aes_lipi.data.dataset import Dataset
from aes_lipi.data.load import rebuilt_dataset
from aes_lipi.errors import UserError, printable
from aes_lipi.io.files import decode_json
from aes_lipi.models.files import load_content, read_model
from aes_lipi.models.model import Model
from aes_lipi.results.description import (
    STUDY_FILE,
    StudyDescription,
    located,
)
from aes_lipi.results.inventory import Inventory
from aes_lipi.results.reading import StudyFolder
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import MODELS, RESULTS, TrialId, committed_content

T = TypeVar("T")

_ROWS = 1000
_MOST_TABLES = 6
"""Of errors by column, one for each data set and width of code."""


@dataclass(frozen=True)
class StudySource:
    """One directory.

    Attributes:
        storage: its folder.
        inventory: what it holds.
        described: what its study.json says; None if there is none that can be read.
        question: what the study asks; empty if it does not say.
    """

    storage: Storage
    inventory: Inventory
    described: StudyDescription | None
    question: str

    def variant(self, variant: str) -> Variant | None:
        """The settings of one of its variants; None if they are not those of this version."""
        if self.described is None or variant not in self.described.variants:
            return None
        settings = self.described.settings(variant)
        try:
            return located(self.storage, Variant.model_validate(settings))
        except ValidationError:
            return None

    def model(self, trial: TrialId) -> Model | None:
        """The model of a committed trial; None if its file is not what was committed."""
        return self._from_model(trial, partial(load_content, load=read_model))

    def distances(self, trial: TrialId, members: Neighbourhoods) -> Distances | None:
        """How far the cells of a committed trial lay apart; None if that was not stored."""
        return self._from_model(trial, partial(distances_in, members=members))

    def _from_model(self, trial: TrialId, make: Callable[[bytes], T | None]) -> T | None:
        """What is made of a trial's model file; None if that is not what was committed."""
        facts = self.inventory.committed[trial][MODELS]
        content = committed_content(self.storage, facts)
        try:
            return None if content is None else make(content)
        except UserError:
            return None


def study_source(folder: StudyFolder) -> StudySource:
    """A directory that holds a study.

    Args:
        folder: what is there.

    Raises:
        UserError: the folder cannot be read.
    """
    content = folder.storage.read(STUDY_FILE) or b""
    question = (decode_json(content) or {}).get("description")
    return StudySource(
        folder.storage,
        folder.inventory,
        folder.described,
        printable(question, None) if isinstance(question, str) else "",
    )


@dataclass(frozen=True)
class Sources:
    """What a report is made of: measurements, and the directories behind them.

    Attributes:
        data: the measurements.
        folders: the directories.
    """

    data: Measurements
    folders: Sequence[StudySource]

    def typical_trials(self) -> dict[str, tuple[StudySource, int]]:
        """By variant the trial whose final loss is the median, the lower one of two."""
        numbers = {}
        for sample in generation_samples(self.data, self.data.best_by):
            if len(sample.values):
                middle = np.argsort(sample.values, kind="stable")[(len(sample.values) - 1) // 2]
                numbers[sample.variant] = int(sample.trials[middle])
        return self._located(numbers)

    def best_trials(self) -> dict[str, tuple[StudySource, int]]:
        """By variant the trial whose answer has the lowest test loss."""
        known = self.data.trials.dropna(subset="test_loss")
        best = known.loc[known.groupby("variant")["test_loss"].idxmin()]
        pairs = zip(best["variant"], best["trial"], strict=True)
        numbers = {str(variant): int(trial) for variant, trial in pairs}
        return self._located(numbers)

    def column_tables(self) -> dict[str, tuple[str, pd.DataFrame]]:
        """By variant, of the models that an export takes, which trial and its `column_table`.

        Those are left out whose file is not what was committed, or whose data are gone.
        """
        found = {}
        rows = chosen_trials(self.data.trials, self.data.labels).head(_MOST_TABLES)
        numbers = {str(v): int(t) for v, t in zip(rows["variant"], rows["trial"], strict=True)}
        for variant, (source, number) in self._located(numbers).items():
            settings, model = source.variant(variant), source.model(TrialId(variant, number))
            dataset = None if settings is None else _data_of(settings)
            if model is None or dataset is None or dataset.n_dim != model.architecture.n_dim:
                continue
            name = f"{self.data.labels[variant]}, trial {number}"
            found[variant] = (name, column_table(model, dataset))
        return found

    def _located(self, numbers: Mapping[str, int]) -> dict[str, tuple[StudySource, int]]:
        """The trials with the directories that hold them, in the order of the labels."""
        by_directory = {source.storage.shown: source for source in self.folders}
        rows = self.data.trials.set_index(["variant", "trial"])["directory"]
        return {
            variant: (by_directory[rows.loc[variant, numbers[variant]]], numbers[variant])
            for variant in self.data.labels
            if variant in numbers
        }

    def tradeoffs(self) -> tuple[Tradeoff, ...]:
        """All that was recorded of a report's trials, by the data, where anything is pruned."""
        found: dict[TrialId, TrialRows] = {}
        for source in self.folders:
            own = self.data.trials[self.data.trials["directory"] == source.storage.shown]
            own = own[own["n_parameters"] > 0]
            ids = map(TrialId, own["variant"], own["trial"])
            sizes = dict(zip(ids, own["n_parameters"].astype(int), strict=True))
            found |= recorded_rows(source.storage, source.inventory, sizes)
        places = {variant: place for place, variant in enumerate(self.data.labels)}
        ordered = sorted(found, key=lambda each: (places[each.variant], each.trial))
        candidates = candidates_frame([(each, found[each]) for each in ordered], self.data.labels)
        return tuple(
            replace(each, floor=_floor_of(each, self.data.trials))
            for each in tradeoffs(candidates, self.data.trials)
            if each.is_pruned
        )


def histories(trials: Mapping[str, tuple[StudySource, int]]) -> dict[str, History]:
    """The courses of trials, by variant, without those that cannot be read."""
    found = {}
    for variant, (source, number) in trials.items():
        trial = TrialId(variant, number)
        read = histories_of(source.storage, source.inventory, [trial])
        if trial in read:
            found[variant] = read[trial]
    return found


def test_rows(variant: Variant, n_dim: int) -> Float32 | None:
    """Rows of a variant's test split, shape (rows, n_dim): 1,000 at most, to see what is active.

    None where its data are no longer there, are of another width, or are too many to make again.
    """
    dataset = _data_of(variant)
    return dataset.test[:_ROWS] if dataset is not None and dataset.n_dim == n_dim else None


def _data_of(variant: Variant) -> Dataset | None:
    """A variant's data; None where they are no longer there or too many to make again."""
    try:
        return rebuilt_dataset(variant)
    except (UserError, OSError, ValueError, MemoryError):
        return None


def _floor_of(tradeoff: Tradeoff, trials: pd.DataFrame) -> float | None:
    """The noise in the data, where the loss is the one that it is a bound of."""
    if tradeoff.loss != "L1":
        return None
    return noise_of(trials[trials["variant"].isin(tradeoff.candidates["variant"].unique())])


_MACHINE = {
    "aes_lipi_version": "aes_lipi",
    "numpy_version": "numpy",
    "torch_version": "torch",
    "engine_used": "engine",
    "device_used": "device",
    "processor": "processor",
    "host": "host",
}
_LONGEST = 500  # characters of an error
_SHOWN = 60  # of a setting's value


@dataclass(frozen=True)
class _VariantProgress:
    """How far a variant is.

    Attributes:
        label: its name.
        committed: trials that are done.
        failed: trials that failed.
        pending: trials that the study has besides.
    """

    label: str
    committed: int
    failed: int
    pending: int


def what_was_run(sources: Sources, page_folder: Path) -> dict[str, Any]:
    """What a page's template shows of settings, machines, failures and files, by its names there.

    Args:
        sources: the measurements, and the directories behind them.
        page_folder: where the page is written, for links.
    """
    data = sources.data
    return {
        "period": _period(data.trials),
        "progress": _progress(data, sources.folders),
        "undone": _undone(data.trials, data.labels),
        "failures": _failures(data),
        "varying": _varying_grid(data),
        "settings": _shared_settings(data),
        "machines": _machines(data),
        "data_read": sorted(data.trials["data_read"].dropna().unique()),
        "files": _file_links(data, sources.folders, page_folder),
    }


def _shared_settings(data: Measurements) -> Grid:
    """The settings that all variants have in common, by their group."""
    settings = settings_of(data.trials, data.labels)
    varying = set(varying_settings(settings))
    common = [name for name in settings.columns if name not in varying]
    rows = [
        (name, _shown_value(settings[name].iloc[0]), Variant.model_fields[name].description or "")
        for name in common
        if len(settings)
    ]
    return Grid(("setting", "value", "what it is"), tuple(rows))


def _varying_grid(data: Measurements) -> Grid:
    """The settings in which variants differ, a row for each."""
    settings = settings_of(data.trials, data.labels)
    names = varying_settings(settings)
    columns = [[_shown_value(value) for value in settings[name]] for name in names]
    labels = [data.labels[variant] for variant in settings.index]
    rows = zip(labels, map(str, settings.index), *columns, strict=True)
    return Grid(("variant", "id", *names), tuple(rows))


def _shown_value(value: object) -> str:
    """A setting's value as text; of a long one, as a graph is, how it begins."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):  # type: ignore[call-overload]
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} … ({len(text):,} characters)"


def _machines(data: Measurements) -> Grid:
    """On what the trials ran: every combination, with its number of trials."""
    trials = data.trials
    names = list(_MACHINE)
    known = trials[names].astype(object).where(trials[names].notna(), "–")
    counts = known.value_counts(sort=False)
    rows = [
        (*map(str, key if isinstance(key, tuple) else (key,)), str(n)) for key, n in counts.items()
    ]
    return Grid((*_MACHINE.values(), "trials"), tuple(rows))


def _period(trials: pd.DataFrame) -> str:
    """When trials started, the first and the last one; empty without any."""
    started = trials["started_at"].dropna()
    if not len(started):
        return ""
    first, last = started.min(), started.max()
    return f"{first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} UTC"


def _progress(data: Measurements, sources: Sequence[StudySource]) -> tuple[_VariantProgress, ...]:
    """How many trials of each variant are done; those not tried yet among them."""
    wanted: dict[str, int] = {}
    names = {**data.labels, **data.untried}
    for source in sources:
        for variant in source.described.variants if source.described else ():
            assert source.described is not None
            wanted[variant] = max(wanted.get(variant, 0), source.described.trials)
    committed, failed = (table["variant"].value_counts() for table in (data.trials, data.failures))
    return tuple(
        _VariantProgress(
            label,
            n := int(committed.get(variant, 0)),
            m := int(failed.get(variant, 0)),
            max(0, wanted.get(variant, 0) - n - m),
        )
        for variant, label in names.items()
    )


def _undone(trials: pd.DataFrame, labels: Mapping[str, str]) -> list[str]:
    """A line for every variant of whose cells generations were undone, for they diverged."""
    counts = trials[trials["n_diverged"] > 0].groupby("variant")["n_diverged"].agg(["sum", "size"])
    return [
        f"{labels[str(variant)]}: training diverged, and {n:,} generations of cells were undone, "
        f"in {m} of its trials"
        for variant, n, m in counts.itertuples()
    ]


def _failures(data: Measurements) -> Grid:
    """Every failed trial and its error."""
    rows = [
        (data.labels[variant], str(trial), str(error)[:_LONGEST])
        for variant, trial, error in data.failures[["variant", "trial", "error"]].itertuples(
            index=False
        )
    ]
    return Grid(("variant", "trial", "error"), tuple(rows))


@dataclass(frozen=True)
class _FileLinks:
    """The files of a trial.

    Attributes:
        label: of its variant.
        trial: its number.
        links: the name of each, and its address.
    """

    label: str
    trial: int
    links: tuple[tuple[str, str], ...]


def _file_links(
    data: Measurements, sources: Iterable[StudySource], page_folder: Path
) -> tuple[_FileLinks, ...]:
    """Links to every Parquet file and model, relative to the page where they can be."""
    roots = {source.storage.shown: _root(source, page_folder) for source in sources}
    return tuple(
        _FileLinks(
            data.labels[variant],
            trial,
            tuple(
                (folder, f"{roots[directory]}/{quote(TrialId(variant, trial).path(folder))}")
                for folder in RESULTS
            ),
        )
        for directory, variant, trial in data.trials[["directory", "variant", "trial"]].itertuples(
            index=False
        )
    )


def _root(source: StudySource, page_folder: Path) -> str:
    """The address of a study's folder, as seen from the page."""
    folder = Path(source.storage.shown)
    if not folder.is_dir():
        return source.storage.shown
    return quote(Path(os.path.relpath(folder, page_folder)).as_posix())
