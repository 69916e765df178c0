"""The commands of `aes-lipi`: what is done with a study besides running it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aes_lipi._version import __version__
from aes_lipi.cli.flags import TOKENS, flag, make_app
from aes_lipi.cli.help import HelpfulCommand
from aes_lipi.cli.run import CAPACITY, CLUSTER, INCREASE, RETRY, one_thread, run_app
from aes_lipi.cli.terminal import cell, console, ends_by_interrupt, say
from aes_lipi.config import expanded
from aes_lipi.errors import UserError
from aes_lipi.results.storage import is_address, join, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aes_lipi.results.health import Finding

_DIR = typer.Argument(metavar="DIR", help="The --output_dir of a study.")
_REPORT_DIR = "Where to write; by default report/ in the study's folder, or report/ here."
_POOLED = "Add the table that takes every cell for itself, as the published figures do."
_FORMATS = "Of the figures' files, of svg, pdf and png. [default svg,pdf,png]"
_VARIANTS = (
    "Only variants whose name or id fits, as in 'random*': * stands for any text. A report takes "
    "200 at most."
)
_ALPHA = "Error rate of a family of tests. [default 0.05]"
_QUICK = (
    "Scaled down: fewer trials, of smaller rings. Ends within 15 minutes on two cores, and the "
    "page says what it can and cannot show."
)
_CONVERTED = "Checkpoints, or data sets: of one with a file for each split, any of the three."
_FIGURES = "Figures and controls, such as best_of_lipi,control_canonical_walk; by default all."
_INSTANCES = (
    "Data sets (seeds 1, 2, ...) on which the main figures and the controls are run, so that "
    "there are intervals over data sets."
)
_PRESETS_DIR = "Folder in which every preset has its own, and the page is written."
_JSON = flag("--json", "Print one JSON object, for programs.")

app = make_app("Coevolution of autoencoders that are pruned while they train.")
app.add_typer(run_app)
_command = partial(app.command, cls=HelpfulCommand, context_settings=TOKENS)


@app.callback(invoke_without_command=True)
def _commands(
    context: typer.Context,
    *,
    version: Annotated[bool, flag("--version", "Show the version and exit.")] = False,
) -> None:
    """Coevolution of autoencoders that are pruned while they train."""
    if version:
        say(f"aes-lipi {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@_command("analyse")
def _analyse(
    directories: Annotated[
        list[str],
        typer.Argument(metavar="DIR...", help="The --output_dir of a study, or of several."),
    ],
    *,
    report_dir: Annotated[Path | None, flag("--report_dir", _REPORT_DIR, "DIR")] = None,
    formats: Annotated[str, flag("--formats", _FORMATS, "NAME,...")] = "svg,pdf,png",
    pooled_cells: Annotated[bool, flag("--pooled_cells", _POOLED)] = False,
    alpha: Annotated[float, flag("--alpha", _ALPHA, "SHARE")] = 0.05,
    variants: Annotated[str | None, flag("--variants", _VARIANTS, "PATTERN")] = None,
) -> int:
    """Write a study's report: tables, tests and figures in one page, and as files beside it.

    Only committed trials are read, and nothing of the study is changed; several studies come into
    one report. It can be written while the study runs.
    """
    from aes_lipi.analysis.report import analyse  # noqa: PLC0415 - slow to import

    kinds = [kind.strip() for kind in formats.split(",") if kind.strip()]
    report = analyse(
        list(directories),
        report_dir,
        formats=kinds,
        pooled=pooled_cells,
        alpha=alpha,
        variants=variants,
    )
    for line in report.skipped:
        say(line)
    if report.figures:
        say(f"figures: {report.figures[0].parent}")
    say(f"tables: {report.tables[0].parent}")
    say(f"report: {report.page}")
    return 0


@_command("clean")
def _clean(
    directory: Annotated[str, _DIR],
) -> int:
    """Remove half-written files, files of uncommitted trials and stale claims of a study.

    Only files that a study makes are removed, and none while a driver is at work. Committed trials
    stay.
    """
    from aes_lipi.results.cleaning import clean  # noqa: PLC0415 - slow to import

    cleaned = clean(directory)
    for path, why in cleaned.removed.items():
        say(f"removed {path} ({why})")
    for whose in cleaned.claims:
        say(f"removed the lock of {whose}, which is gone")
    for line in cleaned.kept:
        say(line)
    total = len(cleaned.removed) + len(cleaned.claims)
    say(f"removed {total} {'file' if total == 1 else 'files'}" if total else "nothing to remove")
    return 0


@_command("convert")
def _convert(
    files: Annotated[list[str], typer.Argument(metavar="FILE.pt...", help=_CONVERTED)],
    *,
    output_dir: Annotated[
        str | None, flag("--output_dir", "Where to; by default beside each file.", "DIR")
    ] = None,
) -> None:
    """Write files of the published code in formats without pickles: .npz and .safetensors."""
    one_thread()
    from aes_lipi.export.conversion import convert  # noqa: PLC0415 - slow to import

    for path in convert(files, output_dir):
        say(path)


@_command("dashboard")
def _dashboard(
    directories: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DIR...]",
            help="The --output_dir of studies, or a folder of such; by default results.",
        ),
    ] = None,
    *,
    port: Annotated[
        int | None,
        flag("--port", "To listen at, 65535 at most; by default one that is free.", least=1),
    ] = None,
) -> None:
    """Serve a page that follows studies while they run, until it is interrupted.

    The address that is printed is this machine's own and has a token, without which nothing is
    answered. Folders are read, and nothing is written.
    """
    from aes_lipi.dashboard.server import serve  # noqa: PLC0415 - slow to import

    def tell(address: str) -> None:
        say(f"dashboard: {address}")
        sys.stdout.flush()  # to a file, too, before it ends

    ends_by_interrupt.set()
    serve(directories or ["results"], port, tell)


_MARKS = {"well": "", "note": "note", "problem": "PROBLEM"}


@_command("doctor")
def _doctor(
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR|s3://BUCKET/DIR]", help="The --output_dir of a study, to look at, too."
        ),
    ] = None,
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> int | None:
    """Show what this machine has and what will be used, and whether a study's folder is well.

    Nothing is changed but the folder's index, and no network is asked but for the folder. What is
    missing and not needed, a GPU or Ray, is no problem. Exit code 1 if there is a problem; each is
    told with its remedy.
    """
    from aes_lipi.execution.machine import inspect_machine  # noqa: PLC0415 - slow
    from aes_lipi.execution.ray.installation import inspect_ray, ray_findings  # noqa: PLC0415
    from aes_lipi.results.health import inspect_folder  # noqa: PLC0415

    folder = inspect_folder(directory) if directory is not None else None
    machine, ray = inspect_machine(), inspect_ray()
    found = [*machine.findings(), *ray_findings(ray)]
    found += folder.findings() if folder is not None else []
    problems = sum(each.state == "problem" for each in found)
    if as_json:
        document = {"well": not problems, "findings": [asdict(each) for each in found]}
        print(json.dumps({**document, "machine": asdict(machine), "ray": asdict(ray)}, indent=2))
    else:
        _print_findings(found)
        say(f"{problems} problem{'' if problems == 1 else 's'}" if problems else "all is well")
    return 1 if problems else None


def _print_findings(found: Sequence[Finding]) -> None:
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, show_header=False)
    for each in found:
        remedy = f" -> {each.remedy}" if each.remedy else ""
        table.add_row(each.subject, _MARKS[each.state], cell(each.said + remedy))
    console().print(table)


@_command("export")
def _export(
    directory: Annotated[str, _DIR],
    *,
    variant: Annotated[
        str | None, flag("--variant", "Variant to choose from; by default all.", "ID|NAME")
    ] = None,
    trial: Annotated[
        int | None, flag("--trial", "Trial to choose from; by default all.", "NUMBER", least=0)
    ] = None,
    target_capacity: Annotated[float | None, flag("--target_capacity", CAPACITY, "SHARE")] = None,
    max_loss_increase: Annotated[
        float | None, flag("--max_loss_increase", INCREASE, "SHARE")
    ] = None,
    compact: Annotated[
        bool, flag("--compact", "Take out what pruning made dead: a smaller model.")
    ] = False,
    format_name: Annotated[
        str, flag("--format", "Of the files.", "safetensors|onnx|torch")
    ] = "safetensors",
    input_dtype: Annotated[
        str | None,
        flag("--input_dtype", "Of rows in ONNX; by default float32.", "float32|float64"),
    ] = None,
    output_dir: Annotated[
        str | None,
        flag("--output_dir", "Where to write; by default DIR/exports/...", "DIR|s3://BUCKET/DIR"),
    ] = None,
) -> int:
    """Write a trained model for use without aes_lipi, with a model card.

    Without a target it is the answer of the trial of lowest validation loss, among those that
    --variant and --trial leave; with --compact the knee of size against validation loss, if
    recorded models were stored. The exported model is compared with the trained one every time: on
    the data, if they are still there.
    """
    one_thread()
    from aes_lipi.cli.exported import print_exported  # noqa: PLC0415 - pandas is slow to import
    from aes_lipi.export import export  # noqa: PLC0415

    done = export(
        directory,
        variant=variant,
        trial=trial,
        target_capacity=target_capacity,
        max_loss_increase=max_loss_increase,
        compact=compact,
        format_name=format_name,
        input_dtype=input_dtype,
        output_dir=output_dir,
    )
    print_exported(done)
    return 0


@_command("reproduce")
def _reproduce(
    *,
    quick: Annotated[bool, flag("--quick", _QUICK)] = False,
    figures: Annotated[str | None, flag("--figures", _FIGURES, "NAME,...")] = None,
    instances: Annotated[int, flag("--instances", _INSTANCES, "NUMBER", least=1)] = 1,
    output_dir: Annotated[str, flag("--output_dir", _PRESETS_DIR, "DIR")] = "results",
    read_only: Annotated[
        bool, flag("--read_only", "Run nothing: judge the trials that are there.")
    ] = False,
    dry_run: Annotated[bool, flag("--dry_run", "Show what would run, and run nothing.")] = False,
    retry_failed: Annotated[bool, flag("--retry_failed", RETRY)] = False,
    jobs: Annotated[int | None, flag("--jobs", "Trials at a time.", "NUMBER", least=1)] = None,
    local: Annotated[
        bool, flag("--local", "On this machine, even if there is a Ray cluster.")
    ] = False,
    address: Annotated[str | None, flag("--address", "Ray cluster to run on.", CLUSTER)] = None,
) -> int | None:
    """Run, go on with or read the studies behind the published figures, and judge every claim.

    What is there is not run again: a preset that `run.py --rq` has run is read where it lies. The
    page sets our numbers beside the published ones, figure by figure, with a verdict for every
    claim in terms of tests and effect sizes.
    """
    one_thread()
    from aes_lipi.cli.tables import print_plan, print_reproduction  # noqa: PLC0415 - rich is slow
    from aes_lipi.reproduction.findings import find  # noqa: PLC0415 - pandas is slow to import
    from aes_lipi.reproduction.page import main_table, write_page  # noqa: PLC0415
    from aes_lipi.reproduction.plan import full_plan, quick_plan  # noqa: PLC0415

    if is_address(output_dir):
        place = place_of(output_dir)
        raise UserError(f"--output_dir {place}: the page is written to a folder here")
    names = [name.strip() for name in (figures or "").split(",") if name.strip()]
    output_dir = expanded(output_dir)
    plan_of = quick_plan if quick else full_plan
    plan = plan_of(output_dir, names or None, instances=instances)
    print_plan(plan)
    if dry_run:
        return None
    failed = 0
    if not read_only:
        from aes_lipi.cli.running import RunOptions, run_all  # noqa: PLC0415

        options = RunOptions(local=local, address=address, jobs=jobs, retry_failed=retry_failed)
        studies = [each.whole for each in plan.studies]
        folders = [each.location for each in plan.studies]
        failed = run_all(studies, folders, options, [each.part for each in plan.studies])
    findings = find(plan)
    page = write_page(findings, plan, join(output_dir, "quick") if quick else output_dir)
    print_reproduction(findings, main_table(findings))
    say(f"reproduction: {page}")
    return 1 if failed else 0


@_command("schema")
def _schema() -> None:
    """Print the JSON schema of study files, by which editors complete and check them.

    Keep it beside a study of your own, as in `aes-lipi schema > study.schema.json`, and begin the
    study with the line `# yaml-language-server: $schema=study.schema.json`.
    """
    from aes_lipi.config.schema import study_schema  # noqa: PLC0415 - built only if asked for

    print(json.dumps(study_schema(), indent=1))


@_command("status")
def _status(
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIR|s3://BUCKET/DIR", help="The --output_dir of a study, wherever it runs."
        ),
    ],
    *,
    as_json: Annotated[bool, _JSON] = False,
) -> None:
    """Show how a study stands: trials done, running, failed and pending, losses, and who runs it.

    The folder is read, at any moment and from any machine, and nothing is written but its index.
    What it says of running trials is at most a few seconds old.
    """
    from aes_lipi.results.status import study_status  # noqa: PLC0415 - pyarrow is slow to import

    found = study_status(directory)
    if as_json:
        said = {
            name: [each.model_dump() for each in getattr(found, name)]
            for name in ("running", "remarks")
        }
        print(json.dumps({**asdict(found), **said}, indent=2, allow_nan=False))
    else:
        from aes_lipi.cli.tables import print_status  # noqa: PLC0415 - rich is slow to import

        print_status(found)
