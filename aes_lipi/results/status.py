"""How a study stands, at any moment and from any machine: its folder is read, and nothing else."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow as pa

from aes_lipi.errors import UserError
from aes_lipi.results.answers import was_chosen_on_test
from aes_lipi.results.description import (
    STUDY_FILE,
    Progress,
    Remark,
    RunningTrial,
    StudyDescription,
    read_progress,
    read_study_description,
    stored_description,
)
from aes_lipi.results.inventory import Inventory, take_inventory
from aes_lipi.results.lock import lock_on
from aes_lipi.results.object_storage import open_storage
from aes_lipi.results.reading import StudyFolder
from aes_lipi.results.schema import trials_schema
from aes_lipi.results.storage import Storage
from aes_lipi.results.trial_files import TrialId
from aes_lipi.results.trial_tables import read_rows

_LOSSES = ("mean_L1", "test_loss", "test_L1", "test_L1_by_validation")
"""Of which a status has medians."""

_LIGHT = (
    *("variant_name", "trial", "mean_L1", "test_L1", "test_loss", "capacity"),
    *("n_parameters", "wall_time_s", "started_at", "host"),
)
"""Columns of the table of trials by which a study is looked through."""


@dataclass(frozen=True)
class Driver:
    """Who runs a study, or ran it until it was killed.

    Attributes:
        host: its machine; None if its lock cannot be read.
        pid: its process there; None if its lock cannot be read.
        alive: whether it still runs.
    """

    host: str | None
    pid: int | None
    alive: bool


@dataclass(frozen=True)
class Counts:
    """Trials; each is either committed, or running, or failed, or pending.

    Attributes:
        total: all that the study has.
        committed: whose results are there.
        running: that the driver is at.
        failed: recorded as failed, and not being tried again.
        pending: all others.
    """

    total: int
    committed: int
    running: int
    failed: int
    pending: int


@dataclass(frozen=True)
class VariantStatus:
    """How one variant stands.

    Attributes:
        variant: its id.
        label: its name within the study.
        trials: how many there are.
        median_mean_L1: over its committed trials; None without any.
        median_test_loss: over its committed trials; None without any.
        median_test_L1: likewise, of the trials' answers, as `median_test_loss`.
        median_test_L1_by_validation: likewise, of the cells that are best on validation rows.
        chosen_on_test: whether answers are chosen by the rows that they are tested on.
    """

    variant: str
    label: str
    trials: Counts
    median_mean_L1: float | None  # noqa: N815 - the column's name for it
    median_test_loss: float | None
    median_test_L1: float | None  # noqa: N815
    median_test_L1_by_validation: float | None  # noqa: N815
    chosen_on_test: bool


@dataclass(frozen=True)
class Status:
    """How a study stands.

    Attributes:
        study: its name.
        directory: its folder, or its address without options and keys.
        driver: who runs it; None if nobody does and nobody was killed.
        trials: of all variants together.
        variants: one by one, in the study's order.
        running: the trials on their way, as the driver wrote at most a few seconds ago.
        generations_per_second: of all running trials together; None if it is not known.
        seconds_left: until all trials are done; None if it is not known.
        without_model: committed trials whose model is missing or damaged.
        nodes: of the cluster that the driver has; None on one machine, or without a driver.
        cpus: of these.
        remarks: what the driver said and what it lost, the newest last.
    """

    study: str
    directory: str
    driver: Driver | None
    trials: Counts
    variants: tuple[VariantStatus, ...]
    running: tuple[RunningTrial, ...]
    generations_per_second: float | None
    seconds_left: float | None
    without_model: int
    nodes: int | None = None
    cpus: float | None = None
    remarks: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Overview:
    """How a study stands, and what its committed trials came to.

    Attributes:
        status: progress, failures, who runs it.
        trials: a row for each committed trial that the study asks for now, by variant in the
            study's order and by number: the column `variant` (its id), and those asked for. Trials
            whose table is damaged are left out.
        folder: what the study's folder held then.
    """

    status: Status
    trials: pa.Table
    folder: StudyFolder


def study_status(location: str | Path) -> Status:
    """Find out how a study stands, without a lock; nothing is written but the index.

    Args:
        location: the study's output folder, or its address.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), or cannot be read.
    """
    return study_overview(location, _LOSSES).status


def study_overview(location: str | Path, columns: Sequence[str] = _LIGHT) -> Overview:
    """How a study stands and some columns of its trials, as quickly as they can be had.

    For pages and commands that look at a study again and again, while it runs and after. One
    listing of its folders and the index answer it: of 10,000 trials within a second, and no file of
    a trial is opened, but for those that were committed since somebody looked last. Nobody need
    hold a lock; nothing is written but the index. Pandas is not imported: `trials` is an Arrow
    table (`trials.to_pylist()`, `trials.to_pandas()`, `trials["mean_L1"].to_numpy()`).

    Args:
        location: the study's output folder, or its address.
        columns: of the table of trials; the fewer, the quicker.

    Raises:
        UserError: the folder holds no study (give the --output_dir of one), or cannot be read.

    >>> overview = study_overview("results/best_of_lipi")  # doctest: +SKIP
    >>> overview.status.trials.committed, overview.trials.group_by("variant").aggregate(
    ...     [("mean_L1", "approximate_median")]
    ... )  # doctest: +SKIP
    """
    return overview_of(open_storage(location), columns)


def overview_of(storage: Storage, columns: Sequence[str]) -> Overview:
    """The same of a folder that is open.

    Args:
        storage: the study's folder.
        columns: of the table of trials.

    Raises:
        UserError: as `study_overview`.
    """
    description = _description(storage)
    driver, progress = _driver(storage)
    # After what the driver says: a trial that ends in between is seen as committed, not as pending.
    inventory = take_inventory(storage)
    running = _running(progress, description, inventory)
    trials = _rows(description, inventory, columns)
    variants = _variants(description, inventory, running, trials)
    status = Status(
        study=description.name,
        directory=storage.shown,
        driver=driver,
        trials=_total([each.trials for each in variants]),
        without_model=sum(map(len, _by_variant(inventory.without_model, description).values())),
        variants=variants,
        running=running,
        generations_per_second=progress.generations_per_second if progress else None,
        seconds_left=progress.seconds_left if progress else None,
        nodes=progress.nodes if progress else None,
        cpus=progress.cpus if progress else None,
        remarks=progress.remarks if progress else (),
    )
    wanted = ["variant", *(name for name in columns if name != "variant")]
    return Overview(status, trials.select(wanted), StudyFolder(storage, inventory, description))


def _rows(description: StudyDescription, inventory: Inventory, columns: Sequence[str]) -> pa.Table:
    """Columns of the committed trials, losses among them; what is damaged is left out."""
    committed = _by_variant(sorted(inventory.committed), description)
    trials = [trial for variant in description.variants for trial in committed[variant]]
    names = dict.fromkeys((*columns, *_LOSSES))
    schema = pa.schema([trials_schema().field(name) for name in names if name != "variant"])
    return read_rows(inventory, trials, "trials", schema).single().named()


def _description(storage: Storage) -> StudyDescription:
    content = stored_description(storage)
    if content is None:
        raise UserError(f"{storage.shown}: holds no study; give the --output_dir of one")
    description = read_study_description(content)
    if description is None:
        raise UserError(
            f"{storage.shown}/{STUDY_FILE}: not a study description; give the --output_dir of "
            "another study, or put its file back from a copy"
        )
    return description


def _driver(storage: Storage) -> tuple[Driver | None, Progress | None]:
    """Who has the folder, and what it is at; of one that is gone, nothing is believed."""
    found = lock_on(storage)
    if found is None:
        return None, None
    lock, alive = found
    process = lock.process
    known = lock.is_readable
    driver = Driver(process.host if known else None, process.pid if known else None, alive)
    progress = read_progress(storage) if alive else None
    return driver, progress if progress and progress.lock == lock.token else None


def _running(
    progress: Progress | None, description: StudyDescription, inventory: Inventory
) -> tuple[RunningTrial, ...]:
    """The trials at work; those that were committed since the driver wrote are not."""
    trials = {_id(each): each for each in (progress.running if progress else ())}
    return tuple(
        each
        for trial, each in trials.items()
        if trial.variant in description.variants
        and trial.trial < description.trials
        and trial not in inventory.committed
    )


def _variants(
    description: StudyDescription,
    inventory: Inventory,
    running: Sequence[RunningTrial],
    trials: pa.Table,
) -> tuple[VariantStatus, ...]:
    at_work = {_id(each) for each in running}
    committed = _by_variant(inventory.committed, description)
    busy = _by_variant(at_work, description)
    failed = _by_variant(inventory.failed - at_work, description)
    losses = _losses(trials)
    return tuple(
        VariantStatus(
            variant=each,
            label=description.label(each),
            trials=_counts(description.trials, committed[each], busy[each], failed[each]),
            **{f"median_{name}": _median(losses[name][each]) for name in _LOSSES},
            chosen_on_test=was_chosen_on_test(description.settings(each)),
        )
        for each in description.variants
    )


def _by_variant(
    trials: Iterable[TrialId], description: StudyDescription
) -> defaultdict[str, list[TrialId]]:
    """The trials of every variant, but those that the study does not ask for now."""
    found = defaultdict(list)
    for each in trials:
        if each.variant in description.variants and each.trial < description.trials:
            found[each.variant].append(each)
    return found


def _counts(
    total: int, committed: Sequence[TrialId], running: Sequence[TrialId], failed: Sequence[TrialId]
) -> Counts:
    pending = total - len(committed) - len(running) - len(failed)
    return Counts(total, len(committed), len(running), len(failed), pending)


def _total(counts: Sequence[Counts]) -> Counts:
    names = [field.name for field in fields(Counts)]
    return Counts(**{name: sum(getattr(each, name) for each in counts) for name in names})


def _losses(trials: pa.Table) -> dict[str, defaultdict[str, list[float]]]:
    """The finite losses of trials, by column and variant."""
    losses = {column: defaultdict[str, list[float]](list) for column in _LOSSES}
    variants = trials["variant"].to_pylist()
    for column, values in losses.items():
        for variant, value in zip(variants, trials[column].to_pylist(), strict=True):
            if value is not None and math.isfinite(value):
                values[variant].append(value)
    return losses


def _median(values: Sequence[float]) -> float | None:
    return statistics.median(values) if values else None


def _id(trial: RunningTrial) -> TrialId:
    return TrialId(trial.variant, trial.trial)
