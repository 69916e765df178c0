"""Tables of what was run and on what: settings, versions, machines, failures, files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from aes_lipi.analysis.figures.panels import settings_of, varying_settings
from aes_lipi.analysis.read import Measurements
from aes_lipi.analysis.report.sources import Sources, StudySource
from aes_lipi.config import Variant
from aes_lipi.results.trial_files import RESULTS, TrialId

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


@dataclass(frozen=True)
class Grid:
    """A table of text.

    Attributes:
        head: names of the columns.
        rows: the cells.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


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
        "failures": _failures(data),
        "varying": _varying_grid(data),
        "settings": _shared_settings(data),
        "machines": _machines(data),
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
    """A setting's value as text."""
    if value is None or (not isinstance(value, str) and pd.isna(value)):  # type: ignore[call-overload]
        return "–"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


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
    names = dict(data.labels)
    for source in sources:
        for variant in source.described.variants if source.described else ():
            assert source.described is not None
            wanted[variant] = max(wanted.get(variant, 0), source.described.trials)
            names.setdefault(variant, source.described.label(variant))
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
