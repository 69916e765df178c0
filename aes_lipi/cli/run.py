"""The command `run`: from a preset, a study file or a matrix of data to results in Parquet."""

from __future__ import annotations

import inspect
import os
import typing
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from aes_lipi.cli.flags import TOKENS, flag, make_app, with_field_flags, with_values
from aes_lipi.cli.help import HelpfulCommand
from aes_lipi.cli.terminal import say
from aes_lipi.config import (
    DATA_FIELDS,
    Configuration,
    Study,
    StudyFile,
    StudyPart,
    Variant,
    expanded,
    list_presets,
    load_configuration,
    load_preset,
    resolve_study,
)
from aes_lipi.config.defaults import OTHER_NAMES, in_present_words
from aes_lipi.config.published_code import WITHOUT_MEANING
from aes_lipi.errors import UserError
from aes_lipi.results.storage import is_address, join, place_of

if TYPE_CHECKING:
    from aes_lipi.cli.running import RunOptions
    from aes_lipi.export.targets import Target

_OWN_DATA_PRESET = "own_data"
_DEFAULT_RESULTS = Path("results")
_DEFAULT_DATA = Path("data")
_NAMING_FIELDS = ("dataset_name", "n_clusters", "n_examples_per_cluster", "n_dim")

_CONFIG = "A study of your own, in YAML; `aes-lipi schema` has its form."
_CREATE = "Write the paper's data sets, or the one that the data flags describe, to --output_dir."
_OUTPUT = "Folder of the results, here or in an object store: results/NAME."
_JOBS = (
    "Trials at a time: as many as there are cores, or as the cluster holds. On a GPU: processes "
    "that share it, with many trials each."
)
_LOCAL = "On this machine alone, even if there is a Ray cluster."
_ADDRESS = (
    "Ray cluster to run on: by default the one of RAY_ADDRESS or of this machine, if any. `local` "
    "starts Ray here."
)
_PLACEMENT = (
    "On a cluster: cells in actors, as many in each as --cells_per_actor says (default), or whole "
    "rings inside trial tasks."
)
_CELLS = (
    "Cells that one actor holds: a divisor of the ring, or chosen from the measured generation "
    "time."
)
_RESOURCES = "What each cell actor (or each trial task) reserves on the cluster."
_TRIALS = (
    "On a GPU: trials that are trained side by side in one process, as many as its memory holds."
)
_REPLAY = "Results of an asynchronous run of the same study: repeat what its cells read."
_YES = "Agree to what is refused otherwise: the size of the centres of all generations."
_LIMIT = (
    "Seconds, or a time as in 30min or 8h, after which the run ends with code 130; the same "
    "command goes on. Trials on this machine are written down before, those on a cluster are not."
)
_FRESH = "Remove the results that --output_dir holds, and start again."

CAPACITY = (
    "Pick the recorded model of lowest validation loss with at most this share of its parameters "
    "not zero; where it is made compact, of its parameters left."
)
INCREASE = (
    "Pick the smallest recorded model whose validation loss is at most this share above the "
    "study's lowest: 0.01 is one per cent."
)
_END = "End with an export of a compact model to exports/ in the results."
CLUSTER = "HOST:PORT|auto|local"
RETRY = "Also run trials that failed before."
_RESTORE = "Also run trials whose model is missing or damaged, to make it again."


_DRY_RUN_THERE = "--print_cli_only", "--no_execution"
_TEST = "A short run of whatever is run: 4 epochs, 2 trials, where no flag says otherwise."
_SENSITIVITIES = "Lists of values in JSON, whose product is laid over the study."
_OWN = "in a folder of its own unless --output_dir is given; -1: all."
_VARIANT = f"Only the variant of this place in the list, from 0, {_OWN}"
_TRIAL = f"Only the trial of this number, {_OWN}"
_CONTROL = (
    "Of data of your own: also train a plain network of the size of an export, for about the "
    "compute of all other trials, to be shown beside them."
)
_ANALYSE = "Write the report after the run."

_study = partial(flag, panel="Study")
_instead = partial(flag, panel="Instead of running")
_how = partial(flag, panel="Execution")
_export = partial(flag, panel="Export")


def _run(
    *,
    rq: Annotated[
        str | None, _study("--rq", "Name of a preset.", "NAME", values=list_presets)
    ] = None,
    all_rqs: Annotated[bool, _study("--all_rqs", "Run all presets.")] = False,
    config: Annotated[
        Path | None, _study("--config", _CONFIG, "FILE", aliases=["--configuration_file"])
    ] = None,
    sensitivities: Annotated[Path | None, _study("--sensitivities", _SENSITIVITIES, "FILE")] = None,
    test: Annotated[bool, _study("--test", _TEST)] = False,
    variant_id: Annotated[int, _study("--variant_id", _VARIANT, "NUMBER", least=-1)] = -1,
    trial_id: Annotated[int, _study("--trial_id", _TRIAL, "NUMBER", least=-1)] = -1,
    show_list: Annotated[bool, _instead("--list", "Show all presets.")] = False,
    dry_run: Annotated[
        bool, _instead("--dry_run", "Show the trials and run nothing.", aliases=_DRY_RUN_THERE)
    ] = False,
    create_data: Annotated[bool, _instead("--create_data", _CREATE)] = False,
    output_dir: Annotated[str | None, _how("--output_dir", _OUTPUT, "DIR|s3://BUCKET/DIR")] = None,
    jobs: Annotated[int | None, _how("--jobs", _JOBS, "NUMBER", least=1)] = None,
    local: Annotated[bool, _how("--local", _LOCAL)] = False,
    address: Annotated[str | None, _how("--address", _ADDRESS, CLUSTER)] = None,
    placement: Annotated[str | None, _how("--placement", _PLACEMENT, "cell|trial")] = None,
    cells_per_actor: Annotated[str | None, _how("--cells_per_actor", _CELLS, "NUMBER|auto")] = None,
    cell_resources: Annotated[
        str | None, _how("--cell_resources", _RESOURCES, "CPU=1,GPU=0.25")
    ] = None,
    trials_per_worker: Annotated[
        str | None, _how("--trials_per_worker", _TRIALS, "NUMBER|auto")
    ] = None,
    replay: Annotated[str | None, _how("--replay", _REPLAY, "DIR")] = None,
    retry_failed: Annotated[bool, _how("--retry_failed", RETRY)] = False,
    restore_models: Annotated[bool, _how("--restore_models", _RESTORE)] = False,
    fresh: Annotated[bool, _how("--fresh", _FRESH)] = False,
    time_limit: Annotated[str | None, _how("--time_limit", _LIMIT, "TIME")] = None,
    yes: Annotated[bool, _how("--yes", _YES)] = False,
    control: Annotated[bool, _study("--control", _CONTROL)] = False,
    target_capacity: Annotated[
        float | None, _export("--target_capacity", f"{_END} {CAPACITY}", "SHARE")
    ] = None,
    max_loss_increase: Annotated[
        float | None, _export("--max_loss_increase", f"{_END} {INCREASE}", "SHARE")
    ] = None,
    analyse_data: Annotated[bool, _how("--analyse_data", _ANALYSE)] = False,
    **fields: str | None,
) -> None:
    """Run a study, or go on with it: trials whose results are there are not run again.

    Every flag of a field replaces that field wherever the preset sets or sweeps it; commas make a
    list to sweep. Hyphens work wherever underscores do.
    """
    overrides = _with_meaning({k: value for k, value in fields.items() if value is not None})
    if show_list:
        _print_presets(overrides)
        return
    if create_data and dry_run:
        raise UserError("--create_data: writes files; leave --dry_run out")
    if create_data:
        _create_data(_DEFAULT_DATA if output_dir is None else _local_path(output_dir), overrides)
        return
    named = {OTHER_NAMES.get(name, name) for name in overrides}
    swept = {name: value for name, value in _swept(sensitivities).items() if name not in named}
    overrides = swept | (_SHORT if test else {}) | overrides
    rq, all_rqs = (None, True) if rq == _ALL else (rq, all_rqs)
    studies, said = _studies(rq, all_rqs, config, overrides)
    target = _target_of(target_capacity, max_loss_increase)
    studies = _prepared(studies, control, target, may_prune_more="prune_amount" not in overrides)
    part = StudyPart(variant_id, trial_id)
    if output_dir is None and said.output_dir is not None:
        output_dir = _beside(said.output_dir, part.suffix)
    folders = [_folder(study, output_dir, all_rqs, part) for study in studies]
    one_thread()
    from aes_lipi.cli.running import RunOptions, run_all  # noqa: PLC0415 - numpy is slow

    options = RunOptions(
        local=local,
        address=address,
        placement=placement,
        cells_per_actor=cells_per_actor,
        cell_resources=cell_resources,
        trials_per_worker=trials_per_worker,
        jobs=jobs,
        retry_failed=retry_failed,
        restore_models=restore_models,
        replay=replay,
        fresh=fresh,
        time_limit=time_limit,
        part=part,
    )
    if dry_run or said.no_execution:
        options.check()
        _dry_run(studies, part, target, options)
        return
    _say_size(studies, part, agreed=yes)
    failed = run_all(studies, folders, options)
    raise typer.Exit(_closed(folders, target, failed, analyse_data))


def _with_meaning(given: Mapping[str, str]) -> dict[str, Any]:
    """The fields that flags give; those that mean nothing here are named in a line."""
    if ignored := [f"--{name}" for name in given if name in WITHOUT_MEANING]:
        say(f"ignored: {', '.join(ignored)}", error=True)
    return {name: value for name, value in given.items() if name not in WITHOUT_MEANING}


def _target_of(capacity: float | None, loss_increase: float | None) -> Target | None:
    """What the model must satisfy that the run ends with, if it is asked for.

    Raises:
        UserError: both are given, or a share is out of its bounds.
    """
    if capacity is None and loss_increase is None:
        return None
    from aes_lipi.export.targets import target_of  # noqa: PLC0415 - numpy is slow to import

    return target_of(capacity, loss_increase)


def _prepared(
    studies: Sequence[Study], control: bool, target: Target | None, *, may_prune_more: bool
) -> list[Study]:
    """The studies as they are run: what they read is known, and what flags add is there.

    Raises:
        UserError: a file is missing or unfit, or control or target do not go with a study.
    """
    ready = [_known_by_content(each) for each in studies]
    if target is not None:
        from aes_lipi.export.targets import aimed  # noqa: PLC0415 - numpy is slow

        ready = [aimed(each, target, may_prune_more=may_prune_more) for each in ready]
    if control:
        from aes_lipi.execution.control import with_control  # noqa: PLC0415

        ready = [with_control(each) for each in ready]
    return ready


def _closed(
    folders: Sequence[str | Path], target: Target | None, failed: int, analyse_data: bool
) -> int:
    """Write the report and export the model, where they are asked for; the exit code.

    Raises:
        UserError: no model satisfies the target, though no trial has failed.
    """
    if analyse_data:
        for folder in folders:
            try:
                _analyse(folder)
            except UserError as error:
                if not failed:
                    raise
                say(f"no report was written: {error}", error=True)
    if target is not None:
        from aes_lipi.cli.exported import export_compact  # noqa: PLC0415 - pandas is slow

        try:
            export_compact(folders, target)
        except UserError as error:
            if not failed:
                raise
            say(f"nothing was exported: {error}", error=True)
    return 1 if failed else 0


def one_thread() -> None:
    """Before numpy is imported, which reads how many threads it may use only once."""
    from aes_lipi.execution.process import one_thread_per_process  # noqa: PLC0415

    one_thread_per_process()


_ALL = "all_rqs"
_SHORT = {"epochs": "4", "trials": "2"}


def _said_in(path: Path) -> Configuration:
    """What a file says; what means nothing of it is named in a line."""
    said = load_configuration(path)
    if said.ignored:
        say(f"{path}: ignored: {', '.join(said.ignored)}", error=True)
    return said


def _swept(sensitivities: Path | None) -> dict[str, Any]:
    """The values of sensitivities, to be laid over a study."""
    if sensitivities is None:
        return {}
    said = _said_in(sensitivities)
    file = said.file
    if file.variants:
        raise UserError(f"{sensitivities}: holds variants; give it as --config")
    for name in ("output_dir", "no_execution"):
        if getattr(said, name):
            raise UserError(f"{sensitivities}: {name}: is no setting to sweep; give --{name}")
    given = file.model_fields_set & {"trials", "checkpoint_interval"}
    settings = in_present_words(file.settings)
    return {**settings, **{name: getattr(file, name) for name in given}}


def _analyse(folder: str | Path) -> None:
    from aes_lipi.analysis.report import analyse  # noqa: PLC0415 - slow to import

    say(f"report: {analyse([str(folder)]).page}")


def _dry_run(
    studies: Sequence[Study], part: StudyPart, target: Target | None, options: RunOptions
) -> None:
    """Show the trials, once what a run would refuse of the studies is refused.

    Memory is that of this machine, unless a cluster is named; the device is, with `--local`.
    """
    from aes_lipi.cli.tables import print_trials  # noqa: PLC0415 - rich is slow to import
    from aes_lipi.execution.dry_run import check_feasible  # noqa: PLC0415 - numpy is slow to import
    from aes_lipi.execution.inputs import data_read  # noqa: PLC0415
    from aes_lipi.execution.limits import allowed_memory  # noqa: PLC0415

    may_be_here = options.address is None and "RAY_ADDRESS" not in os.environ
    memory = allowed_memory() if may_be_here else None
    for study in studies:
        for variant in study.variants:
            check_feasible(variant, here=options.local, memory=memory)
    print_trials(studies, part)
    _say_size(studies, part, agreed=True)
    for line in data_read([variant for study in studies for variant in study.variants]):
        say(line)
    if target is not None:
        say(f"ends with the export of a compact model: {target.flag}")


def _say_size(studies: Sequence[Study], part: StudyPart, *, agreed: bool) -> None:
    """Say what the centres of all generations take, where any are stored.

    Raises:
        UserError: they take more than a gigabyte, to which nobody has agreed.
    """
    if all(variant.store_generations != "all" for each in studies for variant in each.variants):
        return
    from aes_lipi.execution.dry_run import stored_size_line  # noqa: PLC0415 - numpy is slow

    line = stored_size_line(studies, part, agreed=agreed, flag="--yes")
    if line:
        say(line)


def _studies(
    rq: str | None, all_rqs: bool, config: Path | None, overrides: Mapping[str, Any]
) -> tuple[list[Study], Configuration]:
    """The studies that the flags ask for, and what a file says of the command."""
    said = Configuration(StudyFile())
    if sum([rq is not None, all_rqs, config is not None]) > 1:
        raise UserError("--rq, --all_rqs and --config exclude each other; give one of them")
    if all_rqs:
        return [resolve_study(each, load_preset(each), overrides) for each in list_presets()], said
    if config is not None:
        said = _said_in(config)
        return [resolve_study(config.stem, said.file, overrides)], said
    name = rq or (_OWN_DATA_PRESET if "data" in overrides else None)
    if name is None:
        raise UserError("nothing to run: give --rq NAME (--list shows them), --config or --data")
    return [resolve_study(name, load_preset(name), overrides)], said


def _names_content(variant: Variant) -> bool:
    files = variant.data, variant.ann_path, variant.edges
    return any(files) or bool(variant.plugged or variant.added)


def _known_by_content(study: Study) -> Study:
    """Data files, saved models and plug-ins count by their content."""
    if not any(map(_names_content, study.variants)):
        return study
    from aes_lipi.execution.inputs import with_digests  # noqa: PLC0415 - numpy is slow to import

    return with_digests(study)


def _folder(study: Study, output_dir: str | None, one_each: bool, part: StudyPart) -> str | Path:
    if output_dir is None:
        return _DEFAULT_RESULTS / f"{study.name}{part.suffix}"
    folder = expanded(output_dir)
    return join(folder, study.name) if one_each else folder


def _beside(output_dir: str, suffix: str) -> str:
    """The folder whose name is longer by a suffix; what follows the `?` of an address stays."""
    if not suffix:
        return output_dir
    folder, question, options = output_dir, "", ""
    if is_address(output_dir):
        folder, question, options = output_dir.partition("?")
    return f"{folder.rstrip('/')}{suffix}{question}{options}"


def _local_path(output_dir: str) -> Path:
    if is_address(output_dir):
        raise UserError(f"--output_dir {place_of(output_dir)}: data are written to a folder here")
    return Path(expanded(output_dir))


def _create_data(directory: Path, overrides: Mapping[str, str]) -> None:
    from aes_lipi.data import create_paper_datasets  # noqa: PLC0415 - numpy is slow to import

    named = any(field in overrides for field in _NAMING_FIELDS)
    wanted = {field: value for field, value in overrides.items() if field in DATA_FIELDS}
    if "data" in wanted:
        raise UserError("--create_data: generates data; leave out --data")
    study = resolve_study("data", StudyFile(), wanted)
    if not named and len(study.variants) > 1:
        raise UserError(
            "--create_data: one value of each, for the paper's data sets; give --n_dim for others"
        )
    if named:
        paths = _written(directory, study)
    else:
        first = study.variants[0]
        noise = first.noise_probability, first.test_noise
        paths = create_paper_datasets(directory, first.dataset_seed, *noise)
    for path in paths:
        say(path)


def _print_presets(overrides: Mapping[str, str]) -> None:
    from aes_lipi.cli.tables import print_presets  # noqa: PLC0415 - rich is slow to import

    print_presets([resolve_study(name, load_preset(name), overrides) for name in list_presets()])


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


_FLAGS = frozenset(
    name
    for parameter in inspect.signature(_run, eval_str=True).parameters.values()
    if typing.get_args(parameter.annotation)[:1] == (bool,)
    for option in parameter.annotation.__metadata__
    for name in (option.default, *option.param_decls)  # typer takes the first name for a default
)
"""The flags of `run` that say yes by being there."""


def with_switch_values(arguments: Sequence[str]) -> list[str]:
    """Arguments of `run` in which yes and no stand as the flags and the fields take them."""
    return with_values(arguments, _FLAGS)


class _RunCommand(HelpfulCommand):
    """`run`, of whose many flags its help shows some first."""

    common: ClassVar[Mapping[str, Sequence[str]]] = {
        "study": ("rq", "config", "data", "show_list", "dry_run"),
        "settings that are changed most": (
            *("trials", "epochs", "population_size", "environment", "learning_rate", "rng_seed"),
            *("prune_method", "prune_schedule", "prune_probability", "prune_amount"),
        ),
        "execution": (
            *("output_dir", "jobs", "device", "local", "address", "time_limit"),
            *("retry_failed", "fresh", "analyse_data"),
        ),
    }


run_app = make_app(None)
run_app.command("run", cls=_RunCommand, context_settings=TOKENS)(with_field_flags(_run))
