"""The actor that holds cells of a ring: a thin shell around the pure generation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ray
from threadpoolctl import threadpool_limits

from aes_lipi.autoencoders.network import Pair
from aes_lipi.coevolution.order import Step, Version
from aes_lipi.coevolution.plan import Cell, Record, Setup
from aes_lipi.coevolution.ring import Ring, initial_ring, perform
from aes_lipi.config import Variant
from aes_lipi.execution.inputs import Inputs, SetupCache
from aes_lipi.execution.job import Computed, Job
from aes_lipi.execution.ray.nodes import (
    NodeFacts,
    facts_of_this_node,
    memory_share,
    use_only_what_is_ours,
)
from aes_lipi.execution.trial import conclude, resumed

Parcel = dict[Version, Cell]
"""States by cell and generation, as actors hand them to each other."""


@dataclass(frozen=True)
class Work:
    """What an actor is asked to compute.

    Attributes:
        steps: each after those it needs.
        exported: cells whose centres other actors read.
        keeps: whether the group's next steps start from anything else, too.
    """

    steps: tuple[Step, ...]
    exported: frozenset[int]
    keeps: bool


@dataclass(frozen=True)
class Resumption:
    """What a checkpoint holds besides the states of cells; see `Snapshot` and `Checkpoint`."""

    following: tuple[int, ...]
    learning_rates: tuple[float, ...]
    records: Sequence[Record]
    started_at: datetime
    wall_time_s: float


class CellActor:
    """Holds a group of a ring's cells, their data and their engine.

    What a step starts from comes with every call, so that an actor that had to be started again
    is right by construction: it holds nothing that cannot be made anew.
    """

    def __init__(self, n_cpus: float, n_gpus: float) -> None:
        use_only_what_is_ours(n_gpus)
        self._setups = SetupCache(memory_share(n_cpus))
        self._setup: Setup | None = None
        self._warm: Sequence[Pair] = ()

    def facts(self) -> NodeFacts:
        """Where the actor lives."""
        return facts_of_this_node()

    def prepare(self, variant: Variant, inputs: Inputs) -> None:
        """Take in what the cells of the next trial share.

        Raises:
            UserError: the node lacks what the variant needs.
        """
        self._setup = self._setups.setup(variant, lambda _: inputs.dataset)
        threadpool_limits(limits=1)  # for good; to ask at every step would take longer than Ray
        self._warm = inputs.warm_start

    def begin(self, trial: int, cells: Sequence[int]) -> Parcel:
        """The states of cells before their first generation."""
        ring = initial_ring(self._ready(), trial, self._warm)
        return {(i, -1): ring.cells[i] for i in cells}

    def resume(self, job: Job, groups: Sequence[Sequence[int]]) -> tuple[Resumption | Parcel, ...]:
        """Take up a trial from its checkpoint.

        Args:
            job: the trial.
            groups: the cells of every group.

        Returns:
            what else the checkpoint holds, and every group's states.

        Raises:
            UserError: the checkpoint is not one of this trial.
        """
        checkpoint = resumed(job, self._ready())
        snapshot = checkpoint.snapshot
        whole = Resumption(
            following=snapshot.following,
            learning_rates=snapshot.learning_rates,
            records=snapshot.records,
            started_at=checkpoint.started_at,
            wall_time_s=checkpoint.wall_time_s,
        )
        newest = [(i, t - 1) for i, t in enumerate(snapshot.following)]
        return whole, *({newest[i]: snapshot.cells[i] for i in group} for group in groups)

    def compute(
        self, work: Work, *parcels: Parcel
    ) -> tuple[Parcel, list[Record]] | tuple[Parcel, Parcel, list[Record]]:
        """Compute steps.

        Args:
            work: the steps.
            parcels: hold every version that they need and do not make.

        Returns:
            the centres that other actors read, all else that the group's next steps start from
            unless there is nothing, and the records.
        """
        outcomes = perform(work.steps, merged(parcels), self._ready())
        edge, rest = split({v: o.cell for v, o in outcomes.items()}, work.exported)
        records = [outcome.record for outcome in outcomes.values()]
        if work.keeps:
            return edge, rest, records
        if rest:
            raise RuntimeError(f"cells {sorted(rest)} hold something that nobody would keep")
        return edge, records

    def conclude(
        self,
        job: Job,
        records: list[Record],
        learning_rates: tuple[float, ...],
        started_at: datetime,
        wall_time_s: float,
        *parcels: Parcel,
    ) -> Computed:
        """Judge the last ring, and encode the trial's results."""
        epochs, states = job.variant.epochs, merged(parcels)
        cells = tuple(states[i, epochs - 1] for i in range(len(learning_rates)))
        ring = Ring(job.trial, epochs, cells, learning_rates)
        return conclude(
            job, self._ready(), ring, records, started_at=started_at, wall_time_s=wall_time_s
        )

    def _ready(self) -> Setup:
        if self._setup is None:
            raise RuntimeError("the actor was not prepared for the trial")
        return self._setup


def merged(parcels: Iterable[Parcel]) -> Parcel:
    """The states in some parcels; of one that comes twice, the copy that is more than a centre."""
    states: Parcel = {}
    for parcel in parcels:
        for version, cell in parcel.items():
            if version not in states or not has_private_state(states[version]):
                states[version] = cell
    return states


def split(made: Parcel, exported: frozenset[int]) -> tuple[Parcel, Parcel]:
    """Cut new states into centres that other actors read and what the group keeps to itself."""
    edge = {v: Cell(cell.pair) for v, cell in made.items() if v[0] in exported}
    rest = {v: cell for v, cell in made.items() if v[0] not in exported or has_private_state(cell)}
    return edge, rest


def has_private_state(cell: Cell) -> bool:
    """Whether a state is more than the centre that neighbours read."""
    return any(
        part is not None
        for part in (
            cell.encoder_moments,
            cell.decoder_moments,
            cell.encoder_statistics,
            cell.decoder_statistics,
        )
    )


RemoteCellActor: Any = ray.remote(CellActor)
