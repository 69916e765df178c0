"""The command `analyse`: the report of one or several studies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def analyse(
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
    from aes_lipi.analysis.report import analyse as write  # noqa: PLC0415 - slow to import

    kinds = [kind.strip() for kind in formats.split(",") if kind.strip()]
    report = write(list(directories), report_dir, formats=kinds, pooled=pooled_cells, alpha=alpha)
    for line in report.skipped:
        print(line)
    if report.figures:
        print(f"figures: {report.figures[0].parent}")
    print(f"tables: {report.tables[0].parent}")
    print(f"report: {report.page}")
