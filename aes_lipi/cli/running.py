"""Studies run one after another: where, and what the terminal shows of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aes_lipi.config import Study
from aes_lipi.errors import UserError

if TYPE_CHECKING:
    from aes_lipi.execution.ray.connection import ClusterOptions
    from aes_lipi.execution.run import Runner

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
        from aes_lipi.execution.ray.connection import (  # noqa: PLC0415 - numpy is slow to import
            ClusterOptions,
            parse_resources,
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
        found = self._where()
        if found is None:
            return lambda: _local_runner(self.jobs, options.trials_per_worker)
        print(f"on the Ray cluster at {found} (--local to run here)", file=sys.stderr, flush=True)
        return lambda: _cluster_runner(found, options)

    def _where(self) -> str | None:
        """The address of the cluster to use; None for this machine alone."""
        from aes_lipi.execution.ray.connection import HERE, find_cluster  # noqa: PLC0415

        needs_cluster = any((self.placement, self.cells_per_actor, self.cell_resources))
        if self.local and (self.address is not None or needs_cluster):
            raise UserError(
                "--local: runs without a cluster; leave out --address, --placement, "
                "--cells_per_actor and --cell_resources"
            )
        found = None if self.local else find_cluster(self.address)
        return find_cluster(HERE) if found is None and needs_cluster else found


@contextmanager
def _local_runner(jobs: int | None, trials_per_worker: int | None) -> Iterator[Runner]:
    """Trials in processes of this machine; see `LocalRunner`."""
    from aes_lipi.execution.local import LocalRunner  # noqa: PLC0415

    yield LocalRunner(jobs, trials_per_worker)


@contextmanager
def _cluster_runner(address: str, options: ClusterOptions) -> Iterator[Runner]:
    """Trials on a Ray cluster, to which this process is connected meanwhile."""
    from aes_lipi.execution.ray.connection import connected  # noqa: PLC0415

    with connected(address):
        from aes_lipi.execution.ray.runner import ClusterRunner  # noqa: PLC0415 - ray is slow

        yield ClusterRunner(options)


def number_or_auto(flag: str, text: str) -> int | None:
    """A number from 1, or None for `auto`.

    Raises:
        UserError: neither a number from 1 nor `auto`; give one of them.
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
    from aes_lipi.execution.run import run_study  # noqa: PLC0415

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
    from aes_lipi.execution.process import one_thread_per_process  # noqa: PLC0415

    one_thread_per_process()
