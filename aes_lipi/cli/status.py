"""The command `status`: how a study stands, asked from another terminal."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

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
