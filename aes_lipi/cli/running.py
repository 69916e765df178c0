"""Studies run one after another: where, and what the terminal shows of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aes_lipi.config import Study
from aes_lipi.errors import UserError

if TYPE_CHECKING:
    from aes_lipi.execution.study import Runner

    Place = Callable[[], AbstractContextManager[Runner]]


@dataclass(frozen=True)
class RunOptions:
    """What the flags say of where and how trials run, and of results that are there."""

    local: bool = False
    address: str | None = None
    placement: str | None = None
    cells_per_actor: str | None = None
    cell_resources: str | None = None
    trials_per_worker: str | None = None
    jobs: int | None = None
    retry_failed: bool = False
    replay: str | None = None
    fresh: bool = False

    def place(self) -> Place:
        """Find the cluster, if there is one, and check what is asked of it.

        Raises:
            UserError: a flag has no such value, or the cluster has not what is asked for.
        """
        from aes_lipi.execution.ray.options import (  # noqa: PLC0415 - numpy is slow to import
            ClusterOptions,
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
            cells_per_actor=number_or_auto("--cells_per_actor", self.cells_per_actor or "auto"),
            resources=parse_resources(self.cell_resources) if self.cell_resources else (),
            trials_at_a_time=self.jobs,
            trials_per_worker=number_or_auto(
                "--trials_per_worker", self.trials_per_worker or "auto"
            ),
        )
        asked = any((self.placement, self.cells_per_actor, self.cell_resources))
        found = where_to_run(self.local, self.address, asked)
        if found is None:
            return lambda: local_runner(self.jobs, options.trials_per_worker)
        print(f"on the Ray cluster at {found} (--local to run here)", file=sys.stderr, flush=True)
        return lambda: cluster_runner(found, options)


def number_or_auto(flag: str, text: str) -> int | None:
    """A number from 1, or None for `auto`.

    Raises:
        UserError: it is neither; give `auto` or a number from 1.
    """
    if text == "auto":
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) < 2**20:
        raise UserError(f"{flag} {text[:40]}: give auto, or a number from 1")
    return int(text)


def run_all(studies: list[Study], folders: list[str | Path], options: RunOptions) -> int:
    """Run the studies one after another, each with its table; how many trials failed."""
    from aes_lipi.cli.progress import progress_for  # noqa: PLC0415 - numpy is slow to import
    from aes_lipi.cli.tables import print_summary  # noqa: PLC0415
    from aes_lipi.execution.study import run_study  # noqa: PLC0415

    failed = 0
    place = options.place()
    with place() as runner:
        for study, folder in zip(studies, folders, strict=True):
            with progress_for(study) as progress:
                summary = run_study(
                    study,
                    folder,
                    runner,
                    progress,
                    retry_failed=options.retry_failed,
                    replay=options.replay,
                    fresh=options.fresh,
                )
            print_summary(study, folder, summary)
            failed += summary.failed
    return failed


def one_thread() -> None:
    """Before numpy is imported, which reads how many threads it may use only once."""
    from aes_lipi.execution.workers import one_thread_per_process  # noqa: PLC0415

    one_thread_per_process()
