"""The commands about a folder of results: `status` (how a study stands), `clean`, `doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aes_lipi.errors import printable

if TYPE_CHECKING:
    from aes_lipi.results.status import Status


def status_command(
    directory: Annotated[
        str,
        typer.Argument(
            metavar="DIR|s3://BUCKET/DIR", help="The --output_dir of a study, wherever it runs."
        ),
    ],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for programs.")
    ] = False,
) -> None:
    """Show how a study stands: trials done, running, failed and pending, losses, and who runs it.

    The folder is read, at any moment and from any machine, and nothing is written. What it says of
    running trials is at most a few seconds old.
    """
    from aes_lipi.results.status import study_status  # noqa: PLC0415 - pyarrow is slow to import

    found = study_status(directory)
    if as_json:
        print(json.dumps(_document(found), indent=2, allow_nan=False))
    else:
        from aes_lipi.cli.tables import print_status  # noqa: PLC0415 - rich is slow to import

        print_status(found)


def _document(found: Status) -> dict[str, Any]:
    """The keys of the JSON object are those of `Status`."""
    running = [each.model_dump() for each in found.running]
    return {**asdict(found), "running": running}


def clean_command(
    directory: Annotated[str, typer.Argument(metavar="DIR", help="The --output_dir of a study.")],
) -> None:
    """Remove half-written files, files of uncommitted trials and stale claims of a study.

    Only files that a study makes are removed, and none while a driver is at work. Committed trials
    stay.
    """
    from aes_lipi.results.inventory import clean  # noqa: PLC0415 - slow to import

    cleaned = clean(directory)
    for path, why in cleaned.removed.items():
        print(f"removed {path} ({why})")
    for whose in cleaned.claims:
        print(f"removed the claim of {whose}, which is gone")
    for line in cleaned.kept:
        print(f"{line}; kept: run the study again to mend them")
    total = len(cleaned.removed) + len(cleaned.claims)
    print(f"removed {total} {'file' if total == 1 else 'files'}" if total else "nothing to remove")


if TYPE_CHECKING:
    from collections.abc import Sequence

    from aes_lipi.results.health import Finding

_MARKS = {"well": "", "note": "note", "problem": "PROBLEM"}


def doctor_command(
    directory: Annotated[
        str | None,
        typer.Argument(
            metavar="[DIR|s3://BUCKET/DIR]", help="The --output_dir of a study, to look at, too."
        ),
    ] = None,
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, for programs.")
    ] = False,
) -> int:
    """Show what this machine has and what will be used, and whether a study's folder is well.

    Nothing is changed, and no network is asked but for the folder. What is missing and not needed,
    a GPU or Ray, is no problem. Exit code 1 if there is a problem; each is told with its remedy.
    """
    from aes_lipi.execution.machine import inspect_machine, machine_findings  # noqa: PLC0415 - slow
    from aes_lipi.execution.ray.installation import inspect_ray, ray_findings  # noqa: PLC0415
    from aes_lipi.results.health import folder_findings, inspect_folder  # noqa: PLC0415

    folder = inspect_folder(directory) if directory is not None else None
    machine, ray = inspect_machine(), inspect_ray()
    found = [*machine_findings(machine), *ray_findings(ray)]
    found += folder_findings(folder) if folder is not None else []
    problems = sum(each.state == "problem" for each in found)
    if as_json:
        document = {"well": not problems, "findings": [asdict(each) for each in found]}
        print(json.dumps({**document, "machine": asdict(machine), "ray": asdict(ray)}, indent=2))
    else:
        _print_findings(found)
        print(f"{problems} problem{'' if problems == 1 else 's'}" if problems else "all is well")
    return 1 if problems else 0


def _print_findings(found: Sequence[Finding]) -> None:
    from rich.markup import escape  # noqa: PLC0415 - slow to import
    from rich.table import Table  # noqa: PLC0415

    from aes_lipi.cli.tables import console  # noqa: PLC0415

    table = Table(box=None, show_header=False)
    for each in found:
        remedy = f" -> {each.remedy}" if each.remedy else ""
        table.add_row(each.subject, _MARKS[each.state], escape(printable(each.said + remedy, None)))
    console().print(table)
