"""The command `clean`: what killed runs left behind in a study's folder is removed."""

from __future__ import annotations

from typing import Annotated

import typer


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
