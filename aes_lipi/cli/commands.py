"""The commands `analyse`, `export` and `reproduce`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aes_lipi.cli.running import RunOptions, one_thread, run_all
from aes_lipi.config import expanded
from aes_lipi.errors import UserError
from aes_lipi.results.storage import is_address, join


def analyse_command(
    directories: Annotated[
        list[str],
        typer.Argument(metavar="DIR...", help="The --output_dir of a study, or of several."),
    ],
    *,
    report_dir: Annotated[
        Path | None,
        typer.Option(
            "--report_dir",
            metavar="DIR",
            help="Where to write; by default report/ in the study's folder, or report/ here.",
        ),
    ] = None,
    formats: Annotated[
        str, typer.Option("--formats", help="Of the figures' files: svg, pdf, png, with commas.")
    ] = "svg,pdf,png",
    pooled_cells: Annotated[
        bool,
        typer.Option(
            "--pooled_cells",
            help="Add the table that takes every cell for itself, as the published figures do.",
        ),
    ] = False,
    alpha: Annotated[
        float, typer.Option("--alpha", help="Error rate of a family of tests.")
    ] = 0.05,
) -> None:
    """Write a study's report: tables, tests and figures in one page, and as files beside it.

    Only committed trials are read, and nothing of the study is changed; several studies come into
    one report. It can be written while the study runs.
    """
    from aes_lipi.analysis.report import analyse  # noqa: PLC0415 - slow to import

    kinds = [kind.strip() for kind in formats.split(",") if kind.strip()]
    report = analyse(list(directories), report_dir, formats=kinds, pooled=pooled_cells, alpha=alpha)
    for line in report.skipped:
        print(line)
    if report.figures:
        print(f"figures: {report.figures[0].parent}")
    print(f"tables: {report.tables[0].parent}")
    print(f"report: {report.page}")


if TYPE_CHECKING:
    from aes_lipi.export import Exported


def export_command(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The --output_dir of a study.")],
    *,
    variant: Annotated[
        str | None,
        typer.Option(metavar="ID|NAME", help="Variant to choose from; by default all."),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Trial to choose from; by default all.")
    ] = None,
    target_capacity: Annotated[
        float | None,
        typer.Option(
            "--target_capacity",
            metavar="SHARE",
            help="Pick the recorded model of lowest validation loss with at most this share of its "
            "parameters not zero; with --compact, of its parameters left.",
        ),
    ] = None,
    max_loss_increase: Annotated[
        float | None,
        typer.Option(
            "--max_loss_increase",
            metavar="SHARE",
            help="Pick the smallest recorded model whose validation loss is at most this share "
            "above the study's lowest: 0.01 is one per cent.",
        ),
    ] = None,
    compact: Annotated[
        bool,
        typer.Option("--compact", help="Take out what pruning made dead: a smaller model."),
    ] = False,
    format_name: Annotated[
        str, typer.Option("--format", metavar="safetensors|onnx|torch", help="Of the files.")
    ] = "safetensors",
    output_dir: Annotated[
        str | None,
        typer.Option(
            "--output_dir", metavar="DIR", help="Where to write; by default DIR/exports/..."
        ),
    ] = None,
) -> None:
    """Write a trained model for use without aes_lipi, with a model card.

    Without a target it is the answer of the trial of lowest validation loss, among those that
    --variant and --trial leave. The exported model is compared with the trained one every time: on
    the data, if they are still there.
    """
    one_thread()
    from aes_lipi.export import export  # noqa: PLC0415 - pandas is slow to import

    done = export(
        directory,
        variant=variant,
        trial=trial,
        target_capacity=target_capacity,
        max_loss_increase=max_loss_increase,
        compact=compact,
        format_name=format_name,
        output_dir=output_dir,
    )
    _print_exported(done)


def _print_exported(done: Exported) -> None:
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from aes_lipi.cli.tables import console  # noqa: PLC0415
    from aes_lipi.export.card import cost_table  # noqa: PLC0415
    from aes_lipi.export.checks import varying_values  # noqa: PLC0415

    choice = done.choice
    where = "" if choice.place is None else f", generation {choice.place.generation}"
    where += "" if choice.place is None else f", cell {choice.place.cell}"
    title = f"{choice.label} ({choice.trial.variant}), trial {choice.trial.trial}{where}"
    table = Table(title=escape(title), title_justify="left")
    table.add_column("")
    for heading in ("trained", "exported", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in cost_table(done.before, done.after):
        table.add_row(*row)
    console().print(table)
    print(_losses_of(done))
    print(f"differs from the trained model by {done.difference:.1e} at most, on {done.rows.source}")
    varying, size = varying_values(done.model, done.rows), done.model.architecture.latent_size
    if varying < size:
        print(f"{size - varying} of the {size} values of the code are the same for all rows")
    if not done.rows.is_real:
        print("NOT compared on the data: export again where they are")
    if done.model.compaction is not None and done.model.compaction.is_constant:
        print("pruning left nothing: the reconstruction is the same for every row")
    for path in done.files:
        print(path)


def _losses_of(done: Exported) -> str:
    choice = done.choice
    if math.isnan(choice.validation_L1):
        return f"validation L1 not recorded, test L1 {choice.test_L1:.4f}"
    line = f"validation L1 {choice.validation_L1:.4f}"
    if choice.lowest_validation_L1 > 0:
        above = choice.validation_L1 / choice.lowest_validation_L1 - 1
        line += f" ({above:.1%} above the study's lowest, {choice.lowest_validation_L1:.4f})"
    return f"{line}, test L1 {choice.test_L1:.4f}"


def reproduce_command(
    *,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Scaled down: fewer, shorter trials. Ends within 15 minutes on two cores, and the "
            "page says what it can and cannot show.",
        ),
    ] = False,
    figures: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Figures and controls, such as best_of_lipi,control_canonical_walk; by default "
            "all.",
        ),
    ] = None,
    output_dir: Annotated[
        str,
        typer.Option(
            "--output_dir",
            metavar="DIR",
            help="Folder in which every preset has its own, and the page is written.",
        ),
    ] = "results",
    read_only: Annotated[
        bool, typer.Option("--read_only", help="Run nothing: judge the trials that are there.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", help="Show what would run, and run nothing.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry_failed", help="Also run trials that failed before.")
    ] = False,
    jobs: Annotated[int | None, typer.Option(min=1, help="Trials at a time.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="On this machine, even if there is a Ray cluster.")
    ] = False,
    address: Annotated[
        str | None, typer.Option(metavar="HOST:PORT|auto|local", help="Ray cluster to run on.")
    ] = None,
) -> None:
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
        raise UserError(f"--output_dir {output_dir}: the page is written to a folder here")
    names = [name.strip() for name in (figures or "").split(",") if name.strip()]
    output_dir = expanded(output_dir)
    plan = (quick_plan if quick else full_plan)(output_dir, names or None)
    print_plan(plan)
    if dry_run:
        return
    failed = 0
    if not read_only:
        options = RunOptions(local=local, address=address, jobs=jobs, retry_failed=retry_failed)
        studies = [each.study for each in plan.studies]
        failed = run_all(studies, [each.location for each in plan.studies], options)
    findings = find(plan)
    page = write_page(findings, plan, join(output_dir, "quick") if quick else output_dir)
    print_reproduction(findings, main_table(findings))
    print(f"reproduction: {page}")
    if failed:
        raise typer.Exit(1)
