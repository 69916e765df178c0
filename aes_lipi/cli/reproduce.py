"""The command `reproduce`: the published figures, run and set beside what was published."""

from __future__ import annotations

from typing import Annotated

import typer

from aes_lipi.cli.running import Again, Wishes, one_thread, run_all
from aes_lipi.errors import UserError
from aes_lipi.results.storage import is_address, join


def reproduce(
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
    from aes_lipi.cli.verdicts import print_plan, print_reproduction  # noqa: PLC0415 - pandas is slow
    from aes_lipi.reproduction.findings import find  # noqa: PLC0415
    from aes_lipi.reproduction.page import write_page  # noqa: PLC0415
    from aes_lipi.reproduction.plans import full_plan, quick_plan  # noqa: PLC0415

    if is_address(output_dir):
        raise UserError(f"--output_dir {output_dir}: the page is written to a folder here")
    names = [name.strip() for name in (figures or "").split(",") if name.strip()]
    plan = (quick_plan if quick else full_plan)(output_dir, names or None)
    print_plan(plan)
    if dry_run:
        return
    failed = 0
    if not read_only:
        place = Wishes(None, None, None, jobs).place(local, address)
        studies = [each.study for each in plan.studies]
        failed = run_all(
            studies, [each.location for each in plan.studies], place, Again(retry_failed)
        )
    findings = find(plan)
    page = write_page(findings, plan, join(output_dir, "quick") if quick else output_dir)
    print_reproduction(findings)
    print(f"reproduction: {page}")
    if failed:
        raise typer.Exit(1)
