"""The command `run`: from a preset, a study file or a matrix of data to results in Parquet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from aes_lipi.cli.running import RunOptions, one_thread, run_all
from aes_lipi.config import (
    DATA_FIELDS,
    Study,
    StudyFile,
    Variant,
    expanded,
    list_presets,
    load_preset,
    load_study_file,
    resolve_study,
)
from aes_lipi.errors import UserError
from aes_lipi.results.storage import is_address, join, place_of

_OWN_DATA_PRESET = "own_data"
_DEFAULT_RESULTS = Path("results")
_DEFAULT_DATA = Path("data")
_NAMING_FIELDS = ("dataset_name", "n_clusters", "n_examples_per_cluster", "n_dim")

_STUDY, _DO, _HOW = "Study", "Instead of running", "Execution"


def run_command(
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
            help="Trials at a time: as many as there are cores, or as the cluster holds. On a "
            "GPU: processes that share it, with many trials each.",
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
    trials_per_worker: Annotated[
        str | None,
        typer.Option(
            "--trials_per_worker",
            metavar="NUMBER|auto",
            help="On a GPU: trials that are trained side by side in one process, as many as its "
            "memory holds.",
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
        _create_data(_local_path(output_dir) if output_dir else _DEFAULT_DATA, overrides)
    else:
        studies = [_known_by_content(each) for each in _studies(rq, all_rqs, config, overrides)]
        folders = [_folder(study, output_dir, all_rqs) for study in studies]
        if dry_run:
            _print_trials(studies)
            return
        one_thread()
        options = RunOptions(
            local=local,
            address=address,
            placement=placement,
            cells_per_actor=cells_per_actor,
            cell_resources=cell_resources,
            trials_per_worker=trials_per_worker,
            jobs=jobs,
            retry_failed=retry_failed,
            replay=replay,
            fresh=fresh,
        )
        if run_all(studies, folders, options):
            raise typer.Exit(1)


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
    name = rq or (_OWN_DATA_PRESET if "data" in overrides else None)
    if name is None:
        raise UserError("nothing to run: give --rq NAME (--list shows them), --config or --data")
    return [resolve_study(name, load_preset(name), overrides)]


def _known_by_content(study: Study) -> Study:
    """Data files, saved models and plug-ins count by their content."""
    if not any(variant.data or variant.ann_path or variant.added for variant in study.variants):
        return study
    from aes_lipi.execution.inputs import with_digests  # noqa: PLC0415 - numpy is slow to import

    return with_digests(study)


def _folder(study: Study, output_dir: str | None, one_each: bool) -> str | Path:
    if output_dir is None:
        return _DEFAULT_RESULTS / study.name
    folder = expanded(output_dir)
    return join(folder, study.name) if one_each else folder


def _local_path(output_dir: str) -> Path:
    if is_address(output_dir):
        raise UserError(f"--output_dir {place_of(output_dir)}: data are written to a folder here")
    return Path(expanded(output_dir))


def _create_data(directory: Path, overrides: Mapping[str, str]) -> None:
    named = any(field in overrides for field in _NAMING_FIELDS)
    wanted = {field: value for field, value in overrides.items() if field in DATA_FIELDS}
    if "data" in wanted:
        raise UserError("--create_data: generates data; leave out --data")
    study = resolve_study("data", StudyFile(), wanted)
    for path in _written(directory, study) if named else _papers(directory, study.variants[0]):
        print(path)


def _print_presets(overrides: Mapping[str, str]) -> None:
    from aes_lipi.cli.tables import print_presets  # noqa: PLC0415 - rich is slow to import

    print_presets([resolve_study(name, load_preset(name), overrides) for name in list_presets()])


def _print_trials(studies: list[Study]) -> None:
    from aes_lipi.cli.tables import print_trials  # noqa: PLC0415 - rich is slow to import

    print_trials(studies)


def _papers(directory: Path, variant: Variant) -> list[Path]:
    """Write the paper's four data sets, with the seed and the noise of the flags."""
    from aes_lipi.data import create_paper_datasets  # noqa: PLC0415 - numpy is slow to import

    return create_paper_datasets(
        directory, variant.dataset_seed, variant.noise_probability, variant.test_noise
    )


def _written(directory: Path, study: Study) -> list[Path]:
    """Write the data sets that the flags describe.

    Raises:
        UserError: two of them have one name; give one value of every flag.
    """
    from aes_lipi.data import save  # noqa: PLC0415 - numpy is slow to import
    from aes_lipi.data.plugged import dataset_of  # noqa: PLC0415

    paths: list[Path] = []
    for variant in study.variants:
        dataset = dataset_of(variant)
        path = directory / f"{dataset.name}.npz"
        if path in paths:
            raise UserError(f"{path}: would be written twice; give one value of every flag")
        save(dataset, path)
        paths.append(path)
    return paths
