"""From directories to a report: the page, and figures and tables as files beside it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pandas as pd

from aes_lipi._version import __version__
from aes_lipi.analysis.baselines import baseline_remarks
from aes_lipi.analysis.comparisons import MAX_VARIANTS, Comparisons, compare
from aes_lipi.analysis.figures.style import FIGURE_FORMATS, Shown, show
from aes_lipi.analysis.measures import MEASURES, AnalysisUnit
from aes_lipi.analysis.pareto import Tradeoff, front_table
from aes_lipi.analysis.read import Measurements, open_folders, read_folders
from aes_lipi.analysis.report.gallery import TRADEOFF_TABLE, Drawn, pictures
from aes_lipi.analysis.report.sources import Sources, StudySource, study_source, what_was_run
from aes_lipi.analysis.report.views import (
    at_a_glance,
    baselines_grid,
    by_generation,
    family,
    standing,
)
from aes_lipi.analysis.statistics import check_share
from aes_lipi.analysis.tables import (
    describe_generations,
    describe_trials,
    generation_samples,
    is_chosen_on_test,
    trial_samples,
)
from aes_lipi.config import expanded
from aes_lipi.errors import UserError, printable
from aes_lipi.io.files import check_own_page, write_text_atomically
from aes_lipi.results.answers import BY_VALIDATION, note_on_star
from aes_lipi.results.storage import is_address, place_of
from aes_lipi.templates import render
from aes_lipi.templates.escaping import csv_text

_PAGE_NAME = "report.html"

_TITLES = {
    "loss": "Loss: L1 on the training rows, mean over cells",
    "test_loss": "Test loss: L1 of the trials' answers on the test rows",
    "capacity": "Capacity left: mean over cells",
}
"""The families of tests, and what they compare: of a trial's last generation, or with `patience`
its best."""

_SHORT = {"loss": "loss", "test_loss": "test loss"}
"""The families of which the page says at its top what they can show."""


_MATRIX = 16
"""Up to how many variants a page shows all pairs; the tables beside it always do."""


_FEW = 12
"""Rows that a page's tables show of many variants, those of the lowest losses first."""

_GENERATIONS = 12  # of a variant, in the page's tables
_ALL = ("mean_L1", "mean_test_L1", "mean_capacity", "mean_capacity_published", "wall_time_s")
_BEST = (
    *("test_L1", "test_L1_by_validation", "best_mean_L1"),
    *("capacity", "capacity_published", "network_size", "network_size_published"),
)
_OVER_TIME = (
    *("mean_L1", "test_L1", "capacity", "capacity_published", "encoder_size", "decoder_size"),
    *("encoder_size_published", "decoder_size_published", "wall_time_s"),
)


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        page: the report.
        figures: their files.
        tables: their files.
        skipped: lines that say which trials were passed over, and why.
    """

    page: Path
    figures: tuple[Path, ...]
    tables: tuple[Path, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class _Statistics:
    """What is said of the trials.

    Attributes:
        by_trial: of `describe_trials`.
        by_generation: by unit, of `describe_generations`.
        families: by name (see `_TITLES`) all pairs of variants.
    """

    by_trial: pd.DataFrame
    by_generation: Mapping[AnalysisUnit, pd.DataFrame]
    families: Mapping[str, Comparisons]


@dataclass(frozen=True)
class _Content:
    """What the page shows; `pattern` if only of variants that fit it."""

    sources: Sources
    statistics: _Statistics
    figures: Sequence[Shown]
    tables: Mapping[str, str]
    pattern: str | None


def analyse(
    locations: str | Path | Sequence[str | Path],
    report_dir: str | Path | None = None,
    *,
    formats: Iterable[str] = FIGURE_FORMATS,
    pooled: bool = False,
    alpha: float = 0.05,
    variants: str | None = None,
) -> Report:
    """Write the report of one or several studies.

    Args:
        locations: output folders of studies, or their addresses, as in `s3://bucket/results`.
        report_dir: where to; by default `report` inside the folder, if it is one on this machine,
            else `report` in the current folder.
        formats: of the figures' files, of `svg`, `pdf` and `png`.
        pooled: add the table that takes every cell for itself, as the published figures do.
        alpha: error rate of a family of tests.
        variants: only those whose name or id fits this pattern, in which `*` stands for any text.

    Raises:
        UserError: a place holds no study (give its --output_dir) or no committed trial (run it
            first), there are too many variants, a page of somebody else's is where the report would
            be (move it away), or the disk refuses a file.
    """
    check_share("alpha", alpha)
    kinds = _check_formats(formats)
    places = _listed(locations)
    units: tuple[AnalysisUnit, ...] = (
        "trial_mean",
        "trial_best",
        *(("pooled_cells",) if pooled else ()),
    )
    opened = open_folders(places, variants, MAX_VARIANTS)
    data = read_folders(opened, MEASURES, units)
    folders = [study_source(each) for each in opened]
    sources = Sources(data, folders)
    _check_content(data)
    found = _statistics(data, units, alpha)
    folder = _folder(folders, report_dir, is_one=len(places) == 1)
    check_own_page(folder / _PAGE_NAME)
    pruned = sources.tradeoffs()
    columns = sources.column_tables()
    losses = found.families["loss"]
    drawn = Drawn(sources, found.by_generation, losses, pruned, [*columns.values()])
    figures = [show(each.figure, each, folder, kinds) for each in pictures(drawn)]
    tables = _write_tables(folder, found, pruned, columns)
    content = _Content(sources, found, figures, tables, variants)
    write_text_atomically(folder / _PAGE_NAME, _page(content, folder))
    return Report(
        page=folder / _PAGE_NAME,
        figures=tuple(folder / address for each in figures for _, address in each.files),
        tables=tuple(folder / name for name in tables),
        skipped=data.skipped,
    )


def _listed(locations: str | Path | Sequence[str | Path]) -> list[str | Path]:
    each = [locations] if isinstance(locations, str | Path) else list(locations)
    if not each:
        raise UserError("no directory to analyse; give the --output_dir of a study")
    by_place = {place if is_address(place) else os.path.realpath(place): place for place in each}
    return list(by_place.values())


def _check_formats(formats: Iterable[str]) -> tuple[str, ...]:
    wanted = tuple(dict.fromkeys(formats))
    for kind in wanted:
        if kind not in FIGURE_FORMATS:
            raise UserError(
                f"{kind}: no format of figures; choose from {', '.join(FIGURE_FORMATS)}"
            )
    return wanted


def _check_content(data: Measurements) -> None:
    if not len(data.trials):
        why = f" ({'; '.join(data.skipped)})" if data.skipped else ""
        raise UserError(
            f"no trial is committed yet{why}; run the study first (aes-lipi status DIR)"
        )


def _folder(sources: Sequence[StudySource], report_dir: str | Path | None, *, is_one: bool) -> Path:
    if report_dir is not None:
        if is_address(report_dir):
            raise UserError(
                f"--report_dir {place_of(report_dir)}: a report is written to a folder here"
            )
        return Path(expanded(report_dir))
    place = Path(sources[0].storage.shown)
    return place / "report" if is_one and place.is_dir() else Path("report")


def _resamples(n_variants: int) -> int:
    """Of each interval of an effect size: fewer where there are thousands of pairs."""
    return 2000 if n_variants <= _MATRIX else 200


def _statistics(data: Measurements, units: Sequence[AnalysisUnit], alpha: float) -> _Statistics:
    """Describe and compare all variants.

    Args:
        data: the measurements.
        units: of the tables by generation.
        alpha: error rate of each family of tests.
    """
    samples = {
        "loss": generation_samples(data, "mean_L1"),
        "test_loss": trial_samples(data, "test_L1"),
        "capacity": generation_samples(data, "capacity"),
    }
    return _Statistics(
        by_trial=describe_trials(data),
        by_generation={unit: describe_generations(data, unit) for unit in units},
        families={
            name: compare(each, alpha=alpha, resamples=_resamples(len(each)))
            for name, each in samples.items()
        },
    )


def _write_tables(
    folder: Path,
    found: _Statistics,
    pruned: Sequence[Tradeoff],
    columns: Mapping[str, tuple[str, pd.DataFrame]],
) -> dict[str, str]:
    """Write the tables whole, as CSV; what each is, by name."""
    tables = {"tables/trials.csv": ("results of the trials", found.by_trial)}
    for unit, table in found.by_generation.items():
        tables[f"tables/generations_{unit}.csv"] = (f"by generation, {unit}", table)
    for name, comparisons in found.families.items():
        tables[f"tables/comparisons_{name}.csv"] = (f"comparisons, {name}", comparisons.table)
    if pruned:
        tables[f"tables/{TRADEOFF_TABLE}"] = ("Pareto front of size and loss", front_table(pruned))
    for variant, (_, table) in columns.items():
        which = "" if len(columns) == 1 else f"_{variant}"
        tables[f"tables/columns{which}.csv"] = ("errors by column", table)
    for name, (_, table) in tables.items():
        write_text_atomically(folder / name, csv_text(table))
    return {name: what for name, (what, _) in tables.items()}


def _page(content: _Content, folder: Path) -> str:
    data, folders = content.sources.data, content.sources.folders
    found = content.statistics
    said = {_SHORT[name]: each for name, each in found.families.items() if name in _SHORT}
    is_many = len(data.labels) > 2 * _FEW
    glance = partial(at_a_glance, data, found.by_trial, lowest_first=is_many)
    names = [source.described.name for source in folders if source.described]
    beside = baselines_grid(data)
    return render(
        "report.html.j2",
        title=", ".join(dict.fromkeys(names)) or "Report",
        questions=[source.question for source in folders if source.question],
        directories=[source.storage.shown for source in folders],
        chosen=None if content.pattern is None else printable(content.pattern),
        version=__version__,
        written=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        most=_MATRIX,
        few=_FEW if is_many else len(data.labels) + 2,
        chosen_on_test=is_chosen_on_test(data.trials),
        skipped=data.skipped,
        standing=standing(said),
        can_show=any(each.can_show for each in said.values()),
        lettered=any(each.telling_letters for each in said.values()),
        all_cells=glance(_ALL, found.families["loss"]),
        best_cells=glance(_BEST, found.families["test_loss"]),
        beside_baselines=beside,
        note_beside=note_on_star(beside=True) if BY_VALIDATION in beside.head else "",
        baseline_remarks=baseline_remarks(data.trials, data.labels),
        families=[family(_TITLES[name], each, _MATRIX) for name, each in found.families.items()],
        generations={
            unit: by_generation(table, _OVER_TIME, _GENERATIONS)
            for unit, table in found.by_generation.items()
        },
        figures=content.figures,
        **what_was_run(content.sources, folder),
        tables=content.tables,
    )
