"""The command `run`: from a preset, a study file or a matrix of data to results in Parquet."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aes_lipi.config import (
    Study,
    StudyFile,
    list_presets,
    load_preset,
    load_study_file,
    resolve_study,
)
from aes_lipi.config.variant import DATA_FIELDS
from aes_lipi.errors import UserError
from aes_lipi.results.locations import is_address, join, shown

if TYPE_CHECKING:
    from aes_lipi.execution.study import Runner

    Place = Callable[[], AbstractContextManager[Runner]]

OWN_DATA_PRESET = "own_data"
DEFAULT_RESULTS = Path("results")
DEFAULT_DATA = Path("data")

_STUDY, _DO, _HOW = "Study", "Instead of running", "Execution"


def run(
    *,
    rq: Annotated[
        str | None, typer.Option("--rq", help="Name of a preset.", rich_help_panel=_STUDY)
    ] = None,
    all_rqs: Annotated[
        bool, typer.Option("--all_rqs", help="Run all presets.", rich_help_panel=_STUDY)
    ] = False,
    config: Annotated[
        Path | None, typer.Option(help="A study of your own, in YAML.", rich_help_panel=_STUDY)
    ] = None,
    show_list: Annotated[
        bool, typer.Option("--list", help="Show all presets.", rich_help_panel=_DO)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry_run", help="Show the trials and run nothing.", rich_help_panel=_DO),
    ] = False,
    create_data: Annotated[
        bool,
        typer.Option(
            "--create_data",
            help="Write the paper's data sets, or the one that the data flags describe, to "
            "--output_dir.",
            rich_help_panel=_DO,
        ),
    ] = False,
    output_dir: Annotated[
        str | None,
        typer.Option(
            "--output_dir",
            metavar="DIR|s3://BUCKET/DIR",
            help="Folder of the results, here or in an object store: results/NAME.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Trials at a time: as many as there are cores, or as the cluster holds.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    local: Annotated[
        bool,
        typer.Option(
            "--local",
            help="On this machine alone, even if there is a Ray cluster.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT|auto|local",
            help="Ray cluster to run on: by default the one of RAY_ADDRESS or of this machine, if "
            "any. `local` starts Ray here.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(
            metavar="cell|trial",
            help="On a cluster: every cell an actor (default), or whole rings inside trial tasks.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    cells_per_actor: Annotated[
        str | None,
        typer.Option(
            "--cells_per_actor",
            metavar="NUMBER|auto",
            help="Cells that one actor holds: a divisor of the ring, or chosen from the measured "
            "generation time.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    cell_resources: Annotated[
        str | None,
        typer.Option(
            "--cell_resources",
            metavar="CPU=1,GPU=0.25",
            help="What each cell actor (or each trial task) reserves on the cluster.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    replay: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Results of an asynchronous run of the same study: repeat what its cells read.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry_failed", help="Also run trials that failed before.", rich_help_panel=_HOW
        ),
    ] = False,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Remove the results that --output_dir holds, and start again.",
            rich_help_panel=_HOW,
        ),
    ] = False,
    **fields: str | None,
) -> None:
    """Run a study, or go on with it: trials whose results are there are not run again.

    Every flag of a field replaces that field wherever the preset sets or sweeps it; commas make a
    list to sweep. Hyphens work wherever underscores do.
    """
    overrides = {name: value for name, value in fields.items() if value is not None}
    if show_list:
        _print_presets(overrides)
    elif create_data:
        _create_data(_local_path(output_dir) if output_dir else DEFAULT_DATA, overrides)
    else:
        studies = [_known_by_content(each) for each in _studies(rq, all_rqs, config, overrides)]
        folders = [_folder(study, output_dir, all_rqs) for study in studies]
        if dry_run:
            _print_trials(studies)
            return
        _one_thread()
        wishes = _Wishes(placement, cells_per_actor, cell_resources, jobs)
        again = _Again(retry_failed, replay, fresh)
        _run_all(studies, folders, wishes.place(local, address), again)


def _studies(
    rq: str | None, all_rqs: bool, config: Path | None, overrides: Mapping[str, str]
) -> list[Study]:
    """The studies that the flags ask for."""
    if sum([rq is not None, all_rqs, config is not None]) > 1:
        raise UserError("--rq, --all_rqs and --config exclude each other; give one of them")
    if all_rqs:
        return [resolve_study(name, load_preset(name), overrides) for name in list_presets()]
    if config is not None:
        return [resolve_study(config.stem, load_study_file(config), overrides)]
    name = rq or (OWN_DATA_PRESET if "data" in overrides else None)
    if name is None:
        raise UserError("nothing to run: give --rq NAME (--list shows them), --config or --data")
    return [resolve_study(name, load_preset(name), overrides)]


def _known_by_content(study: Study) -> Study:
    """Data files and saved models count by their content."""
    if not any(variant.data or variant.ann_path for variant in study.variants):
        return study
    from aes_lipi.execution.digests import with_digests  # noqa: PLC0415 - numpy is slow to import

    return with_digests(study)


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _folder(study: Study, output_dir: str | None, one_each: bool) -> str | Path:
    if output_dir is None:
        return DEFAULT_RESULTS / study.name
    return join(output_dir, study.name) if one_each else output_dir


def _local_path(output_dir: str) -> Path:
    if is_address(output_dir):
        raise UserError(f"--output_dir {shown(output_dir)}: data are written to a folder here")
    return Path(output_dir)


@dataclass(frozen=True)
class _Again:
    """What the flags say of results that are there."""

    retry_failed: bool
    replay: str | None
    fresh: bool


@dataclass(frozen=True)
class _Wishes:
    """What the flags say of where and how trials run."""

    placement: str | None
    cells_per_actor: str | None
    cell_resources: str | None
    jobs: int | None

    def place(self, local: bool, address: str | None) -> Place:
        """Find the cluster, if there is one, and check what is asked of it.

        Raises:
            UserError: a flag is wrong, or the cluster cannot be used.
        """
        from aes_lipi.execution.cluster.options import (  # noqa: PLC0415 - numpy is slow to import
            ClusterOptions,
            parse_cells_per_actor,
            parse_resources,
        )
        from aes_lipi.execution.runners import (  # noqa: PLC0415
            cluster_runner,
            local_runner,
            where_to_run,
        )

        if self.placement not in (None, "cell", "trial"):
            raise UserError(f"--placement {self.placement}: give cell or trial")
        options = ClusterOptions(
            placement="trial" if self.placement == "trial" else "cell",
            cells_per_actor=parse_cells_per_actor(self.cells_per_actor or "auto"),
            resources=parse_resources(self.cell_resources) if self.cell_resources else (),
            trials_at_a_time=self.jobs,
        )
        asked = any((self.placement, self.cells_per_actor, self.cell_resources))
        found = where_to_run(local, address, asked)
        if found is None:
            return lambda: local_runner(self.jobs or _cores())
        print(f"on the Ray cluster at {found} (--local to run here)", file=sys.stderr, flush=True)
        return lambda: cluster_runner(found, options)


def _run_all(
    studies: list[Study],
    folders: list[str | Path],
    place: Place,
    again: _Again,
) -> None:
    """Run the studies one after another; exit with 1 if a trial failed."""
    from aes_lipi.cli.progress import progress_for  # noqa: PLC0415 - numpy is slow to import
    from aes_lipi.cli.tables import print_summary  # noqa: PLC0415
    from aes_lipi.execution.study import run_study  # noqa: PLC0415

    failed = 0
    with place() as runner:
        for study, folder in zip(studies, folders, strict=True):
            with progress_for(study) as progress:
                summary = run_study(
                    study,
                    folder,
                    runner,
                    progress,
                    retry_failed=again.retry_failed,
                    replay=again.replay,
                    fresh=again.fresh,
                )
            print_summary(study, folder, summary)
            failed += summary.failed
    if failed:
        raise typer.Exit(1)


def _create_data(directory: Path, overrides: Mapping[str, str]) -> None:
    from aes_lipi.cli.data import NAMING_FIELDS, create_data  # noqa: PLC0415 - numpy is slow to import

    named = any(field in overrides for field in NAMING_FIELDS)
    wanted = {field: value for field, value in overrides.items() if field in DATA_FIELDS}
    if "data" in wanted:
        raise UserError("--create_data: generates data; leave out --data")
    create_data(directory, resolve_study("data", StudyFile(), wanted), named)


def _one_thread() -> None:
    """Before numpy is imported, which reads how many threads it may use only once."""
    from aes_lipi.execution.workers import one_thread_per_process  # noqa: PLC0415

    one_thread_per_process()


def _print_presets(overrides: Mapping[str, str]) -> None:
    from aes_lipi.cli.tables import print_presets  # noqa: PLC0415 - rich is slow to import

    print_presets([resolve_study(name, load_preset(name), overrides) for name in list_presets()])


def _print_trials(studies: list[Study]) -> None:
    from aes_lipi.cli.tables import print_trials  # noqa: PLC0415 - rich is slow to import

    print_trials(studies)
